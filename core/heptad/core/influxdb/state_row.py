"""The aggregator's state as it is stored; a long value is split into several fields."""

from typing import Final

from heptad.core.store.measurements import Field, Measurement

MEASUREMENT: Final = "state"

STATE: Final = Measurement(
    name=MEASUREMENT,
    about=(
        "The internal state of the aggregator, one row per change; the last row of a key is valid."
    ),
    always="value",
    tags={"owner": "the owner: `aggregator`", "key": "the key of the state"},
    fields={
        "value": Field(
            str, ("the state, compressed with zlib and encoded as base64"), in_parts=True
        )
    },
)

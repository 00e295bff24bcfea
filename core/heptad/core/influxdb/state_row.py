"""The aggregator's state as it is written: a part of a long one in each field."""

from typing import Final

from heptad.core.store.measurements import Field, Measurement

MEASUREMENT: Final = "state"

STATE: Final = Measurement(
    name=MEASUREMENT,
    about=(
        "What the aggregator has to remember, a row whenever it changed; the last row of a key "
        "is in force. Text of the aggregator's own."
    ),
    always="value",
    tags={"owner": "whose it is: `aggregator`", "key": "what it is"},
    fields={"value": Field(str, "base64 of what zlib compressed", in_parts=True)},
)

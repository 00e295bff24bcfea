"""Current findings for dashboards: one row per finding instead of all its revisions.

InfluxQL cannot group by a field, and the key of a finding contains fields. Each finding therefore
has a microsecond of its own, in the hour of its first event. In InfluxDB 1.x and 2.x a row
overwrites the previous row at the same time. 3.x does not define which of two writes of a point
survives, so there each revision has a nanosecond of its own. In all versions, ``last()`` with
``GROUP BY time(1u), "rule"`` returns the current row.
"""

import hashlib
from typing import Final

import msgspec

from heptad.aggregator.detection.finding import FINDINGS, Finding, FindingKey, Revision
from heptad.core.intervals import MINUTE
from heptad.core.store.measurements import Field, Measurement
from heptad.core.store.point import Row, Value
from heptad.core.wording import list_names

HOUR: Final = 60 * MINUTE
_SLOT: Final = 1_000
"""All rows of a finding are within this many nanoseconds."""
_TEXTS: Final = {
    "addresses": ("address", "from"),
    "users": ("user", "who"),
    "hosts": ("host", "where"),
}
"""A list of a finding → the fields for its first name, and for the whole list as text."""
_COPIED: Final = (
    *("id", "state", "revision", "subject", "first", "last", "sentence", "count", "technique"),
    *_TEXTS,
)
_SUMMED: Final = {
    "high": "1 if it is current and high, otherwise 0",
    "medium": "1 if it is current and medium, otherwise 0",
    "finding": "1 if it is current, otherwise 0",
}
_PROOF: Final = 0.25

CURRENT: Final = Measurement(
    name="findings_current",
    about=(
        "The current row of each of [the findings](#findings), for dashboards. All rows of one "
        "finding are in one microsecond, in the hour of its first event: `GROUP BY time(1u), "
        '"rule"` with `last()` returns one row per finding.'
    ),
    always="level",
    tags={"rule": FINDINGS.tags["rule"]},
    fields={
        **{name: FINDINGS.fields[name] for name in _COPIED},
        "severity": Field(str, FINDINGS.tags["severity"]),
        "level": Field(int, "the severity as a number, from 1 (info) to 4 (high)"),
        **{name: Field(float, description) for name, description in _SUMMED.items()},
        "begin": Field(int, "the time (ns) of the first event of its evidence"),
        "one_address": Field(
            str, ("the first of `addresses`, if it is the only one; otherwise empty")
        ),
        **{first: Field(str, f"the first of `{name}`") for name, (first, _) in _TEXTS.items()},
        **{text: Field(str, f"`{name}` as text") for name, (_, text) in _TEXTS.items()},
    },
)

LOOKED: Final = Measurement(
    name="looked",
    about=(
        "Written every half minute: the aggregator has processed all events that had arrived. "
        "A list of findings is complete up to the last of these rows."
    ),
    always="level",
    tags={"by": "always `aggregator`, because 3.x rejects rows without a tag"},
    fields={
        "level": Field(int, "always 0, which is below the value of any finding"),
        "last": Field(int, "the time (ns) up to which events were processed"),
        "sentence": Field(str, "the same as text"),
        **{n: Field(float, f"always {_PROOF}: a sum with it is complete") for n in _SUMMED},
    },
)


def current_row(revision: Revision, *, replaces: bool) -> Row:
    """Return the current row of a finding; ``replaces``: it overwrites the previous revision."""
    finding = revision.finding
    told = msgspec.structs.asdict(finding)
    fields: dict[str, Value] = {name: told[name] for name in _COPIED if name in told}
    fields |= {
        "id": finding.id,
        "state": revision.state,
        "revision": revision.number,
        "severity": finding.severity,
        "level": finding.rank + 1,
        "high": float(revision.is_current and finding.severity == "high"),
        "medium": float(revision.is_current and finding.severity == "medium"),
        "finding": float(revision.is_current),
        "begin": _begin(finding),
        "one_address": "",
    }
    if len(finding.addresses) == 1 and "addresses" not in finding.more:
        (fields["one_address"],) = finding.addresses
    for name, (first, text) in _TEXTS.items():
        names: tuple[str, ...] = told[name]
        fields[name] = msgspec.json.encode(names).decode()
        fields[first] = names[0] if names else ""
        fields[text] = list_names(names, more=name in finding.more)
    place = slot_of(finding.key) + (0 if replaces else min(revision.number, _SLOT - 1))
    return CURRENT.row([("rule", finding.rule)], place, fields)


def _begin(finding: Finding) -> int:
    """For a finding read from the store, only the start of its evidence is known."""
    known = [finding.evidence_from] if finding.evidence_from else []
    return min([finding.first, *known, *(time for time, _ in finding.evidence)])


def slot_of(key: FindingKey) -> int:
    """Return the start of the microsecond of a finding, in ns."""
    digest = hashlib.sha256(msgspec.json.encode(key)).digest()
    return key[2] // HOUR * HOUR + int.from_bytes(digest[:8], "big") % (HOUR // _SLOT) * _SLOT


def looked_row(until: int) -> Row:
    """Return the row that marks all events that had arrived at ``until`` (ns) as processed."""
    told: dict[str, Value] = {
        "level": 0,
        "last": until,
        "sentence": "All events up to this time were processed",
    }
    return LOOKED.row([("by", "aggregator")], until, told | dict.fromkeys(_SUMMED, _PROOF))

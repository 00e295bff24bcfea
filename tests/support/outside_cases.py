"""Values of a foreign writer: valid ones with one or two mutations, and whether they stay valid."""

import base64
import random
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from heptad.aggregator.detection.finding import FINDINGS, Finding, Revision
from heptad.core.store.event_row import EVENTS, row_of_event
from heptad.core.store.heartbeat_row import HEARTBEATS
from heptad.core.store.line_protocol import encode_fields, encode_series, point_of
from heptad.core.store.measurements import Measurement
from heptad.core.store.point import Identity, Row, Value
from tests.support.aggregator_world import DAY, HOUR, MINUTE, SECOND, login

STATES: Final = ("progress", "counters", "first_start", "findings/brute_force", "report/report_top")
_LONG: Final = "x" * 600_000


class Case(NamedTuple):
    """A point, and whether Heptad would write such a one."""

    kind: str
    measurement: str
    tags: dict[str, str]
    time: int
    fields: dict[str, Value]
    valid: bool

    @property
    def row(self) -> Row:
        """The point as a store keeps it."""
        fields, raw = dict(self.fields), ""
        if isinstance(self.fields.get("raw"), str):  # otherwise it is an ordinary field
            raw = str(fields.pop("raw"))
        series = encode_series(self.measurement, self.tags.items())
        return Row(series, self.time, encode_fields(fields), raw)


class Change(NamedTuple):
    """A mutation: the tag or field to change, and its new value (None: delete it)."""

    name: str
    value: Value | None
    is_tag: bool = False

    def apply(self, tags: dict[str, str], fields: dict[str, Value]) -> None:
        tags.pop(self.name, None)
        fields.pop(self.name, None)
        if self.is_tag:
            tags[self.name] = str(self.value)
        elif self.value is not None:
            fields[self.name] = self.value


Mutation = tuple[Change, bool]
"""The change, and whether the point stays valid."""


def _set_field(name: str, value: Value) -> Change:
    return Change(name, value)


def _set_tag(name: str, value: str) -> Change:
    return Change(name, value, is_tag=True)


def _drop(name: str) -> Change:
    return Change(name, None)


COMMON: Final[list[Mutation]] = [
    (_set_field("colour", "red"), True),
    (_set_tag("shape", "round"), True),
]
MUTATIONS: Final[dict[str, list[Mutation]]] = {
    "event": [
        *[(_drop(tag), False) for tag in ("host", "source", "program", "outcome")],
        (_drop("count"), False),
        *[(_set_field("count", n), False) for n in (0, -1000, 10**6 + 1, 2**63 - 1)],
        *[(_set_field("count", n), True) for n in (1, 10**6)],
        (_set_field("user", "a\0b"), False),
        (_set_field("user", _LONG), False),
        (_set_field("object", "o" * 2**20), False),
        (_drop("user"), True),
        (_set_field("user", '","x"\\\n\u202e'), True),
        (_set_field("raw", "y" * 70_000), True),
        (_set_tag("reason", "no_such_reason"), True),
        (_set_field("source_ip", "999.1.1.1"), True),
    ],
    "finding": [
        *[(_drop(n), False) for n in ("subject", "first", "last", "count", "revision")],
        (_drop("severity"), False),
        (_set_tag("severity", "dreadful"), False),
        (_set_field("state", "gone"), False),
        (_set_field("count", 0), False),
        (_set_field("revision", -1), False),
        (_set_field("first", -1), False),
        (_set_field("last", 5), False),
        (_set_field("users", "[garbage"), False),
        (_set_field("evidence", "[1, 2]"), False),
        (_set_field("subject", _LONG), False),
        (_set_field("sentence", "a\0"), False),
        (_drop("technique"), True),
    ],
    "report": [
        (_drop("window"), False),
        (_set_tag("window", "7m"), False),
        (_drop("revision"), False),
        (_drop("events"), False),
        (_set_field("revision", -1), False),
        (_set_field("revision", 1), False),  # its time would be that of another window
        (_set_field("events", 0), False),
        (_set_field("successes", -5), False),
        (_drop("successes"), True),
    ],
    "heartbeat": [
        (_drop("host"), False),
        (_drop("machine_id"), False),
        (_drop("sequence"), False),
        (_set_field("sequence", -1), False),
        (_set_field("passed", -1), False),
        (_set_field("spans", "[[1,"), False),
        (_set_field("spans", '[["a", 1, 2]]'), False),
        (_set_field("spans", f"[{','.join(['[1,2,3]'] * 201)}]"), False),
        (_set_field("clock_offset", 1e300), False),
        (_drop("spans"), True),
        (_set_field("spans", "[[0, 9000000000, 1]]"), True),
    ],
}
WRONG_TYPES: Final[list[tuple[str, Value]]] = [
    ("count", 1.5),
    ("count", "x"),
    ("count", True),
    ("user", 5),
    ("source_ip", 1.5),
    ("trust", True),
    ("pid", "x"),
    ("source_port", 22.5),
    ("raw", 7),
]


def make_cases(chance: random.Random, noon: int, number: int) -> Iterator[Case]:
    """Yield cases of the hours around ``noon``; those of one series have different times."""
    for place in range(number):
        kind = chance.choice(sorted(MUTATIONS))
        measurement, tags, time, fields = _make_valid(kind, noon, place)
        valid, known = True, [*MUTATIONS[kind], *COMMON]
        changed: set[str] = set()
        for change, harmless in chance.sample(known, chance.choice((1, 1, 2))):
            if change.name not in changed:  # the second change must not undo the first
                change.apply(tags, fields)
                valid = valid and harmless
            changed.add(change.name)
        yield Case(kind, measurement, tags, time, fields, valid)


def _make_valid(
    kind: str, noon: int, place: int
) -> tuple[str, dict[str, str], int, dict[str, Value]]:
    if kind == "event":
        event = login(noon - HOUR + place * SECOND, "192.0.2.77", raw="a line", pid=place + 1)
        return _split(EVENTS, row_of_event(event))
    if kind == "finding":
        first = noon - HOUR + place * MINUTE // 10
        finding = Finding(
            rule="brute_force",
            subject=f"198.51.100.{place}",
            first=first,
            last=first + SECOND,
            day=first // DAY,
            severity="low",
            sentence="told before",
            count=5,
            technique="T1110",
            users=("root",),
            first_event=f"events,host=a {first}",
            last_event=f"events,host=a {first + SECOND}",
            evidence=(Identity(first, "events,host=a"),),
        )
        return _split(FINDINGS, Revision(finding, 0).row())
    if kind == "report":
        start = noon - 3 * HOUR - place * 5 * MINUTE
        tags = {"host": "evil", "program": "sshd", "method": "password", "window": "5m"}
        fields: dict[str, Value] = {"successes": 1, "failures": 2, "events": 3, "revision": 0}
        return "report_attempts", tags, start, fields
    fields = {"sequence": place, "spans": "[]", "passed": noon, "caught_up": True, "behind": 0}
    tags = {"host": f"other{place}", "machine_id": "9"}
    return HEARTBEATS.name, tags, noon - MINUTE - place, fields | {"clock_offset": 0.0}


def _split(declared: Measurement, row: Row) -> tuple[str, dict[str, str], int, dict[str, Value]]:
    point = point_of(row)
    return declared.name, dict(point.tags), point.time, dict(point.fields)


def make_state(chance: random.Random, key: str) -> tuple[str, bytes]:
    """Return a text for InfluxDB and bytes for a file, neither of which is a valid state."""
    data: bytes = chance.choice([b"", b"\xff\x94", b'[{"x": garbage', b"[[[", b"-5", b"1e9"])
    data += b" %d" % chance.randrange(10**9)
    return base64.b64encode(zlib.compress(data)).decode(), data

"""Heartbeats: what each exporter delivered, its position, and the offset of its clock.

An exporter writes at most one a minute to the bucket *heptad*: measurement ``heartbeat``, tags
``host`` and ``machine_id``, which keep a renamed host and clones apart. The time is the server's
clock. Anyone with an exporter's token can write anything there, so a forged heartbeat must never do
more harm than forged events could.
"""

import logging
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Self

import msgspec

from heptad.core.event import Time
from heptad.core.host import HOST_NAME
from heptad.core.influxdb.influxql import in_time, quote_name
from heptad.core.influxdb.paging import DAY
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.selection import CORE
from heptad.core.store.event_row import identify
from heptad.core.store.field_conflict import MOST_LISTED, Conflict, HeldGroup
from heptad.core.store.heartbeat_row import HEARTBEATS, MEASUREMENT, DeliveredInterval
from heptad.core.store.measurements import STORED, TYPES
from heptad.core.store.point import Point
from heptad.core.units import SECOND
from heptad.core.validation import Intake, Invalid, Number, check_text
from heptad.core.wording import list_names

log = logging.getLogger("heptad.influxdb")

ALIVE: Final = 180.0
"""Seconds without a new heartbeat after which an exporter counts as silent."""
SKEWED: Final = 60.0
"""Hosts whose clock is off by more than this, in seconds, are not waited for."""
REMEMBERED: Final = DAY
"""A silent exporter is forgotten after this many nanoseconds: the host was removed."""
_MOST_MACHINES: Final = 50_000
_MOST_OFFSET: Final = 1e11
_MOST_HELD: Final = 50
_FIELDS: Final = (
    "sequence",
    "passed",
    "behind",
    "caught_up",
    "clock_offset",
    "spans",
    "deaf",
    "held",
)
_NAMES: Final = ", ".join(
    f"{quote_name(name)}::{TYPES[HEARTBEATS.fields[name].type]}" for name in _FIELDS
)
_SELECT: Final = f"SELECT {_NAMES} FROM {quote_name(MEASUREMENT)}"  # noqa: S608 - quoted

Machine = tuple[str, str]
"""Host and machine id."""

_decode_held: Final = msgspec.json.Decoder(
    Annotated[list[tuple[str, str, str, str, Time, Number]], msgspec.Meta(max_length=MOST_LISTED)]
).decode
_decode_spans: Final = msgspec.json.Decoder(
    Annotated[list[DeliveredInterval], msgspec.Meta(max_length=200)]
).decode

_TROUBLES: Final = {
    "deaf": (
        "hosts with a source that is deaf or cannot be read",
        "`heptad report --local` on each of them shows why",
    ),
    "silent": ("exporters that are silent", "check that they are running and can reach InfluxDB"),
    "skewed": ("hosts whose clock is off by a minute or more", "synchronize the clocks"),
}


class Heartbeat(msgspec.Struct, frozen=True):
    """One heartbeat; ``time`` (server's clock) and ``watermark`` (host's clock) in nanoseconds.

    ``watermark``: all events of this host up to then are delivered. ``behind``: events that are not
    delivered yet. ``clock_offset``: seconds that the host's clock is ahead of the server's.
    ``held``: points that the server does not accept, as the exporter reports them.
    """

    machine: Machine
    time: Time
    sequence: Number
    watermark: Time = msgspec.field(default=0, name="passed")
    behind: Number = 0
    caught_up: bool = False
    clock_offset: Annotated[float, msgspec.Meta(ge=-_MOST_OFFSET, le=_MOST_OFFSET)] = 0.0
    intervals: list[DeliveredInterval] = msgspec.field(default_factory=list, name="spans")
    deaf: bool = False
    held: list[HeldGroup] = []


class FleetSummary(msgspec.Struct, frozen=True):
    """The state of the fleet: numbers of exporters, and the largest clock offset in seconds.

    ``behind``: live ones that have not caught up. ``shared_names``: host names of more than one
    live machine. ``shared_ids``: machine ids of more than one live host. ``deaf``: live ones with a
    source that is deaf or cannot be read.
    """

    live: int = 0
    silent: int = 0
    skewed: int = 0
    behind: int = 0
    shared_names: int = 0
    shared_ids: int = 0
    deaf: int = 0
    largest_offset: float = 0.0


class _MachineState(msgspec.Struct):
    """The newest heartbeat of a machine; ``moved``: when it arrived, on the monotonic clock (s)."""

    heartbeat: Heartbeat
    first: int
    moved: float


class Fleet:
    """Which exporters are alive, derived from heartbeats and from this process's own clock.

    ``at`` is always a monotonic time in seconds. A machine that another one replaced (a renamed or
    reinstalled host: same id or name, first heartbeat after the last one of the old machine) is
    neither waited for nor reported as silent.
    """

    def __init__(self) -> None:
        self._seen: dict[Machine, _MachineState] = {}

    @classmethod
    def of(cls, heartbeats: Iterable[Heartbeat], now: int) -> Self:
        """Create the fleet as it is at ``now`` (server's clock, ns), for which ``at`` is 0."""
        fleet = cls()
        for heartbeat in heartbeats:
            fleet.take(heartbeat, -max(0, now - heartbeat.time) / SECOND)
        return fleet

    def take(self, heartbeat: Heartbeat, at: float) -> None:
        """Add a heartbeat; a known or older one is ignored."""
        seen = self._seen.get(heartbeat.machine)
        if seen is None:
            if len(self._seen) >= _MOST_MACHINES:
                del self._seen[min(self._seen, key=lambda machine: self._seen[machine].moved)]
            self._seen[heartbeat.machine] = _MachineState(heartbeat, heartbeat.time, at)
        elif heartbeat.time > seen.heartbeat.time:
            seen.heartbeat, seen.moved = heartbeat, at

    def watermark(self, at: float) -> int | None:
        """Return the time (ns) up to which all live hosts with a correct clock have delivered."""
        heartbeats = (seen.heartbeat for seen in self._living(at))
        sound = (
            heartbeat.watermark for heartbeat in heartbeats if abs(heartbeat.clock_offset) <= SKEWED
        )
        return min(sound, default=None)

    def summary(self, at: float, now: int) -> FleetSummary:
        """Return the state at ``now`` (server's clock, ns); forget machines that are gone."""
        for machine, seen in list(self._seen.items()):
            if at - seen.moved > ALIVE and now - seen.heartbeat.time > REMEMBERED:
                del self._seen[machine]
        living = [seen.heartbeat for seen in self._living(at)]
        offsets = [abs(heartbeat.clock_offset) for heartbeat in living]
        return FleetSummary(
            live=len(living),
            silent=sum(at - seen.moved > ALIVE for seen in self._own()),
            skewed=sum(offset > SKEWED for offset in offsets),
            behind=sum(not heartbeat.caught_up for heartbeat in living),
            shared_names=_count_shared(heartbeat.machine[0] for heartbeat in living),
            shared_ids=_count_shared(heartbeat.machine[1] for heartbeat in living),
            deaf=sum(heartbeat.deaf for heartbeat in living),
            largest_offset=max(offsets, default=0.0),
        )

    def troubled(self, at: float) -> dict[str, list[str]]:
        """Return the hosts that ``summary`` counts as ``silent``, ``skewed`` or ``deaf``."""
        living = self._alive(at)
        hosts = {
            "silent": {
                seen.heartbeat.machine[0] for seen in self._own() if at - seen.moved > ALIVE
            },
            "skewed": {
                heartbeat.machine[0] for heartbeat in living if abs(heartbeat.clock_offset) > SKEWED
            },
            "deaf": {heartbeat.machine[0] for heartbeat in living if heartbeat.deaf},
        }
        return {what: sorted(names) for what, names in hosts.items()}

    def hosts(self) -> set[str]:
        """Return all known hosts whose names are valid in a configuration."""
        return {host for host, _ in self._seen if HOST_NAME.fullmatch(host)}

    def holders(self, conflicts: Container[Conflict], at: float) -> list[str]:
        """Return the live hosts that hold points for one of ``conflicts``."""
        living = self._alive(at)
        return sorted({b.machine[0] for b in living if any(g[0] in conflicts for g in b.held)})

    def held(self, at: float) -> list[HeldGroup]:
        """Return the points that live exporters report as held; most reported conflicts first."""
        groups = [group for seen in self._living(at) for group in seen.heartbeat.held]
        sayers = Counter((conflict, time // DAY) for conflict, time, _ in groups)
        most = {key for key, _ in sayers.most_common(_MOST_HELD)}
        return [group for group in groups if (group[0], group[1] // DAY) in most]

    def _alive(self, at: float) -> list[Heartbeat]:
        """Return the last heartbeats of all live machines, including replaced ones."""
        return [seen.heartbeat for seen in self._seen.values() if at - seen.moved <= ALIVE]

    def _living(self, at: float) -> list[_MachineState]:
        return [seen for seen in self._own() if at - seen.moved <= ALIVE]

    def _own(self) -> list[_MachineState]:
        """Return all machines except those that another one replaced."""
        begun: dict[tuple[int, str], int] = {}
        for machine, seen in self._seen.items():
            for part in enumerate(machine):
                begun[part] = max(seen.first, begun.get(part, seen.first))
        return [
            seen
            for machine, seen in self._seen.items()
            if all(begun[part] <= seen.heartbeat.time for part in enumerate(machine))
        ]


def fleet_watermark(heartbeats: Iterable[Heartbeat], now: int) -> int | None:
    """Return the time (ns) up to which all exporters that are alive at ``now`` (ns) have delivered.

    If none is alive, return the latest time that one of them reached; None if unknown.
    """
    heartbeats = [heartbeat for heartbeat in heartbeats if abs(heartbeat.clock_offset) <= SKEWED]
    living = [
        heartbeat.watermark for heartbeat in heartbeats if now - heartbeat.time <= ALIVE * SECOND
    ]
    return (min(living) if living else max((b.watermark for b in heartbeats), default=0)) or None


def describe_troubled(troubled: Mapping[str, Sequence[str]]) -> list[str]:
    """Return sentences with the hosts that have a problem; see Fleet.troubled."""
    return [
        f"{what}: {list_names(troubled[kind])}; {remedy}"
        for kind, (what, remedy) in _TROUBLES.items()
        if troubled.get(kind)
    ]


def _count_shared(names: Iterable[str]) -> int:
    return sum(number > 1 for number in Counter(names).values())


def read_heartbeats(reader: Reader, since: int, until: int, intake: Intake) -> Iterator[Heartbeat]:
    """Yield the heartbeats with since <= time < until (ns), in order; invalid ones are skipped."""
    points = reader.points(MEASUREMENT, since, until, fields=_FIELDS)
    return intake.sift("heartbeat", points, _heartbeat_of, identify)


def read_last_heartbeats(reader: Reader, now: int, intake: Intake) -> Iterator[Heartbeat]:
    """Yield the last heartbeat of every machine that was alive in the day before ``now`` (ns)."""
    times = in_time(now - REMEMBERED, now)
    last = "GROUP BY host, machine_id ORDER BY time DESC LIMIT 1"
    for series in reader.ask(f"{_SELECT} WHERE {times} {last}"):
        for time, *row in series.values:
            told = zip(series.columns[1:], row, strict=True)
            fields = {name: value for name, value in told if value is not None}
            points = [Point(MEASUREMENT, series.tags, fields, time)]
            yield from intake.sift("heartbeat", points, _heartbeat_of, identify)


def _heartbeat_of(point: Point) -> Heartbeat:
    """Convert a point; if it is invalid, raise one of FAULTS, and its host becomes silent."""
    host, machine_id = point.tags.get("host", ""), point.tags.get("machine_id", "")
    if not (host and machine_id):
        raise Invalid("missing", "no tag `host` or `machine_id`")
    check_text(host + machine_id)
    told: dict[str, Any] = {name: point.fields[name] for name in _FIELDS if name in point.fields}
    intervals = told.pop("spans", "[]")
    if not isinstance(intervals, str):
        raise Invalid("type", "spans that are not text")
    told["held"] = _read_held(told.pop("held", "[]"))
    told |= {"spans": _decode_spans(intervals), "machine": (host, machine_id), "time": point.time}
    return msgspec.convert(told, Heartbeat)


def _read_held(text: object) -> list[HeldGroup]:
    """Parse held points; accept only fields and types that Heptad writes."""
    if not isinstance(text, str):
        raise Invalid("type", "held points that are not text")
    groups = []
    for *names, time, points in _decode_held(text):
        conflict = Conflict(*names)
        declared = CORE.get(conflict.measurement)
        field = declared.fields.get(conflict.field) if declared else None
        if field is None or TYPES[field.type] != conflict.sent or conflict.stored not in STORED:
            raise Invalid("word", "a conflict about a field that Heptad does not write")
        groups.append((conflict, time, points))
    return groups

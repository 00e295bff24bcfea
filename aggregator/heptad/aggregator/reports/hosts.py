"""The hosts of a window: the first and last event of each, and what is known to be missing."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from heptad.core.event import Event
from heptad.core.store.measurements import Field
from heptad.core.store.point import Value

_COUNTED: Final = {
    "host_start": "starts",
    "host_stop": "stops",
    "daemon_error": "daemon_errors",
    "gap": "gaps",
}


class HostActivity(msgspec.Struct):
    """Counts of the events of one host; times are nanoseconds."""

    first: int
    last: int
    count: int = 0
    starts: int = 0
    stops: int = 0
    daemon_errors: int = 0
    gaps: int = 0

    def add(self, events: Sequence[Event]) -> None:
        times = [event.time for event in events]
        self.first = min(self.first, *times)
        self.last = max(self.last, *times)
        self.count += sum([event.count for event in events])
        for event in [event for event in events if event.action in _COUNTED]:
            counted = _COUNTED[event.action]
            setattr(self, counted, getattr(self, counted) + event.count)

    def merge(self, other: "HostActivity") -> None:
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        for counted in ("count", *_COUNTED.values()):
            setattr(self, counted, getattr(self, counted) + getattr(other, counted))


class HostsAccumulator:
    def __init__(self) -> None:
        self.seen: dict[str, HostActivity] = {}

    def add(self, events: Sequence[Event]) -> None:
        hosts: dict[str, list[Event]] = {}
        for event in events:
            hosts.setdefault(event.host, []).append(event)
        for host, own in hosts.items():
            self.seen.setdefault(host, HostActivity(own[0].time, own[0].time)).add(own)

    def merge(self, other: "HostsAccumulator") -> None:
        for host, seen in other.seen.items():
            self.seen.setdefault(host, HostActivity(seen.first, seen.last)).merge(seen)

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        for host, seen in sorted(self.seen.items()):
            yield {"host": host}, msgspec.structs.asdict(seen)


class HostsReport:
    name: Final = "report_hosts"
    about: Final = (
        "The first and last event of each host, and what is missing. Lines that no rule "
        "understood are not events, so they are not in this report: see "
        "`heptad_lines_not_understood_total`, and `heptad report` for numbers by host."
    )
    actions: Final[frozenset[str]] = frozenset()
    tags: Final = {"host": "where"}
    fields: Final = {
        "first": Field(int, "time of the first event, in nanoseconds since the epoch"),
        "last": Field(int, "time of the last event"),
        "count": Field(int, "number of events"),
        "starts": Field(int, "number of starts of the host"),
        "stops": Field(int, "number of times it stopped or was suspended"),
        "daemon_errors": Field(int, "problems that daemons reported"),
        "gaps": Field(int, "parts of a log that could not be read, so their events are missing"),
    }

    def begin(self) -> HostsAccumulator:
        return HostsAccumulator()

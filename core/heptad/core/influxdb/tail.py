"""New events of a bucket, which has no index of arrival, for interactive use.

Each poll reads the last seconds. Later arrivals are found by counting: a minute with more events
than were seen is read again. This covers the last ten minutes, or less if there are too many events
to remember.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from heptad.core.event import Event
from heptad.core.influxdb.influxql import LATEST
from heptad.core.influxdb.paging import DAY
from heptad.core.influxdb.query import Reader
from heptad.core.intervals import MINUTE
from heptad.core.store.api import StoreError, TagFilter
from heptad.core.store.event_row import MEASUREMENT as EVENTS
from heptad.core.store.event_row import events_of_points
from heptad.core.store.point import Point
from heptad.core.validation import Intake

REACH: Final = 10
"""Minutes."""
_LAST: Final = 3 * 10**9
_COUNT_EVERY: Final = 10.0
_MOST_SEEN: Final = 200_000
_MOST_LATEST: Final = 1000
_KNOWN: Final = 10_000
_PATIENCE: Final = 3.0


class InfluxTail:
    """Events since ``since`` (ns) with these ``tags``; each is returned once.

    ``now`` is nanoseconds since the epoch, ``tick`` a monotonic time in seconds, ``pause`` the time
    to wait between two polls. The methods raise StoreError.
    """

    pause: Final = 1.0

    def __init__(
        self,
        reader: Reader,
        since: int,
        tags: TagFilter,
        now: Callable[[], int],
        tick: Callable[[], float],
        intake: Intake,
    ) -> None:
        self._reader = reader
        self._intake = intake
        self._since = since
        self._tags = tags
        self._now = now
        self._tick = tick
        self._seen: dict[int, set[int]] = {}
        self._first = since // MINUTE
        self._due = tick() + _COUNT_EVERY

    def history(self) -> Iterator[Event]:
        self._forget()
        return events_of_points(self._read(self._since, LATEST), self._intake)

    def pass_over(self) -> None:
        """Mark the existing events as seen."""
        self._forget()
        for _ in self._read(self._since, self._now() + DAY, ("count",)):
            pass

    def poll(self) -> Iterator[Event]:
        return events_of_points(self._poll(), self._intake)

    def _poll(self) -> Iterator[Point]:
        now = self._now()
        ahead = now + DAY
        yield from self._read(max(self._since, now - _LAST), ahead)
        if self._tick() < self._due:
            return
        self._due = self._tick() + _COUNT_EVERY
        self._forget()
        begin = max(self._first * MINUTE, self._since)
        counted = self._reader.count_minutes(EVENTS, begin, ahead, self._tags)
        for minute, number in list(counted):
            if number > len(self._seen.get(minute, ())):
                yield from self._read(max(minute * MINUTE, begin), (minute + 1) * MINUTE)

    def _read(self, since: int, until: int, fields: Sequence[str] = ()) -> Iterator[Point]:
        """Yield the points that were not seen yet."""
        points = self._reader.points(EVENTS, since, until, self._tags, fields=fields)
        for point in points:
            minute = point.time // MINUTE
            seen = self._seen.setdefault(minute, set()) if minute >= self._first else set()
            identity = hash((point.time, frozenset(point.tags.items())))
            if identity not in seen:
                seen.add(identity)
                yield point

    def _forget(self) -> None:
        """Forget minutes that are too old, or that have too many events; never the last one."""
        now = self._now() // MINUTE
        self._first = max(self._first, now - REACH)
        while sum(map(len, self._seen.values())) > _MOST_SEEN and self._first < now - 1:
            self._first += 1
            self._drop()
        self._drop()

    def _drop(self) -> None:
        self._seen = {minute: seen for minute, seen in self._seen.items() if minute >= self._first}


class LatestEvents:
    """The events since the first client started to watch; all clients share the last ones.

    A position is an event number that starts at the time in milliseconds when watching started. So
    a position of another run, or from before a pause, is far behind and recognized as such.
    """

    def __init__(
        self, reader: Reader, now: Callable[[], int], tick: Callable[[], float], intake: Intake
    ) -> None:
        self._reader = reader
        self._now = now
        self._tick = tick
        self._intake = intake
        self._lock = threading.Lock()
        self._follower: InfluxTail | None = None
        self._held: deque[tuple[int, Event]] = deque(maxlen=_MOST_LATEST)
        self._newest = 0
        self._looked = 0.0

    def poll(self) -> int:
        """Read new events, and return the position of the last one; raise StoreError."""
        if not self._lock.acquire(timeout=_PATIENCE):
            raise StoreError(
                "InfluxDB is slow to return new events; check that it is not overloaded"
            )
        try:
            now = self._tick()
            if self._follower is None or now - self._looked > (REACH - 1) * 60:
                self._follower = self._begin()
            elif now - self._looked >= self._follower.pause:
                for event in self._follower.poll():
                    self._newest += 1
                    self._held.append((self._newest, event))
            else:
                return self._newest
            self._looked = now
            return self._newest
        finally:
            self._lock.release()

    def since(self, position: int, most: int) -> tuple[list[Event], int]:
        """Return the first ``most`` events after ``position``, and the new position."""
        with self._lock:
            held = [entry for entry in self._held if entry[0] > position][:most]
            return [event for _, event in held], held[-1][0] if held else self._newest

    def _begin(self) -> InfluxTail:
        """Start now; cover late events as far back as there are few enough to remember."""
        now = self._now()
        since, known = now // MINUTE * MINUTE - REACH * MINUTE, 0
        counted = list(self._reader.count_minutes(EVENTS, since, now + DAY))
        for minute, number in reversed(counted):
            known += number
            if known > _KNOWN:
                since = min((minute + 1) * MINUTE, now)
                break
        follower = InfluxTail(self._reader, since, {}, self._now, self._tick, self._intake)
        follower.pass_over()
        self._held.clear()
        self._newest = max(now // 10**6, self._newest + 2 * _MOST_LATEST)
        return follower

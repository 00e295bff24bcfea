"""Events as they come into a bucket, which has no index of arrival: for a person who watches.

The last seconds are read at every look. What comes later than that is found by counting: where a
minute has more events than were seen of it, it is read again. That reaches ten minutes back, and
less where so many come that it is too much to remember them all.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from heptad.core.influxdb.influxql import LATEST
from heptad.core.influxdb.paging import DAY
from heptad.core.influxdb.query import Reader
from heptad.core.intervals import MINUTE
from heptad.core.store.api import TagFilter
from heptad.core.store.point import Point

REACH: Final = 10
"""Minutes."""
_LAST: Final = 3 * 10**9
_COUNT_EVERY: Final = 10.0
_MOST_SEEN: Final = 200_000


class InfluxTail:
    """Events of ``measurement`` since ``since`` (ns) with these ``tags``, each given once.

    ``now`` is nanoseconds since the epoch, ``tick`` a monotonic time in seconds, ``pause`` how
    long to wait between two looks. The methods raise StoreError.
    """

    pause: Final = 1.0

    def __init__(
        self,
        reader: Reader,
        measurement: str,
        since: int,
        tags: TagFilter,
        now: Callable[[], int],
        tick: Callable[[], float],
    ) -> None:
        self._reader = reader
        self._measurement = measurement
        self._since = since
        self._tags = tags
        self._now = now
        self._tick = tick
        self._seen: dict[int, set[int]] = {}
        self._first = since // MINUTE
        self._due = tick() + _COUNT_EVERY

    def history(self) -> Iterator[Point]:
        """What is there already, in order of time."""
        self._forget()
        return self._read(self._since, LATEST)

    def pass_over(self) -> None:
        """Take what is there already for seen."""
        self._forget()
        for _ in self._read(self._since, self._now() + DAY, ("count",)):
            pass

    def poll(self) -> Iterator[Point]:
        """What came since the last look."""
        now = self._now()
        ahead = now + DAY
        yield from self._read(max(self._since, now - _LAST), ahead)
        if self._tick() < self._due:
            return
        self._due = self._tick() + _COUNT_EVERY
        self._forget()
        begin = max(self._first * MINUTE, self._since)
        counted = self._reader.count_minutes(self._measurement, begin, ahead, self._tags)
        for minute, number in list(counted):
            if number > len(self._seen.get(minute, ())):
                yield from self._read(max(minute * MINUTE, begin), (minute + 1) * MINUTE)

    def _read(self, since: int, until: int, fields: Sequence[str] = ()) -> Iterator[Point]:
        """What was not seen yet."""
        points = self._reader.points(self._measurement, since, until, self._tags, fields=fields)
        for point in points:
            minute = point.time // MINUTE
            seen = self._seen.setdefault(minute, set()) if minute >= self._first else set()
            identity = hash((point.time, frozenset(point.tags.items())))
            if identity not in seen:
                seen.add(identity)
                yield point

    def _forget(self) -> None:
        """The minutes that are too long ago, or too full; never the last."""
        now = self._now() // MINUTE
        self._first = max(self._first, now - REACH)
        while sum(map(len, self._seen.values())) > _MOST_SEEN and self._first < now - 1:
            self._first += 1
            self._drop()
        self._drop()

    def _drop(self) -> None:
        self._seen = {minute: seen for minute, seen in self._seen.items() if minute >= self._first}

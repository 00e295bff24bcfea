"""Find the shard in which a field has another type, and the claimed host of a point with it."""

import time
from collections.abc import Callable, Iterable
from typing import Final

from heptad.core import units
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.influxql import in_time, quote_name
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.retention import default_policy, read_duration, read_rule
from heptad.core.store.api import StoreError
from heptad.core.store.field_conflict import Conflict, HeldGroup, HeldPoints, Shard
from heptad.core.terminal import printable

_SECOND: Final = units.SECOND
_HOUR: Final = 3600 * _SECOND
_DAY: Final = 24 * _HOUR
_YEAR_ONE: Final = 62_135_596_800 * _SECOND
"""InfluxDB counts shards from the beginning of year 1 (Go's ``Time.Truncate``)."""
_ONE_TYPE: Final = 3
_AGAIN: Final = 60.0
_MOST: Final = 100
_MOST_SHOWN: Final = 64
_NUMERIC: Final = ("float", "integer", "unsigned")


class ConflictFinder:
    """Finds shards of ``bucket`` with a conflicting field type; caches results for a minute.

    ``tick`` is a monotonic time in seconds.
    """

    def __init__(
        self, connection: InfluxConnection, bucket: str, tick: Callable[[], float] = time.monotonic
    ) -> None:
        self._connection = connection
        self._bucket = bucket
        retention = connection.config.retention.events
        self._keeps = int(retention * units.SECOND)
        self._tick = tick
        self._reader = Reader(connection, bucket)
        self._found: dict[tuple[Conflict, int], tuple[float, Shard]] = {}
        self._length: tuple[float, int] | None = None

    def gather(self, groups: Iterable[HeldGroup]) -> list[HeldPoints]:
        """Group held points by conflict and shard."""
        found: dict[tuple[Conflict, int], HeldPoints] = {}
        for conflict, at, points in groups:
            place = self.find(conflict, at)
            held = found.get((conflict, place.since), HeldPoints(conflict, place, at, 0))
            found[conflict, place.since] = held._replace(points=held.points + points)
        return list(found.values())

    def find(self, conflict: Conflict, time: int) -> Shard:
        """Return the shard of ``time`` (ns), and the claimed host of a point with that type."""
        if self._connection.generation >= _ONE_TYPE:
            since, until = 0, 0
        else:
            since, until = _cut(time, self._find_length())
        key = (conflict, since)
        at, place = self._found.get(key, (0.0, None))
        if place is not None and self._tick() - at < _AGAIN:
            return place
        try:
            host = self._find_host(conflict, since, until or time + 1)
        except StoreError:
            host = None
        place = Shard(since, until, host)
        while len(self._found) >= _MOST:
            del self._found[next(iter(self._found))]
        self._found[key] = (self._tick(), place)
        return place

    def _find_host(self, conflict: Conflict, since: int, until: int) -> str | None:
        name = quote_name(conflict.field)
        text = name if conflict.stored in _NUMERIC else f"{name}::{conflict.stored}"
        source = f"FROM {quote_name(conflict.measurement)} WHERE {in_time(since, until)}"
        query = f'SELECT {text}, "host"::tag {source} ORDER BY time LIMIT 1'
        for series in list(self._reader.ask(query)):
            for row in series.values:
                if self._is_so(conflict, name, source):
                    claimed = row[series.columns.index("host")]
                    return printable(claimed, _MOST_SHOWN) if isinstance(claimed, str) else ""
        return None

    def _is_so(self, conflict: Conflict, name: str, source: str) -> bool:
        """Return whether a field has this type; casts convert numbers, but ``&`` rejects floats."""
        if conflict.stored not in _NUMERIC:
            return True
        try:
            whole = bool(list(self._reader.ask(f"SELECT {name} & 1 {source} LIMIT 1")))
        except StoreError as error:
            return conflict.stored == "float" and "float" in str(error)
        return whole and conflict.stored != "float"

    def _find_length(self) -> int:
        """Return the length of a shard in ns: as reported, else the default for the retention."""
        if self._length is not None and self._tick() - self._length[0] < _AGAIN:
            return self._length[1]
        try:
            length = (self._ask_length() or 0) * _SECOND
        except StoreError:
            length = 0
        if length < _HOUR:
            # docs.influxdata.com, "InfluxDB shards and shard groups"
            short = _HOUR if self._keeps < 2 * _DAY else _DAY
            length = short if 0 < self._keeps < 180 * _DAY else 7 * _DAY
        self._length = (self._tick(), length)
        return length

    def _ask_length(self) -> int | None:
        if self._connection.generation == 1:
            policy = default_policy(self._connection, self._bucket)
            return read_duration(policy, "shardGroupDuration") if policy else None
        return read_rule(self._connection, self._bucket, "shardGroupDurationSeconds")


def _cut(time: int, length: int) -> tuple[int, int]:
    since = (time + _YEAR_ONE) // length * length - _YEAR_ONE
    return since, since + length

"""Assign every point of a series a time of its own: a point's identity is its series and its time.

Timestamps have a resolution of a second or a microsecond, and thousands of lines share one. The
first gets the timestamp, the next the timestamp plus one nanosecond, and so on; a time is never
reused. The constraint UNIQUE (series, time) of the table decides: this is only a cache that avoids
queries.

Of deleted points only the newest time of a series is known, its floor. If they were delivered, they
still exist elsewhere. So a point with a timestamp before the floor is moved by a random part of a
second: even with thousands of points in that second it very probably gets a free time.

Two machines with the same host name share their series in the destination, although each has its
own store. So if points are delivered, each machine adds its own offset to timestamps.
"""

import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from secrets import randbelow
from typing import Final, NamedTuple, Self

from heptad.core.store.point import Row

_MOST_STAMPS: Final = 20_000
_SECOND: Final = 10**9
_NEVER: Final = -(2**63)
_MOST: Final = 2**63 - 1
_MILLISECOND: Final = 10**6
_MICROSECOND: Final = 10**3


class Offset(NamedTuple):
    """Nanoseconds added to a timestamp of a whole second, and to any other whole microsecond.

    They are below the log's resolution and equal for all lines of a machine, so the order of lines
    is preserved. One in a million timestamps of the journal is a whole second, and is then moved by
    less than a millisecond.
    """

    second: int = 0
    microsecond: int = 0

    @classmethod
    def of(cls, machine: str) -> Self:
        """Return the offset of a machine, given any text that distinguishes it from others."""
        number = int.from_bytes(sha256(machine.encode()).digest())
        # half a microsecond is left for lines that share it
        return cls(number % _MILLISECOND, number // _MILLISECOND % (_MICROSECOND // 2))

    def apply(self, rows: Iterable[Row]) -> list[Row]:
        """Move the rows whose time has no nanoseconds yet."""
        second, other = self
        return [
            row
            if row.time % _MICROSECOND
            else Row(
                row.series, row.time + (other if row.time % _SECOND else second), row.body, row.raw
            )
            for row in rows
        ]


class _SeriesTimes:
    """The state of a series: no point is later than ``top``; ``free`` maps a timestamp to a time.

    Some of the points up to ``floor`` were deleted.
    """

    __slots__ = ("floor", "free", "top")

    def __init__(self, top: int, floor: int) -> None:
        self.top = top
        self.floor = floor
        self.free: dict[int, int] = {}


class Identities:
    """Assigns times in the series of one file; with ``floors``, deleted points are considered."""

    def __init__(self, db: sqlite3.Connection, *, floors: bool = False) -> None:
        self._db = db
        self._floors = floors
        self._known: dict[int, _SeriesTimes] = {}

    def forget(self) -> None:
        """Clear the cache, after a transaction that was not committed."""
        self._known.clear()

    def assign(self, points: Iterable[tuple[int, int]]) -> list[int]:
        """Return for each (series, timestamp) a free time of the series, from there on.

        Call it once per transaction: times assigned earlier must be in the table.
        """
        if sum(len(known.free) for known in self._known.values()) > _MOST_STAMPS:
            for known in self._known.values():
                known.free.clear()
        times = []
        for series, stamp in points:
            known = self._known.get(series) or self._know(series)
            time = known.free.get(stamp)
            if time is None:
                time = stamp if stamp > known.top else self._find_free(series, stamp, known.floor)
            known.free[stamp] = time + 1
            if time > known.top:  # noqa: PLR1730 - max() costs as much as all the rest
                known.top = time
            times.append(time)
        return times

    def tops(self) -> dict[int, int]:
        """Return the newest time of each series that is in the cache."""
        return {series: known.top for series, known in self._known.items()}

    def _know(self, series: int) -> _SeriesTimes:
        tops = self._db.execute(
            # only foreign writers store a type other than integer; it compares larger than integers
            "SELECT (SELECT max(time) FROM points WHERE series = :id AND time <= :most), "
            "(SELECT max(until) - 1 FROM taken WHERE head = s.head AND until <= :most), "
            "iif(typeof(floor) = 'integer', floor, NULL) FROM series AS s WHERE id = :id",
            {"id": series, "most": _MOST},
        ).fetchone()
        top = max((int(top) for top in tops if top is not None), default=_NEVER)
        floor = tops[2] if self._floors and tops[2] is not None else _NEVER
        known = self._known[series] = _SeriesTimes(top, floor)
        return known

    def _find_free(self, series: int, stamp: int, floor: int) -> int:
        time = self.first_free(series, stamp)
        return time if stamp > floor else self.first_free(series, stamp + randbelow(_SECOND))

    def first_free(self, series: int, stamp: int) -> int:
        """Return the first time at or after ``stamp`` that is free in ``series``."""
        time = stamp
        while (free := self._skip_taken(series, self._skip_points(series, time))) != time:
            time = free
        return time

    def _skip_taken(self, series: int, stamp: int) -> int:
        found = self._db.execute(
            "SELECT until FROM taken WHERE head = (SELECT head FROM series WHERE id = ?) "
            "AND since <= ? AND until > ? AND until <= ?",
            (series, stamp, stamp, _MOST),
        ).fetchone()
        return stamp if found is None else int(found[0])

    def _skip_points(self, series: int, stamp: int) -> int:
        taken = self._db.execute(
            "SELECT 1 FROM points WHERE series = ? AND time = ?", (series, stamp)
        ).fetchone()
        if taken is None:
            return stamp
        last = self._db.execute(
            "SELECT time FROM points AS p WHERE series = ? AND time >= ? AND NOT EXISTS "
            "(SELECT 1 FROM points AS q WHERE q.series = p.series AND q.time = p.time + 1) "
            "ORDER BY time LIMIT 1",
            (series, stamp),
        ).fetchone()
        return int(last[0]) + 1

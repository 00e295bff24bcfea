"""A point's identity is its series and its time: give every point a time of its own.

Stamps have a second or a microsecond at best, and thousands of lines share one. The first gets
the stamp, the next the stamp plus one nanosecond, and so on; what is taken is never given again.
The table's UNIQUE (series, time) has the last word: this is only the memory that spares asking.

Of points that were deleted only the newest time of a series is known, its floor. Where they were
delivered before, they still are, so what comes with a stamp from before the floor moves on by a
random part of a second: even thousands of points in that second leave it a place of its own.

Two machines under one host name share their series elsewhere, though each has a store of its own.
So where points are delivered a machine begins at an offset of its own behind the stamp.
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
    """Nanoseconds behind a stamp of a whole second, and of any other whole microsecond.

    Less than the log's own precision, and alike for all lines of a machine, which so keep their
    order. A stamp of the journal is a whole second once in a million times, and then moves by less
    than a millisecond.
    """

    second: int = 0
    microsecond: int = 0

    @classmethod
    def of(cls, machine: str) -> Self:
        """That of a machine, which any text may tell from others."""
        number = int.from_bytes(sha256(machine.encode()).digest())
        # half of a microsecond is left to lines that share it
        return cls(number % _MILLISECOND, number // _MILLISECOND % (_MICROSECOND // 2))

    def apply(self, rows: Iterable[Row]) -> list[Row]:
        """Rows whose time is their stamp, moved on."""
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
    """What is known of a series: no point lies past ``top``, and ``free`` follows a stamp's last.

    Of the points up to ``floor`` some were deleted.
    """

    __slots__ = ("floor", "free", "top")

    def __init__(self, top: int, floor: int) -> None:
        self.top = top
        self.floor = floor
        self.free: dict[int, int] = {}


class Identities:
    """Assigns times in the series of one file; with ``floors`` deleted points matter."""

    def __init__(self, db: sqlite3.Connection, *, floors: bool = False) -> None:
        self._db = db
        self._floors = floors
        self._known: dict[int, _SeriesTimes] = {}

    def forget(self) -> None:
        """Ask the table again: after a transaction that was not committed."""
        self._known.clear()

    def assign(self, points: Iterable[tuple[int, int]]) -> list[int]:
        """For each (series, stamp) a time from the stamp on that no point of the series has had.

        They are one transaction: what was assigned before is in the table.
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
        """Series → the newest time in it, of the series that were asked for."""
        return {series: known.top for series, known in self._known.items()}

    def _know(self, series: int) -> _SeriesTimes:
        tops = self._db.execute(
            # of another type than an integer is what nobody wrote, and larger than any of them
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
        """The first time at or after ``stamp`` that is not taken in ``series``."""
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

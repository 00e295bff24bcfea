"""A point's identity is its series and its time: give every point a time of its own.

Stamps have a second or a microsecond at best, and thousands of lines share one. The first gets
the stamp, the next the stamp plus one nanosecond, and so on; what is taken is never given again.
The table's UNIQUE (series, time) has the last word: this is only the memory that spares asking.
"""

import sqlite3
from typing import Final

_MOST_OLD: Final = 20_000


class _Run:
    """A series' newest points: those of ``stamp`` end before ``free``, none lies past ``top``."""

    __slots__ = ("free", "stamp", "top")

    def __init__(self, top: int) -> None:
        self.top = top
        self.stamp = self.free = top + 1


class Identities:
    """Assigns times in the series of one file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._runs: dict[int, _Run] = {}
        self._old: dict[tuple[int, int], int] = {}

    def forget(self) -> None:
        """Ask the table again: after a transaction that was not committed."""
        self._runs.clear()
        self._old.clear()

    def begin(self) -> None:
        """A transaction begins: what was assigned before is in the table now."""
        if len(self._old) > _MOST_OLD:
            self._old.clear()

    def assign(self, series: int, stamp: int) -> int:
        """A time at or after ``stamp`` that no point of ``series`` has had."""
        run = self._runs.get(series)
        if run is None:
            run = self._runs[series] = _Run(self._find_top(series))
        time = run.free
        if run.stamp <= stamp < time:
            run.free = time + 1
        else:
            if run.stamp < time:
                self._old[series, run.stamp] = time
            if stamp > run.top:
                time = stamp
            else:
                known = self._old.get((series, stamp))
                time = self.first_free(series, stamp) if known is None else known
            run.stamp = stamp
            run.free = time + 1
        run.top = max(run.top, time)
        return time

    def _find_top(self, series: int) -> int:
        found = self._db.execute("SELECT max(time) FROM points WHERE series = ?", (series,))
        top: int | None = found.fetchone()[0]
        return -(2**63) if top is None else top

    def first_free(self, series: int, stamp: int) -> int:
        """The first time at or after ``stamp`` that the table does not have in ``series``."""
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

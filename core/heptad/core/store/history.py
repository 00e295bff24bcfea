"""What a store contained up to a position, for lines that another source reads a second time."""

import sqlite3
from collections.abc import Collection, Iterator
from typing import Final

_PLACES: Final = 500
"""Series per query: the oldest versions of SQLite allow 999 parameters."""

Stored = tuple[int, str, int, str, str]
"""A point: (arrival number, series, time in ns, body, raw)."""


class Past:
    """The points of a store that arrived up to the position ``upto``."""

    def __init__(self, db: sqlite3.Connection, upto: int) -> None:
        self._db = db
        self._upto = upto
        self.series: dict[int, str] = dict(db.execute("SELECT id, head FROM series"))
        """The series, by id."""

    def newest_arrivals(self, most: int) -> Iterator[Stored]:
        """Yield at most ``most`` points, the last arrival first."""
        rows = self._db.execute(
            "SELECT id, series, time, body, raw FROM points WHERE id <= ? ORDER BY id DESC LIMIT ?",
            (self._upto, most),
        )
        for number, series_ids, time, body, raw in rows:
            yield number, self.series[series_ids], time, body, raw

    def newest_times(self) -> Iterator[tuple[str, int]]:
        """Yield each series with its newest time (ns), including deleted points."""
        rows = self._db.execute(
            "SELECT head, floor, (SELECT max(time) FROM points WHERE series = s.id AND id <= :upto)"
            " FROM series AS s WHERE :upto > 0",
            {"upto": self._upto},
        )
        for series, *times in rows:
            known = [time for time in times if time is not None]
            if known:
                yield series, max(known)

    def between(
        self,
        series_ids: Collection[int],
        since: int,
        until: int,
        most: int,
        *,
        backwards: bool = False,
        folded: bool = False,
    ) -> list[Stored]:
        """Return at most ``most`` points of some series in [since, until), by time.

        ``backwards``: the newest of them, the newest first. ``folded``: only those with a count
        above one.
        """
        found: list[Stored] = []
        numbers = list(series_ids)
        for start in range(0, len(numbers), _PLACES):
            part = numbers[start : start + _PLACES]
            rows = self._db.execute(
                "SELECT id, series, time, body, raw FROM points "  # noqa: S608 - only question marks and fixed words are inserted
                f"WHERE series IN ({', '.join('?' * len(part))}) AND time >= ? AND time < ? "
                f"AND id <= ? {'AND body NOT LIKE ? ' if folded else ''}"
                f"ORDER BY time {'DESC' if backwards else 'ASC'}, id LIMIT ?",
                (*part, since, until, self._upto, *(["count=1i%"] if folded else []), most),
            )
            found += [(n, self.series[s], time, body, raw) for n, s, time, body, raw in rows]
        found.sort(key=lambda one: (one[2], one[0]), reverse=backwards)
        return found[:most]

    def last_mark(self) -> int | None:
        """Return the last recorded time (ns) before the last point arrived; None if none is."""
        row = self._db.execute(
            "SELECT at FROM marks WHERE position < ? ORDER BY position DESC, at DESC LIMIT 1",
            (self._upto,),
        ).fetchone()
        return None if row is None else int(row[0] * 10**9)

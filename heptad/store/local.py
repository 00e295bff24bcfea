"""The store on one host: an SQLite file (WAL) that is bucket and outbox in one.

Rows, counters and state of a batch are committed in one transaction; ``synchronous=FULL``, so
that what was committed survives a power cut too. One writer per file holds a lock beside it.
"""

import json
import logging
import os
import sqlite3
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

from heptad.store import Arrival, Counters, Point, Row, StoreError, point_of
from heptad.store.file import (
    StoreCorrupt,
    is_corrupt,
    lock_file,
    open_checked,
    open_for_reading,
    set_aside,
)
from heptad.store.identity import Identities

log = logging.getLogger("heptad.store")

_BULK: Final = 8000
_INSERT: Final = "INSERT {}INTO points (series, time, body, raw) VALUES "
_ROW: Final = "(?, ?, ?, ?)"
_COLUMNS: Final = 4
_PRUNE_STEP: Final = 5000
_MARK_EVERY: Final = 600


class LocalStore:
    """A store in the file ``path``; ``max_age`` in seconds since arrival, ``max_size`` in bytes.

    With ``write`` the file is created, checked, locked and, if it is corrupt, set aside and begun
    anew. Without, it must be there. Raises StoreError with the remedy.
    """

    def __init__(
        self,
        path: Path,
        *,
        write: bool = False,
        max_age: float = 30 * 86_400,
        max_size: int = 2**30,
    ) -> None:
        self.path = path
        self.max_age = max_age
        self.max_size = max_size
        self.set_aside: Path | None = None
        self._lock: int | None = None
        self._series: dict[str, int] = {}
        if write:
            self._lock = lock_file(path)
            try:
                self._db = self._open_for_writing()
            except BaseException:
                os.close(self._lock)
                raise
        else:
            self._db = open_for_reading(path)
        self._identities = Identities(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the lock back."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open_for_writing(self) -> sqlite3.Connection:
        try:
            return open_checked(self.path)
        except StoreCorrupt as error:
            return self._replace_file(str(error))

    def _replace_file(self, reason: str) -> sqlite3.Connection:
        self.set_aside = set_aside(self.path)
        log.error(
            "store is corrupt: set aside, a new one begun",
            extra={"store": self.path, "kept_as": self.set_aside, "error": reason},
        )
        return open_checked(self.path)

    def begin_anew(self) -> None:
        """Set a file aside that turned out to be corrupt, and begin an empty one."""
        with suppress(sqlite3.Error):
            self._db.close()
        self._db = self._replace_file("found while writing")
        self._series.clear()
        self._identities = Identities(self._db)

    # writing

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
        *,
        move_on: bool = True,
    ) -> None:
        """See Store.append; without ``move_on`` a row whose place is taken is left out."""
        try:
            self._append(rows, state or {}, counters or {}, move_on)
        except sqlite3.Error as error:
            self._roll_back()
            if is_corrupt(error):
                raise StoreCorrupt(f"{self.path}: {error}") from error
            raise StoreError(f"{self.path}: {error}") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        self._series.clear()
        self._identities.forget()
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def _append(
        self, rows: Sequence[Row], state: Mapping[str, bytes], counters: Counters, move_on: bool
    ) -> None:
        with self._transaction():
            series = self._series_ids(rows)
            if move_on:
                self._insert_moving_on(rows, series)
            else:
                placed = ((s, *row[1:]) for s, row in zip(series, rows, strict=True))
                self._insert(list(chain.from_iterable(placed)), "OR IGNORE ")
            self._db.executemany(
                "INSERT INTO state VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                list(state.items()),
            )
            self._db.executemany(
                "INSERT INTO counters VALUES (?, ?, ?) "
                "ON CONFLICT (name, labels) DO UPDATE SET value = value + excluded.value",
                [(name, labels, amount) for (name, labels), amount in counters.items()],
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        yield
        self._db.execute("COMMIT")

    def _series_ids(self, rows: Sequence[Row]) -> list[int]:
        known = self._series
        for head in {row[0] for row in rows} - known.keys():
            self._db.execute("INSERT OR IGNORE INTO series (head) VALUES (?)", (head,))
            found = self._db.execute("SELECT id FROM series WHERE head = ?", (head,)).fetchone()
            known[head] = found[0]
        return [known[row[0]] for row in rows]

    def _insert_moving_on(self, rows: Sequence[Row], series: list[int]) -> None:
        assign = self._identities.assign
        self._identities.begin()
        placed: list[Any] = []
        for number, (_, time, body, raw) in zip(series, rows, strict=True):
            placed += (number, assign(number, time), body, raw)
        self._db.execute("SAVEPOINT placed")
        try:
            self._insert(placed, "")
        except sqlite3.IntegrityError:
            # the table judges, not the memory of what was assigned
            self._db.execute("ROLLBACK TO placed")
            self._identities.forget()
            for number, (_, time, body, raw) in zip(series, rows, strict=True):
                free = self._identities.first_free(number, time)
                self._insert([number, free, body, raw], "")
        self._db.execute("RELEASE placed")

    def _insert(self, values: list[Any], conflict: str) -> None:
        """Many rows a statement: SQLite then works without Python's interpreter lock."""
        insert = _INSERT.format(conflict)
        for begin in range(0, len(values), _BULK * _COLUMNS):
            part = values[begin : begin + _BULK * _COLUMNS]
            marks = ", ".join([_ROW] * (len(part) // _COLUMNS))
            self._db.execute(insert + marks, part)

    # reading

    def read(
        self, measurement: str, since: int, until: int, tags: Mapping[str, str] | None = None
    ) -> Iterator[Point]:
        """See Store.read."""
        series = self._series_of(measurement, tags or {})
        if not series:
            return
        marks = ", ".join("?" * len(series))
        cursor = self._db.execute(
            # the unary plus keeps SQLite from walking another index to spare itself the sort
            f"SELECT series, time, body, raw FROM points WHERE series IN ({marks}) "  # noqa: S608 - only question marks are put in
            "AND time >= ? AND time < ? ORDER BY +time, id",
            (*series, since, until),
        )
        for number, time, body, raw in cursor:
            yield point_of(series[number], time, body, raw)

    def _series_of(self, measurement: str, tags: Mapping[str, str]) -> dict[int, str]:
        found = {}
        for number, head in self._db.execute("SELECT id, head FROM series"):
            point = point_of(head, 0, "")
            if point.measurement == measurement and tags.items() <= point.tags.items():
                found[number] = head
        return found

    def arrived(self, measurement: str, position: int, limit: int) -> Arrival | None:
        """See Store.arrived."""
        # in one statement: a series that came between two would be passed over for ever; the plus
        # keeps SQLite to the order of arrival, or each look would cost more as the store grows
        row = self._db.execute(
            "SELECT min(time), max(time), count(*), max(id) FROM "
            "(SELECT id, time FROM points WHERE id > ? AND +series IN "
            "(SELECT id FROM series WHERE substr(head, 1, ?) = ?) ORDER BY id LIMIT ?)",
            (position, len(measurement) + 1, f"{measurement},", limit),
        ).fetchone()
        return Arrival(*row) if row[2] else None

    def since_arrival(
        self, position: int, limit: int, tags: Mapping[str, str] | None = None
    ) -> tuple[list[Point], int]:
        """The points that arrived after ``position`` and the new position: for following."""
        rows = self._db.execute(
            "SELECT id, series, time, body, raw FROM points WHERE id > ? ORDER BY id LIMIT ?",
            (position, limit),
        ).fetchall()
        series = self._series_of("events", tags or {})  # after the rows: so it knows all of theirs
        points = [
            point_of(series[s], time, body, raw) for _, s, time, body, raw in rows if s in series
        ]
        return points, rows[-1][0] if rows else position

    def newest_position(self) -> int:
        """The position of what arrived last; 0 where nothing has."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM points").fetchone()[0])

    def recall(self, key: str) -> bytes | None:
        """See Store.recall."""
        row = self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return bytes(row[0]) if row else None

    def counters(self) -> dict[tuple[str, str], float]:
        """Every counter: (name, labels as JSON) to its value."""
        rows = self._db.execute("SELECT name, labels, value FROM counters")
        return {(name, labels): value for name, labels, value in rows}

    # bounds

    def size(self) -> int:
        """Bytes in use, without what SQLite holds free for later."""
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        return pages * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def prune(self, now: float | None = None) -> int:
        """Delete what arrived longer ago than ``max_age`` or is beyond ``max_size``; how many.

        Takes the oldest arrivals first and a few thousand a call, so that it never holds up
        reading for long; call it again while it deletes.
        """
        now = clock.time() if now is None else now
        try:
            return self._prune(now)
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreError(f"{self.path}: {error}") from error

    def _prune(self, now: float) -> int:
        self._mark(now)
        oldest, newest = self._db.execute("SELECT min(id), max(id) FROM points").fetchone()
        if oldest is None:
            return 0
        expired = self._db.execute(
            # nothing behind a mark that is young enough: a clock that stepped back set the others
            "SELECT max(position) FROM marks WHERE at < ?1 AND position <= coalesce("
            "(SELECT min(position) FROM marks WHERE at >= ?1), position)",
            (now - self.max_age,),
        ).fetchone()[0]
        upto = expired or 0
        size = self.size()
        if size > self.max_size:
            surplus = (newest - oldest + 1) * (size - self.max_size) / size
            upto = max(upto, oldest + int(surplus))
        upto = min(upto, oldest + _PRUNE_STEP - 1)
        with self._transaction():
            deleted = self._db.execute("DELETE FROM points WHERE id <= ?", (upto,)).rowcount
            if upto == expired:
                self._db.execute("DELETE FROM marks WHERE position < ?", (upto,))
        return deleted

    def _mark(self, now: float) -> None:
        """Remember when which position was reached: points carry no arrival time of their own."""
        last = self._db.execute("SELECT max(at) FROM marks").fetchone()[0]
        if last is None or not 0 <= now - last < _MARK_EVERY:
            self._db.execute(
                "INSERT OR REPLACE INTO marks VALUES (?, ?)", (now, self.newest_position())
            )


def counter_key(name: str, **labels: str) -> tuple[str, str]:
    """The key of a counter in Counters."""
    return name, json.dumps(labels, sort_keys=True, separators=(",", ":"))

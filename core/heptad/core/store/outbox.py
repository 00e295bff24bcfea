"""The points of a local store that are not delivered yet, and the outcome of the others.

The outbox has its own connection to the store's file and never waits for the disk: a power failure
may undo what it wrote. Points are then delivered again, and overwrite themselves.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from heptad.core.store import held
from heptad.core.store.api import Counters, StoreError
from heptad.core.store.field_conflict import Conflict, HeldGroup
from heptad.core.store.line_protocol import encode_line, encode_lines
from heptad.core.store.point import Row
from heptad.core.store.sqlite_file import identify, open_checked, open_for_reading, transaction
from heptad.core.store.sqlite_schema import ADD_TO_COUNTER

T = TypeVar("T")

_AT_ONCE: Final = 500
_MOST_TAKEN: Final = 500
"""The number of newest points whose times are part of a snapshot."""
_REJECTIONS: Final = (
    "SELECT r.at, r.reason, head, p.time, body, raw FROM rejected AS r "
    "JOIN points AS p ON p.id = r.id JOIN series AS s ON s.id = p.series ORDER BY r.id"
)
_HOLD_REJECTED: Final = (
    "INSERT OR IGNORE INTO held SELECT r.id, r.at, p.time, ?, ?, ?, ? FROM rejected AS r "
    "JOIN points AS p ON p.id = r.id WHERE r.reason = ?"
)
_HAS_HELD: Final = "SELECT 1 FROM sqlite_master WHERE name = 'held'"
_HELD: Final = (
    "SELECT h.at, measurement, field, sent, stored, head, p.time, body, raw FROM held AS h "
    "JOIN points AS p ON p.id = h.id JOIN series AS s ON s.id = p.series ORDER BY h.id"
)

Taken = dict[str, list[tuple[int, int]]]
"""Series → the intervals [since, until) of times, in nanoseconds, that its points have."""


class Chunk(NamedTuple):
    """Points in order of arrival, as line protocol; ``position`` is after the last one.

    ``expired``: number of points in between that were too old.
    """

    ids: list[int]
    times: list[int]
    lines: list[str]
    position: int
    expired: int = 0


class Rejection(NamedTuple):
    """A rejected point: ``at`` in ns since the epoch, the reason, the line."""

    at: int
    reason: str
    line: str


class StoreSnapshot(NamedTuple):
    """A store at one moment: its position, its state, and the times of its last points."""

    position: int
    state: dict[str, bytes]
    taken: Taken


class Outbox:
    """The points of the store at ``path`` in order of arrival; raises StoreError.

    If another file replaced it, ``is_current`` returns False; then create a new outbox.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_checked(path)
        self._identity = identify(path)
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA cache_size = -2000")

    def close(self) -> None:
        self._db.close()

    def is_current(self) -> bool:
        """Return whether the file at the path is still the one that was opened."""
        return identify(self.path) == self._identity

    def newest(self) -> int:
        """Return the position of the last arrival."""
        return int(self._one("SELECT coalesce(max(id), 0) FROM points"))

    def count(self) -> int:
        """Return the number of points."""
        return int(self._one("SELECT count(*) FROM points"))

    def take(self, position: int, max_lines: int, max_bytes: int, since: int) -> Chunk:
        """Return what arrived after ``position``, except points from before ``since`` (ns).

        At most ``max_lines`` lines and ``max_bytes`` characters; a single line may be longer.
        """
        chunk = Chunk([], [], [], position)
        size, expired = 0, 0
        while len(chunk.ids) < max_lines:
            rows = self._rows(position, min(_AT_ONCE, max_lines - len(chunk.ids)))
            if not rows:
                break
            lines, times = encode_lines(rows), [row[2] for row in rows]
            length = sum(map(len, lines)) + len(lines)
            if size + length <= max_bytes and min(times) >= since:
                size, position = size + length, rows[-1][0]
                chunk.ids.extend([row[0] for row in rows])
                chunk.times.extend(times)
                chunk.lines.extend(lines)
                continue
            for (number, *_), time, line in zip(rows, times, lines, strict=True):
                if time >= since:
                    size += len(line) + 1
                    if size > max_bytes and chunk.ids:
                        return chunk._replace(position=position, expired=expired)
                    chunk.ids.append(number)
                    chunk.times.append(time)
                    chunk.lines.append(line)
                else:
                    expired += 1
                position = number
        return chunk._replace(position=position, expired=expired)

    def _rows(self, position: int, limit: int) -> list[tuple[int, str, int, str, str]]:
        return self._ask(
            lambda db: db.execute(
                "SELECT p.id, head, time, body, raw FROM points AS p "
                "JOIN series AS s ON s.id = p.series WHERE p.id > ? ORDER BY p.id LIMIT ?",
                (position, limit),
            ).fetchall()
        )

    def held_groups(self, limit: int) -> list[HeldGroup]:
        """Return what is held, by hour and conflict, the oldest first."""
        return self._ask(lambda db: held.find_groups(db, limit))

    def take_held(
        self, number: int, max_lines: int, max_bytes: int, *, first: bool = False
    ) -> Chunk:
        """Return held points with an id above ``number``; ``first``: one per hour and field."""
        find = held.find_first if first else held.find_after
        rows = self._ask(lambda db: find(db, number, max_lines))
        chunk, size = Chunk([], [], [], 0), 0
        for one, series, time, body, raw in rows:
            line = encode_line(Row(series, time, body, raw))
            size += len(line) + 1
            if size > max_bytes and chunk.ids:
                break
            chunk.ids.append(one)
            chunk.times.append(time)
            chunk.lines.append(line)
        return chunk._replace(position=chunk.ids[-1] if chunk.ids else 0)

    def expire_held(self, since: int) -> int:
        """Stop holding points from before ``since`` (ns); return their number."""
        return self._ask(lambda db: held.expire(db, since))

    def recall(self, key: str) -> bytes | None:
        """Return the state stored under ``key``, or None."""
        found = self._one("SELECT (SELECT value FROM state WHERE key = ?)", (key,))
        return None if found is None else bytes(found)

    def keep(
        self,
        state: Mapping[str, bytes],
        rejected: Iterable[tuple[int, int, str]] = (),
        counters: Counters | None = None,
        newly_held: Iterable[held.HeldPoint] = (),
        release: Iterable[int] = (),
    ) -> None:
        """Store state, counters and rejections (id, at in ns, reason) atomically.

        ``newly_held``: points to offer again; ``release``: ids of points that are no longer held,
        and were not rejected for good either.
        """
        try:
            with transaction(self._db):
                released = [(number,) for number in release]
                held.release(self._db, released)
                self._db.executemany("DELETE FROM rejected WHERE id = ?", released)
                held.keep(self._db, newly_held)
                self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())
                self._db.executemany("INSERT OR REPLACE INTO rejected VALUES (?, ?, ?)", rejected)
                self._db.executemany(
                    f"INSERT INTO counters VALUES (?, ?, ?) {ADD_TO_COUNTER}",  # noqa: S608 - constant
                    [(*key, amount) for key, amount in (counters or {}).items()],
                )
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StoreError(f"{self.path}: {error}") from error

    def snapshot(self, prefixes: Sequence[str]) -> StoreSnapshot:
        """Return the position, the state with these key prefixes, and the last points' times."""
        try:
            self._db.execute("BEGIN")
            try:
                position = self.newest()
                rows = self._db.execute("SELECT key, value FROM state").fetchall()
                points = self._db.execute(
                    "SELECT head, time FROM (SELECT id, series, time FROM points "
                    "ORDER BY id DESC LIMIT ?) AS p JOIN series AS s ON s.id = p.series",
                    (_MOST_TAKEN,),
                ).fetchall()
            finally:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error
        state = {key: bytes(value) for key, value in rows if key.startswith(tuple(prefixes))}
        return StoreSnapshot(position, state, _taken_times(points))

    def _one(self, statement: str, values: Sequence[object] = ()) -> Any:
        return self._ask(lambda db: db.execute(statement, values).fetchone()[0])

    def _ask(self, ask: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return ask(self._db)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error


def restore(path: Path, state: Mapping[str, bytes], taken: Taken) -> None:
    """Let a new, empty store continue where another one stopped; raise StoreError."""
    db = open_checked(path)
    try:
        with transaction(db):
            db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state.items())
            db.executemany(
                "INSERT OR REPLACE INTO taken VALUES (?, ?, ?)",
                [(series, *span) for series, intervals in taken.items() for span in intervals],
            )
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        db.close()


def hold_rejected(path: Path, find: Callable[[str], Conflict | None]) -> None:
    """Hold points that were rejected with a reason in which ``find`` finds a conflict.

    Older versions rejected such points for good. Raise StoreError.
    """
    db = open_checked(path)
    try:
        for (reason,) in db.execute("SELECT DISTINCT reason FROM rejected").fetchall():
            if conflict := find(reason):
                with transaction(db):
                    db.execute(_HOLD_REJECTED, (*msgspec.structs.astuple(conflict), reason))
                    db.execute("DELETE FROM rejected WHERE reason = ?", (reason,))
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    finally:
        db.close()


def read_rejections(path: Path) -> Iterator[Rejection]:
    """Yield rejected points in order of arrival, and then held ones; raise StoreError."""
    with closing(open_for_reading(path)) as db:
        try:
            for at, reason, *row in db.execute(_REJECTIONS):
                yield Rejection(at, reason, encode_line(Row(*row)))
            if not db.execute(_HAS_HELD).fetchone():  # the store of an older version
                return
            for at, *row in db.execute(_HELD):
                reason = f"held and retried: {Conflict(*row[:4])}"
                yield Rejection(at, reason, encode_line(Row(*row[4:])))
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error


def _taken_times(points: Iterable[tuple[str, int]]) -> Taken:
    times: defaultdict[str, list[int]] = defaultdict(list)
    for series, time in points:
        times[series].append(time)
    taken: Taken = {}
    for series, found in times.items():
        intervals: list[tuple[int, int]] = []
        for time in sorted(found):
            if intervals and intervals[-1][1] == time:
                intervals[-1] = (intervals[-1][0], time + 1)
            else:
                intervals.append((time, time + 1))
        taken[series] = intervals
    return taken

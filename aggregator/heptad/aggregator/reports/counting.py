"""Count values exactly, in bounded memory and independent of their order.

An attacker chooses how many different names and addresses there are. A counter therefore holds some
thousands of values in memory and spills the rest to a temporary SQLite file
(https://www.sqlite.org/tempfiles.html), which has no name, is accessible only to its owner, and is
deleted with the counter. Dropping or sampling rare values would be cheaper, but the result would
depend on the order of the events, or on chance.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final, TypeVar

import msgspec

from heptad.aggregator.summary.wording import shorten_apart

_T = TypeVar("_T")

MOST_KEYS: Final = 5000
"""Maximum number of values held in memory."""
LONGEST: Final = 256
"""Longer values are truncated; different ones are still counted separately."""


class SpillFailed(Exception):
    """The temporary file cannot be written; the message says why and what to do."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(
            f"temporary file: {error}; free disk space, or set SQLITE_TMPDIR to another directory"
        )


class Ranked(msgspec.Struct):
    """A value and its count."""

    name: str
    count: int


class Top(msgspec.Struct):
    """The most frequent values, and the total count of all others."""

    rows: list[Ranked]
    others: int


def cut(text: str | None) -> str:
    """Truncate a value to the form in which it is counted and stored."""
    return shorten_apart(text or "", LONGEST)


def open_spill(table: str) -> sqlite3.Connection:
    """Open a temporary database with one table; raises sqlite3.Error."""
    spill = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    spill.execute("PRAGMA journal_mode = OFF")
    spill.execute("PRAGMA cache_size = -1000")
    spill.execute(f"CREATE TABLE {table}")
    return spill


def spill_rows(
    spill: sqlite3.Connection | None, table: str, insert: str, rows: Iterable[Sequence[object]]
) -> sqlite3.Connection:
    """Insert rows into a temporary database, which is created if None; raises SpillFailed."""
    try:
        spill = spill or open_spill(table)
        spill.execute("BEGIN")
        spill.executemany(insert, rows)
        spill.execute("COMMIT")
    except sqlite3.Error as error:
        raise SpillFailed(error) from error
    return spill


def portions_of(found: Iterator[_T], most: int) -> Iterator[list[_T]]:
    """Yield lists of at most ``most`` items."""
    while some := list(islice(found, most)):
        yield some


class DistinctSet:
    """A set of values that spills to disk; all methods raise SpillFailed."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._spill: sqlite3.Connection | None = None

    def add(self, values: Iterable[str]) -> None:
        """Add values; ``MOST_KEYS`` may be exceeded until they are flushed."""
        self._held.update(values)
        if len(self._held) > MOST_KEYS:
            self._flush()

    def merge(self, other: "DistinctSet") -> None:
        """Add the values of another set."""
        for some in other.portions():
            self.add(some)

    def portions(self) -> Iterator[Iterable[str]]:
        """Yield all values in portions."""
        yield self._held
        if self._spill is not None:
            found = (value for (value,) in self._spill.execute("SELECT value FROM seen"))
            yield from portions_of(found, MOST_KEYS)

    def _flush(self) -> sqlite3.Connection:
        table = "seen (value TEXT PRIMARY KEY) WITHOUT ROWID"
        rows = zip(sorted(self._held), strict=True)
        self._spill = spill_rows(self._spill, table, "INSERT OR IGNORE INTO seen VALUES (?)", rows)
        self._held.clear()
        return self._spill

    @property
    def number(self) -> int:
        """The number of values."""
        if self._spill is None:
            return len(self._held)
        return int(self._flush().execute("SELECT count(*) FROM seen").fetchone()[0])


class SpillCounter:
    """Counts values, and spills to disk; all methods raise SpillFailed."""

    def __init__(self) -> None:
        self.total = 0
        self._held: dict[str, int] = {}
        self._spill: sqlite3.Connection | None = None

    def add(self, key: str, count: int = 1) -> None:
        self.add_all([(key, count)])

    def add_all(self, counted: Iterable[tuple[str, int]]) -> None:
        """Add counts of values."""
        held = self._held
        for key, count in counted:
            self.total += count
            held[key] = held.get(key, 0) + count
            if len(held) > MOST_KEYS:
                self._flush()

    def merge(self, other: "SpillCounter") -> None:
        """Add the counts of another counter."""
        self.add_all(other.items())

    def items(self) -> Iterator[tuple[str, int]]:
        """Yield values with counts; a value that was also spilled is yielded twice."""
        yield from self._held.items()
        if self._spill is not None:
            yield from self._spill.execute("SELECT key, count FROM tally")

    def _flush(self) -> sqlite3.Connection:
        self._spill = spill_rows(
            self._spill,
            "tally (key TEXT PRIMARY KEY, count) WITHOUT ROWID",
            "INSERT INTO tally VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET count = count + excluded.count",
            sorted(self._held.items()),
        )
        self._held.clear()
        return self._spill

    @property
    def distinct(self) -> int:
        """The number of different values."""
        if self._spill is None:
            return len(self._held)
        return int(self._flush().execute("SELECT count(*) FROM tally").fetchone()[0])

    def count(self, key: str) -> int:
        """Return the count of a value."""
        held = self._held.get(key, 0)
        if self._spill is None:
            return held
        row = self._spill.execute("SELECT count FROM tally WHERE key = ?", (key,)).fetchone()
        return held + (int(row[0]) if row else 0)

    def ranked(self, number: int) -> list[tuple[str, int]]:
        """Return the most frequent values; equal counts are ordered by name."""
        if self._spill is None:
            return sorted(sorted(self._held.items()), key=itemgetter(1), reverse=True)[:number]
        query = "SELECT key, count FROM tally ORDER BY count DESC, key LIMIT ?"
        return self._flush().execute(query, (number,)).fetchall()

    def top(self, number: int) -> Top:
        """Return the most frequent values, and the total of all others."""
        rows = [Ranked(key, count) for key, count in self.ranked(number)]
        return Top(rows, self.total - sum(row.count for row in rows))

"""Counting values exactly, in bounded memory and in whatever order they come.

An attacker chooses how many different names and addresses there are. So a tally holds some
thousands of them; where there are more, it goes on in a temporary file of SQLite's
(https://www.sqlite.org/tempfiles.html), which has no name, is only its owner's, and is gone with
the tally. Dropping or sampling what is rare would be cheaper, but what is left would depend on
the order of the events, or on chance.
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
"""So many values are held in memory."""
LONGEST: Final = 256
"""Longer values are cut; those that differ still count apart."""


class SpillFailed(Exception):
    """The temporary file cannot be written; the message says why and what to do."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(
            f"temporary file: {error}; free disk space, or set SQLITE_TMPDIR to another directory"
        )


class Ranked(msgspec.Struct):
    """A value and how often it was seen."""

    name: str
    count: int


class Top(msgspec.Struct):
    """The most frequent values, and how often all others together were seen."""

    rows: list[Ranked]
    others: int


def cut(text: str | None) -> str:
    """A value as it is counted and kept."""
    return shorten_apart(text or "", LONGEST)


def open_spill(table: str) -> sqlite3.Connection:
    """A temporary database with one table; raises sqlite3.Error."""
    spill = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    spill.execute("PRAGMA journal_mode = OFF")
    spill.execute("PRAGMA cache_size = -1000")
    spill.execute(f"CREATE TABLE {table}")
    return spill


def spill_rows(
    spill: sqlite3.Connection | None, table: str, insert: str, rows: Iterable[Sequence[object]]
) -> sqlite3.Connection:
    """Put rows into a temporary database, opened for the first of them; raises SpillFailed."""
    try:
        spill = spill or open_spill(table)
        spill.execute("BEGIN")
        spill.executemany(insert, rows)
        spill.execute("COMMIT")
    except sqlite3.Error as error:
        raise SpillFailed(error) from error
    return spill


def portions_of(found: Iterator[_T], most: int) -> Iterator[list[_T]]:
    """All of them, at most so many at a time."""
    while some := list(islice(found, most)):
        yield some


class DistinctSet:
    """Which values were seen; the methods raise SpillFailed."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._spill: sqlite3.Connection | None = None

    def add(self, values: Iterable[str]) -> None:
        """Note values; more than ``MOST_KEYS`` are held only while they are noted."""
        self._held.update(values)
        if len(self._held) > MOST_KEYS:
            self._flush()

    def merge(self, other: "DistinctSet") -> None:
        """Note what the other one has noted."""
        for some in other.portions():
            self.add(some)

    def portions(self) -> Iterator[Iterable[str]]:
        """All of them, some at a time."""
        yield self._held
        if self._spill is not None:
            found = (value for (value,) in self._spill.execute("SELECT value FROM seen"))
            yield from portions_of(found, MOST_KEYS)

    def _flush(self) -> sqlite3.Connection:
        """Everything into the temporary file."""
        table = "seen (value TEXT PRIMARY KEY) WITHOUT ROWID"
        rows = zip(sorted(self._held), strict=True)
        self._spill = spill_rows(self._spill, table, "INSERT OR IGNORE INTO seen VALUES (?)", rows)
        self._held.clear()
        return self._spill

    @property
    def number(self) -> int:
        """How many there are."""
        if self._spill is None:
            return len(self._held)
        return int(self._flush().execute("SELECT count(*) FROM seen").fetchone()[0])


class SpillCounter:
    """How often each value was seen; the methods raise SpillFailed."""

    def __init__(self) -> None:
        self.total = 0
        self._held: dict[str, int] = {}
        self._spill: sqlite3.Connection | None = None

    def add(self, key: str, count: int = 1) -> None:
        """Count a value."""
        self.add_all([(key, count)])

    def add_all(self, counted: Iterable[tuple[str, int]]) -> None:
        """Count values, each so many times."""
        held = self._held
        for key, count in counted:
            self.total += count
            held[key] = held.get(key, 0) + count
            if len(held) > MOST_KEYS:
                self._flush()

    def merge(self, other: "SpillCounter") -> None:
        """Count what the other one has counted."""
        self.add_all(other.items())

    def items(self) -> Iterator[tuple[str, int]]:
        """Each value with its count; one that is also in the temporary file comes twice."""
        yield from self._held.items()
        if self._spill is not None:
            yield from self._spill.execute("SELECT key, count FROM tally")

    def _flush(self) -> sqlite3.Connection:
        """Everything into the temporary file."""
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
        """How many values were seen."""
        if self._spill is None:
            return len(self._held)
        return int(self._flush().execute("SELECT count(*) FROM tally").fetchone()[0])

    def count(self, key: str) -> int:
        """How often a value was seen."""
        held = self._held.get(key, 0)
        if self._spill is None:
            return held
        row = self._spill.execute("SELECT count FROM tally WHERE key = ?", (key,)).fetchone()
        return held + (int(row[0]) if row else 0)

    def ranked(self, number: int) -> list[tuple[str, int]]:
        """The most frequent values, the first by name where they are equally frequent."""
        if self._spill is None:
            return sorted(sorted(self._held.items()), key=itemgetter(1), reverse=True)[:number]
        query = "SELECT key, count FROM tally ORDER BY count DESC, key LIMIT ?"
        return self._flush().execute(query, (number,)).fetchall()

    def top(self, number: int) -> Top:
        """The most frequent values, and all others together."""
        rows = [Ranked(key, count) for key, count in self.ranked(number)]
        return Top(rows, self.total - sum(row.count for row in rows))

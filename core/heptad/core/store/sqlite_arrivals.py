"""Arrivals of a store that numbers its points, split into pieces that are dense in time."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from heptad.core.intervals import MINUTE
from heptad.core.store.api import Arrival

# one statement: with two, a new series in between would be skipped forever; the plus makes SQLite
# use the order of arrival, otherwise each poll would cost more as the store grows
_QUERY = """
    SELECT min(time), max(time), count(*), max(id) FROM (
        SELECT id, iif(typeof(time) = 'integer', time, NULL) AS time
        FROM points WHERE id > ? AND +series IN (
            SELECT id FROM series WHERE substr(head, 1, ?) = ?
        ) ORDER BY id LIMIT ?
    )
"""


class _Numbered(NamedTuple):
    oldest: int
    newest: int
    points: int
    last: int


def read_arrivals(
    db: sqlite3.Connection, measurement: str, after: int, limit: int, edges: Sequence[int]
) -> list[Arrival]:
    """See EventStore.arrived; ``after`` is the number of a point."""
    taken = _take(db, measurement, after, limit)
    pieces = _tighten(db, measurement, after, taken, edges) if taken else ()
    return [Arrival(*piece[:3], str(piece.last)) for piece in pieces]


def _take(db: sqlite3.Connection, measurement: str, after: int, limit: int) -> _Numbered | None:
    prefix = f"{measurement},"
    row = db.execute(_QUERY, (after, len(prefix), prefix, limit)).fetchone()
    oldest, newest, points, last = row
    return _Numbered(oldest or 0, newest or 0, points, last) if points else None


def _tighten(
    db: sqlite3.Connection, measurement: str, after: int, taken: _Numbered, edges: Sequence[int]
) -> Iterator[_Numbered]:
    """Halve what was read until it is dense in time and on one side of each edge.

    A single late point must not cause all the time in between to be read again.
    """
    minutes = (taken.newest - taken.oldest) // MINUTE
    astride = any(taken.oldest < edge <= taken.newest for edge in edges)
    if taken.points <= 1 or (minutes <= 2 * taken.points and not astride):
        yield taken
        return
    half = taken.points // 2
    for points in (half, taken.points - half):
        part = _take(db, measurement, after, points)
        if part is None:
            return
        yield from _tighten(db, measurement, after, part, edges)
        after = part.last

"""Points that a sink does not accept at present because of the type of a field.

They stay in the store, whatever its limits, until they are accepted, rejected for good or expired.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from heptad.core.store.field_conflict import Conflict, HeldGroup

_INSERT: Final = (
    "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "measurement = excluded.measurement, field = excluded.field, sent = excluded.sent, "
    "stored = excluded.stored"
)
_GROUPS: Final = (
    "SELECT measurement, field, sent, stored, min(time), count(*) FROM held "
    "GROUP BY 1, 2, 3, 4, time / 3600000000000 ORDER BY 5 LIMIT ?"
)
_POINTS: Final = (
    "SELECT p.id, head, p.time, body, raw FROM points AS p JOIN series AS s ON s.id = p.series"
)
# one for each hour: a type applies to a shard, which is an hour or whole hours
_FIRSTS: Final = "SELECT min(id) FROM held GROUP BY measurement, field, time / 3600000000000"
_FIRST_OF_EACH: Final = f"{_POINTS} WHERE p.id IN ({_FIRSTS}) AND p.id > ? ORDER BY p.id LIMIT ?"
_AFTER: Final = f"{_POINTS} JOIN held AS h ON h.id = p.id WHERE h.id > ? ORDER BY h.id LIMIT ?"
_EXPIRED: Final = "DELETE FROM held WHERE time < ?"

HeldPoint = tuple[int, int, int, Conflict]
"""Id and time (ns) of a point, the time since when it is held (ns), and the conflict."""
PointRow = tuple[int, str, int, str, str]
"""Id, series, time (ns), body and raw of a point."""


def keep(db: sqlite3.Connection, held: Iterable[HeldPoint]) -> None:
    """Hold points; one that is held already keeps its time."""
    rows = (
        (number, at, time, *msgspec.structs.astuple(conflict))
        for number, time, at, conflict in held
    )
    db.executemany(_INSERT, rows)


def release(db: sqlite3.Connection, ids: Iterable[tuple[int]]) -> None:
    """Stop holding these points."""
    db.executemany("DELETE FROM held WHERE id = ?", ids)


def expire(db: sqlite3.Connection, since: int) -> int:
    """Stop holding points from before ``since`` (ns); return their number."""
    return db.execute(_EXPIRED, (since,)).rowcount


def find_groups(db: sqlite3.Connection, limit: int) -> list[HeldGroup]:
    """Return what is held, by hour and conflict, the oldest first."""
    rows = db.execute(_GROUPS, (limit,)).fetchall()
    return [(Conflict(*row[:4]), row[4], row[5]) for row in rows]


def find_first(db: sqlite3.Connection, number: int, limit: int) -> list[PointRow]:
    """Return one point per hour and field of those with an id above ``number``, in order."""
    return db.execute(_FIRST_OF_EACH, (number, limit)).fetchall()


def find_after(db: sqlite3.Connection, number: int, limit: int) -> list[PointRow]:
    """Return the points with an id above ``number``, in order."""
    return db.execute(_AFTER, (number, limit)).fetchall()

"""The limits of a local store: the oldest arrivals are deleted if they are too old or too many."""

import sqlite3
from typing import Final

from heptad.core.store.sqlite_file import transaction

_STEP: Final = 5000
_MARK_EVERY: Final = 600
_SOUND: Final = """
WITH sound AS (
    SELECT at, position FROM marks
    WHERE typeof(at) = 'real' AND abs(at) < 1e18 AND typeof(position) = 'integer'
)
"""
"""Marks with valid types."""
# never beyond a mark that is recent enough: other marks come from a clock that was set back
_EXPIRED: Final = f"""
{_SOUND} SELECT max(position) FROM sound WHERE at < :since AND position <= coalesce(
    (SELECT min(position) FROM sound WHERE at >= :since), position
)
"""  # noqa: S608 - constants
# marks in the future come from a clock that was set back
_LAST_MARK: Final = f"{_SOUND} SELECT max(at) FROM sound WHERE at <= ?"  # noqa: S608 - constant
_RAISE_FLOORS: Final = """
UPDATE series SET floor = max(coalesce(floor, deleted.newest), deleted.newest)
FROM (SELECT series, max(time) AS newest FROM points WHERE id <= ? GROUP BY series) AS deleted
WHERE series.id = deleted.series
"""


def measure(db: sqlite3.Connection) -> int:
    """Return the bytes in use, without pages that SQLite keeps free."""
    pages = _pragma(db, "page_count") - _pragma(db, "freelist_count")
    return pages * _pragma(db, "page_size")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def share(db: sqlite3.Connection, position: int) -> float:
    """Return the share of the points after ``position``, from 0 to 1; 1 if the others are held."""
    oldest, newest = _ends(db)
    if newest is None:
        return 0.0
    if oldest is None or oldest > position:
        return 1.0
    return min(1.0, (newest - position) / (newest - oldest + 1))


def _ends(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Return the oldest point that may be deleted, and the newest of all."""
    # a single query for both would scan the whole table (sqlite.org/optoverview.html, MIN/MAX)
    oldest = db.execute(
        "SELECT id FROM points WHERE id NOT IN (SELECT id FROM held) ORDER BY id LIMIT 1"
    ).fetchone()
    newest = db.execute("SELECT max(id) FROM points").fetchone()[0]
    return (oldest[0] if oldest else None), newest


def prune(
    db: sqlite3.Connection, now: float, max_age: float, max_size: int, most: int | None = None
) -> int:
    """Delete what arrived more than ``max_age`` seconds ago or exceeds ``max_size`` bytes.

    Points after the position ``most`` are kept. A call deletes at most a few thousand points, and
    returns their number.
    """
    _mark(db, now)
    oldest, newest = _ends(db)
    if oldest is None or newest is None:
        return 0
    expired = db.execute(_EXPIRED, {"since": now - max_age}).fetchone()[0]
    upto = expired or 0
    size = measure(db)
    if size > max_size:
        surplus = (newest - oldest + 1) * (size - max_size) / size
        upto = max(upto, oldest + int(surplus))
    upto = min(upto, oldest + _STEP - 1, newest if most is None else most)
    if upto < oldest:
        return 0
    with transaction(db):
        db.execute(_RAISE_FLOORS, (upto,))
        db.execute("DELETE FROM rejected WHERE id <= ?", (upto,))
        deleted = db.execute(
            "DELETE FROM points WHERE id <= ? AND id NOT IN (SELECT id FROM held)", (upto,)
        ).rowcount
        if upto == expired:
            db.execute("DELETE FROM marks WHERE position < ?", (upto,))
    return deleted


def _mark(db: sqlite3.Connection, now: float) -> None:
    """Record the current position with its time: points have no arrival time of their own."""
    last = db.execute(_LAST_MARK, (now,)).fetchone()[0]
    if last is None or now - last >= _MARK_EVERY:
        db.execute(
            "INSERT OR REPLACE INTO marks SELECT ?, coalesce(max(id), 0) FROM points", (now,)
        )

"""What a local store holds, as it is read: by time, by arrival, and what is known beside points.

A column may hold a value of any type, whatever was declared (https://www.sqlite.org/datatype3.html):
what is not as Heptad wrote it is rejected.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import Any

from heptad.core.event import Event
from heptad.core.intervals import MINUTE, Interval, merge_intervals
from heptad.core.store.api import LOOKED_UNTIL, Arrival, TagFilter
from heptad.core.store.event_row import MEASUREMENT as EVENTS
from heptad.core.store.event_row import event_of_row, identify_row
from heptad.core.store.history import Past
from heptad.core.store.line_protocol import decode_series, point_of
from heptad.core.store.point import Identity, Point, Row
from heptad.core.store.sqlite_arrivals import read_arrivals
from heptad.core.store.tail import SqliteTail
from heptad.core.validation import Intake, Invalid, check_text, decode_time, kind_of


class Points:
    """The reading half of a local store."""

    intake: Intake
    _db: sqlite3.Connection

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """See Store.read."""
        rows = self._rows(measurement, since, until, tags)
        return self.intake.sift(kind_of(measurement), rows, _point_of_row, identify_row)

    def events(self, since: int, until: int, tags: TagFilter | None = None) -> Iterator[Event]:
        """See Store.events."""
        rows = self._rows(EVENTS, since, until, tags)
        return self.intake.sift("event", rows, event_of_row, identify_row)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """See Store.pick."""
        return self.intake.sift("event", self._pick(identities), event_of_row, identify_row)

    def _pick(self, identities: Iterable[Identity]) -> Iterator[Row]:
        numbers = {series: number for number, series in self._series_of(EVENTS, {}).items()}
        for time, series in sorted(identities):
            row = self._db.execute(
                "SELECT body, raw FROM points WHERE series = ? AND time = ?",
                (numbers.get(series), time),
            ).fetchone()
            if row is not None:
                yield Row(series, time, *row)

    def _rows(
        self, measurement: str, since: int, until: int, tags: TagFilter | None
    ) -> Iterator[Row]:
        """The rows in order of time."""
        series_by_id = self._series_of(measurement, tags or {})
        marks = ", ".join("?" * len(series_by_id))
        rows = self._db.execute(
            # the unary plus keeps SQLite from walking another index to spare itself the sort
            f"SELECT series, time, body, raw FROM points WHERE series IN ({marks}) "  # noqa: S608 - only question marks are put in
            "AND time >= ? AND time < ? ORDER BY +time, id",
            (*series_by_id, since, until),
        )
        for number, time, body, raw in rows:
            yield Row(series_by_id[number], time, body, raw)

    def backwards(
        self,
        measurement: str,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        fields: Sequence[str] = (),
    ) -> Iterator[Row]:
        """What ``read`` gives as it is stored, the newest first.

        A row is fetched when it is asked for: whoever wants the newest few pays for no more.
        Whoever names ``fields`` needs no others; here they cost nothing, and all are given.
        """
        series_by_id = self._series_of(measurement, tags or {})
        walks = [
            self._db.execute(
                "SELECT series, time, body, raw FROM points WHERE series = ? "
                "AND time >= ? AND time < ? ORDER BY time DESC",
                (number, since, until),
            )
            for number in series_by_id
        ]
        rows = (
            Row(series_by_id[number], time, body, raw)
            for number, time, body, raw in merge(*walks, key=itemgetter(1), reverse=True)
        )
        return self.intake.sift("event", rows, _check_types, identify_row)

    def last_times(self, measurement: str, until: int) -> dict[str, int]:
        """Head of each series → the time (ns) of its newest point before ``until``."""
        rows = self._db.execute(
            # a time of another type is larger than any number
            "SELECT head, (SELECT max(time) FROM points WHERE series = s.id AND time < ?) "
            "FROM series AS s WHERE substr(head, 1, ?) = ? AND typeof(head) = 'text'",
            (until, len(measurement) + 1, f"{measurement},"),
        )
        return {series: time for series, time in rows if type(time) is int}

    def _series_of(self, measurement: str, tags: TagFilter) -> dict[int, str]:
        found = {}
        wanted = {tag: {v} if isinstance(v, str) else set(v) for tag, v in tags.items()}
        for number, series in self._db.execute(
            "SELECT id, head FROM series WHERE typeof(head) = 'text'"
        ):
            known, own = decode_series(series)
            if known == measurement and all(own.get(t) in values for t, values in wanted.items()):
                found[number] = series
        return found

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """See Store.arrived; a position is the number of the last point, in decimal."""
        kept = self.intake.restore("position", position.encode() or None, decode_time)
        return read_arrivals(self._db, measurement, kept or 0, limit, edges)

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """See Store.spans."""
        series_by_id = self._series_of(measurement, {})
        marks = ", ".join("?" * len(series_by_id))
        found = self._db.execute(
            f"SELECT DISTINCT (time - (time % {MINUTE} + {MINUTE}) % {MINUTE}) / {MINUTE} "  # noqa: S608 - only numbers and question marks are put in
            f"FROM points WHERE series IN ({marks}) AND time >= ? AND time < ? "
            "AND typeof(time) = 'integer'",
            (*series_by_id, max(since, -(2**63)), min(until, 2**63 - 1)),
        )
        return merge_intervals((minute, minute + 1) for (minute,) in found)

    def watermark(self) -> int | None:
        """See Store.passed: what is still to be read from the logs is not known here."""
        return None

    def looked_until(self) -> int | None:
        """Up to when (ns) the exporter had read every log to its end; None: not known."""
        return self.intake.restore(LOOKED_UNTIL, self.recall(LOOKED_UNTIL), decode_time)

    def follow(self, since: int, tags: TagFilter) -> SqliteTail:
        """What follows the events since ``since`` (ns) with these tags as they come."""
        return SqliteTail(self, since, tags)

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Point], int]:
        """The points that arrived after ``position`` and the new position: for following."""
        rows = self._db.execute(
            "SELECT id, series, time, body, raw FROM points WHERE id > ? ORDER BY id LIMIT ?",
            (position, limit),
        ).fetchall()
        series_by_id = self._series_of(
            "events", tags or {}
        )  # after the rows: so it knows all of theirs
        known = [
            Row(series_by_id[s], time, body, raw)
            for _, s, time, body, raw in rows
            if s in series_by_id
        ]
        points = self.intake.sift("event", known, _point_of_row, identify_row)
        return list(points), rows[-1][0] if rows else position

    def newest_position(self) -> int:
        """The position of what arrived last; 0 where nothing has."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM points").fetchone()[0])

    def recall(self, key: str) -> bytes | None:
        """See Store.recall."""
        return recall(self._db, key, self.intake)

    def recall_keys(self, prefix: str) -> list[str]:
        """The keys of all that is kept beside the points and begins with ``prefix``."""
        rows = self._db.execute(
            "SELECT key FROM state WHERE substr(key, 1, ?) = ? AND length(value) > 0",
            (len(prefix), prefix),
        )
        return [key for (key,) in rows]

    def past(self, upto: int) -> Past:
        """What arrived up to a position."""
        return Past(self._db, upto)

    def recall_all(self, prefix: str) -> dict[str, bytes]:
        """The states kept under keys that begin with ``prefix``."""
        query = "SELECT key, value FROM state WHERE substr(key, 1, ?) = ? ORDER BY key"
        return {key: bytes(value) for key, value in self._db.execute(query, (len(prefix), prefix))}

    def counters(self) -> dict[tuple[str, str], float]:
        """Every counter: (name, labels as JSON) to its value."""
        rows = self._db.execute("SELECT name, labels, value FROM counters")
        sound = self.intake.sift("counter", rows, check_counter, lambda row: row[:2])
        return {(name, labels): value for name, labels, value in sound}


def recall(db: sqlite3.Connection, key: str, intake: Intake) -> bytes | None:
    """The state kept under ``key``; None where there is none, or no state could be like that."""
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    if row is None or isinstance(row[0], bytes):
        return row[0] if row else None
    intake.reject("state", key, Invalid("type", f"a state of type {type(row[0]).__name__}"))
    return None


def check_counter(row: tuple[Any, Any, Any]) -> tuple[str, str, float]:
    """A counter's name, labels and value; raises Invalid where it is none."""
    name, labels, value = row
    if type(value) not in (int, float) or not isinstance(labels, str):
        raise Invalid("type", f"a counter of type {type(value).__name__}")
    if not 0 <= value < 2**62:
        raise Invalid("number", f"a counter at {value}")
    told = json.loads(labels)
    if not isinstance(told, dict) or not all(isinstance(text, str) for text in told.values()):
        raise Invalid("corrupt", "labels of a counter")
    check_text(labels)
    return str(name), labels, value


def _check_types(row: Row) -> Row:
    if type(row.time) is not int or type(row.body) is not str or type(row.raw) is not str:
        raise Invalid("type", "a row whose columns are of other types")
    return row


def _point_of_row(row: Row) -> Point:
    return point_of(_check_types(row))

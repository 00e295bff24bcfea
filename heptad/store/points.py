"""What a local store holds, as it is read: by time, by arrival, and what is known beside points."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter

from heptad.event import Event
from heptad.event_row import MEASUREMENT as EVENTS
from heptad.event_row import event_of_row
from heptad.spans import MINUTE, Span, merge_spans
from heptad.store import Arrival, Identity, Point, Row, Wanted, point_of
from heptad.store.arrivals import read_arrivals
from heptad.store.following import Follower
from heptad.store.past import Past


class Points:
    """The reading half of a local store."""

    _db: sqlite3.Connection

    def read(
        self, measurement: str, since: int, until: int, tags: Wanted | None = None
    ) -> Iterator[Point]:
        """See Store.read."""
        series, rows = self._rows(measurement, since, until, tags)
        for number, time, body, raw in rows:
            yield point_of(series[number], time, body, raw)

    def events(self, since: int, until: int, tags: Wanted | None = None) -> Iterator[Event]:
        """See Store.events."""
        series, rows = self._rows(EVENTS, since, until, tags)
        for number, time, body, raw in rows:
            yield event_of_row(series[number], time, body, raw)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """See Store.pick."""
        numbers = {head: number for number, head in self._series_of(EVENTS, {}).items()}
        for time, head in sorted(identities):
            row = self._db.execute(
                "SELECT body, raw FROM points WHERE series = ? AND time = ?",
                (numbers.get(head), time),
            ).fetchone()
            if row is not None:
                yield event_of_row(head, time, *row)

    def _rows(
        self, measurement: str, since: int, until: int, tags: Wanted | None
    ) -> tuple[dict[int, str], sqlite3.Cursor]:
        """The series by number, and (number, time, body, raw) of their points in order of time."""
        series = self._series_of(measurement, tags or {})
        marks = ", ".join("?" * len(series))
        rows = self._db.execute(
            # the unary plus keeps SQLite from walking another index to spare itself the sort
            f"SELECT series, time, body, raw FROM points WHERE series IN ({marks}) "  # noqa: S608 - only question marks are put in
            "AND time >= ? AND time < ? ORDER BY +time, id",
            (*series, since, until),
        )
        return series, rows

    def backwards(
        self,
        measurement: str,
        since: int,
        until: int,
        tags: Wanted | None = None,
        fields: Sequence[str] = (),
    ) -> Iterator[Row]:
        """What ``read`` gives as it is stored, the newest first.

        A row is fetched when it is asked for: whoever wants the newest few pays for no more.
        Whoever names ``fields`` needs no others; here they cost nothing, and all are given.
        """
        series = self._series_of(measurement, tags or {})
        walks = [
            self._db.execute(
                "SELECT series, time, body, raw FROM points WHERE series = ? "
                "AND time >= ? AND time < ? ORDER BY time DESC",
                (number, since, until),
            )
            for number in series
        ]
        for number, time, body, raw in merge(*walks, key=itemgetter(1), reverse=True):
            yield series[number], time, body, raw

    def last_times(self, measurement: str) -> dict[str, int]:
        """Head of each series → the time of its newest point, in nanoseconds."""
        rows = self._db.execute(
            "SELECT head, (SELECT max(time) FROM points WHERE points.series = series.id) "
            "FROM series WHERE substr(head, 1, ?) = ?",
            (len(measurement) + 1, f"{measurement},"),
        )
        return {head: time for head, time in rows if time is not None}

    def _series_of(self, measurement: str, tags: Wanted) -> dict[int, str]:
        found = {}
        wanted = {tag: {v} if isinstance(v, str) else set(v) for tag, v in tags.items()}
        for number, head in self._db.execute("SELECT id, head FROM series"):
            point = point_of(head, 0, "")
            fits = all(point.tags.get(tag) in values for tag, values in wanted.items())
            if point.measurement == measurement and fits:
                found[number] = head
        return found

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """See Store.arrived; a position is the number of the last point, in decimal."""
        return read_arrivals(self._db, measurement, int(position or 0), limit, edges)

    def spans(self, measurement: str, since: int, until: int) -> list[Span]:
        """See Store.spans."""
        series = self._series_of(measurement, {})
        marks = ", ".join("?" * len(series))
        found = self._db.execute(
            f"SELECT DISTINCT (time - (time % {MINUTE} + {MINUTE}) % {MINUTE}) / {MINUTE} "  # noqa: S608 - only numbers and question marks are put in
            f"FROM points WHERE series IN ({marks}) AND time >= ? AND time < ?",
            (*series, max(since, -(2**63)), min(until, 2**63 - 1)),
        )
        return merge_spans((minute, minute + 1) for (minute,) in found)

    def passed(self) -> int | None:
        """See Store.passed: what is still to be read from the logs is not known here."""
        return None

    def follow(self, since: int, tags: Wanted) -> Follower:
        """What follows the events since ``since`` (ns) with these tags as they come."""
        return Follower(self, since, tags)

    def since_arrival(
        self, position: int, limit: int, tags: Wanted | None = None
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
        return {(name, labels): value for name, labels, value in rows}

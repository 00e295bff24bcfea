"""Read a local store: points by time and by arrival, state and counters.

A column may contain a value of any type, whatever its declaration
(https://www.sqlite.org/datatype3.html): values that Heptad does not write are rejected.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from heapq import merge
from operator import itemgetter
from typing import Any, Final

import msgspec

from heptad.core.event import Event
from heptad.core.intervals import MINUTE, Interval, merge_intervals
from heptad.core.store.api import LOOKED_UNTIL, PROBLEMS, Arrival, Emitter, TagFilter
from heptad.core.store.event_row import MEASUREMENT as EVENTS
from heptad.core.store.event_row import event_of_row, identify_row
from heptad.core.store.history import Past
from heptad.core.store.line_protocol import decode_series, point_of
from heptad.core.store.point import Identity, Point, Row
from heptad.core.store.sqlite_arrivals import read_arrivals
from heptad.core.validation import Intake, Invalid, check_text, decode_time, kind_of

_AT_ONCE: Final = 500
_MOST_PROBLEMS: Final = 20
_decode_problems: Final = msgspec.json.Decoder(list[str]).decode


class _Deaf(msgspec.Struct):
    """Why a source is deaf, as the exporter stores it."""

    reasons: dict[str, str] = {}


class _UntrustedProgram(msgspec.Struct):
    """The rejected lines of a program, the last at ``last`` (ns), as the exporter stores them."""

    sentence: str = ""
    last: int = 0


class Points:
    """The reading half of a local store; see EventStore."""

    is_shared: Final = False

    intake: Intake
    _db: sqlite3.Connection

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        rows = self._rows(measurement, since, until, tags)
        return self.intake.sift(kind_of(measurement), rows, _point_of_row, identify_row)

    def events(
        self,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        *,
        newest_first: bool = False,
        fields: Sequence[str] = (),
    ) -> Iterator[Event]:
        if newest_first:
            rows = self._rows_backwards(since, until, tags)
        else:
            rows = self._rows(EVENTS, since, until, tags)
        return self.intake.sift("event", rows, event_of_row, identify_row)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
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
        self,
        measurement: str,
        since: int,
        until: int,
        tags: TagFilter | None,
    ) -> Iterator[Row]:
        """Yield the rows in order of time."""
        series_by_id = self._series_of(measurement, tags or {})
        marks = ", ".join("?" * len(series_by_id))
        rows = self._db.execute(
            # the unary plus prevents SQLite from using another index to avoid the sort
            f"SELECT series, time, body, raw FROM points WHERE series IN ({marks}) "  # noqa: S608 - only question marks are inserted
            "AND time >= ? AND time < ? ORDER BY +time, id",
            (*series_by_id, since, until),
        )
        for number, time, body, raw in rows:
            yield Row(series_by_id[number], time, body, raw)

    def _rows_backwards(self, since: int, until: int, tags: TagFilter | None) -> Iterator[Row]:
        """Yield the rows of events, the newest first; each is read when it is requested."""
        series_by_id = self._series_of(EVENTS, tags or {})
        walks = [
            self._db.execute(
                "SELECT series, time, body, raw FROM points WHERE series = ? "
                "AND time >= ? AND time < ? ORDER BY time DESC",
                (number, since, until),
            )
            for number in series_by_id
        ]
        for number, time, body, raw in merge(*walks, key=itemgetter(1), reverse=True):
            yield Row(series_by_id[number], time, body, raw)

    def last_times(self, until: int) -> dict[Emitter, int]:
        rows = self._db.execute(
            # a time of another type compares larger than any number
            "SELECT head, (SELECT max(time) FROM points WHERE series = s.id AND time < ?) "
            "FROM series AS s WHERE substr(head, 1, ?) = ? AND typeof(head) = 'text'",
            (until, len(EVENTS) + 1, f"{EVENTS},"),
        )
        found: dict[Emitter, int] = {}
        for series, time in rows:
            if type(time) is int:
                tags = decode_series(series)[1]
                emitter = Emitter(*(tags.get(tag, "") for tag in Emitter._fields))
                found[emitter] = max(time, found.get(emitter, time))
        return found

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
        """Return what arrived after a position: the number of the last point, in decimal."""
        kept = self.intake.restore("position", position.encode() or None, decode_time)
        return read_arrivals(self._db, measurement, kept or 0, limit, edges)

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        series_by_id = self._series_of(measurement, {})
        marks = ", ".join("?" * len(series_by_id))
        found = self._db.execute(
            f"SELECT DISTINCT (time - (time % {MINUTE} + {MINUTE}) % {MINUTE}) / {MINUTE} "  # noqa: S608 - only numbers and question marks are inserted
            f"FROM points WHERE series IN ({marks}) AND time >= ? AND time < ? "
            "AND typeof(time) = 'integer'",
            (*series_by_id, max(since, -(2**63)), min(until, 2**63 - 1)),
        )
        return merge_intervals((minute, minute + 1) for (minute,) in found)

    def watermark(self) -> int | None:
        """Return the time up to which the exporter has read all logs; None if unknown."""
        return self.intake.restore(LOOKED_UNTIL, self.recall(LOOKED_UNTIL), decode_time)

    def problems(self, since: int | None = None) -> list[str]:
        """Return the problems that the exporter's /healthz shows; deaf sources first."""
        told = []
        for key, data in self.recall_all("deaf/").items():
            with suppress(msgspec.MsgspecError):
                if reasons := msgspec.json.decode(data, type=_Deaf).reasons:
                    source = key.partition("/")[2]
                    told.append(f"source {source} is deaf: {'; '.join(reasons.values())}")
        told += self.intake.restore(PROBLEMS, self.recall(PROBLEMS), _decode_problems) or []
        return told if since is None else (told + self._untrusted(since, told))[:_MOST_PROBLEMS]

    def _untrusted(self, since: int, told: list[str]) -> list[str]:
        """Return programs with a line rejected since ``since``, without those in ``told``."""
        known = " ".join(told)
        found: list[str] = []
        for data in self.recall_all("refused/").values():
            with suppress(msgspec.MsgspecError):
                programs = msgspec.json.decode(data, type=dict[str, _UntrustedProgram])
                late = (one.sentence for one in programs.values() if one.last >= since)
                found += [sentence for sentence in late if sentence and sentence not in known]
        return found

    def tail(self, since: int, tags: TagFilter) -> "SqliteTail":
        return SqliteTail(self, since, tags)

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Event], int]:
        rows = self._db.execute(
            "SELECT id, series, time, body, raw FROM points WHERE id > ? ORDER BY id LIMIT ?",
            (position, limit),
        ).fetchall()
        # after the rows, so that it includes all of their series
        series_by_id = self._series_of(EVENTS, tags or {})
        known = [
            Row(series_by_id[number], time, body, raw)
            for _, number, time, body, raw in rows
            if number in series_by_id
        ]
        events = self.intake.sift("event", known, event_of_row, identify_row)
        return list(events), rows[-1][0] if rows else position

    def newest_position(self) -> int:
        """Return the position of the last arrival; 0 if there is none."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM points").fetchone()[0])

    def recall(self, key: str) -> bytes | None:
        return recall(self._db, key, self.intake)

    def recall_keys(self, prefix: str) -> list[str]:
        """Return the keys of the state that start with ``prefix``."""
        rows = self._db.execute(
            "SELECT key FROM state WHERE substr(key, 1, ?) = ? AND length(value) > 0",
            (len(prefix), prefix),
        )
        return [key for (key,) in rows]

    def past(self, upto: int) -> Past:
        """Return what arrived up to a position."""
        return Past(self._db, upto)

    def recall_all(self, prefix: str) -> dict[str, bytes]:
        """Return the state with keys that start with ``prefix``."""
        query = "SELECT key, value FROM state WHERE substr(key, 1, ?) = ? ORDER BY key"
        return {key: bytes(value) for key, value in self._db.execute(query, (len(prefix), prefix))}

    def counters(self) -> dict[tuple[str, str], float]:
        rows = self._db.execute("SELECT name, labels, value FROM counters")
        sound = self.intake.sift("counter", rows, check_counter, lambda row: row[:2])
        return {(name, labels): value for name, labels, value in sound}


class SqliteTail:
    """Events since ``since`` (ns) with these ``tags``; ``pause``: seconds between two polls."""

    pause: Final = 0.3

    def __init__(self, store: Points, since: int, tags: TagFilter) -> None:
        self._store = store
        self._since = since
        self._tags = tags
        self._position = store.newest_position()

    def history(self) -> Iterator[Event]:
        return self._store.events(self._since, 2**63 - 1, self._tags)

    def poll(self) -> Iterator[Event]:
        """Yield the events since the last call, in order of arrival."""
        before = -1
        while before != self._position:
            before = self._position
            events, self._position = self._store.since_arrival(before, _AT_ONCE, self._tags)
            yield from events


def recall(db: sqlite3.Connection, key: str, intake: Intake) -> bytes | None:
    """Return the state stored under ``key``; None if it is missing or has an invalid type."""
    row = db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
    if row is None or isinstance(row[0], bytes):
        return row[0] if row else None
    intake.reject("state", key, Invalid("type", f"a state of type {type(row[0]).__name__}"))
    return None


def check_counter(row: tuple[Any, Any, Any]) -> tuple[str, str, float]:
    """Return a counter's name, labels and value; raise Invalid if they are not valid."""
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

"""A fleet's stores as the views ask them: two buckets of InfluxDB, read for a person.

Nothing is shared with the aggregator's own reading but the server. What a bucket says is not
believed: whoever holds an exporter's token writes there what he likes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import msgspec

from heptad.aggregator.reports import REPORTED
from heptad.aggregator.web.query import MOST_ROWS
from heptad.aggregator.web.source import AHEAD, PATIENCE, Opened
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.http.deadline import limit
from heptad.core.influxdb.client import InfluxConnection, TooSlow
from heptad.core.influxdb.heartbeats import fleet_watermark, read_last_heartbeats
from heptad.core.influxdb.influxql import in_time, quote_name
from heptad.core.influxdb.paging import DAY, Series, read_pages
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.tail import REACH, InfluxTail
from heptad.core.intervals import MINUTE
from heptad.core.store.api import StoreError, TagFilter
from heptad.core.store.event_row import (
    EVENTS,
    check_event,
    check_partial_event,
    events_of_points,
    identify,
)
from heptad.core.store.line_protocol import encode_fields, encode_series
from heptad.core.store.point import Identity, Point, Row
from heptad.core.validation import Intake

_ANSWERED_WITHIN: Final = 4.0
_ROWS: Final = 500
_RECENT: Final = 7 * DAY
_SOURCE: Final = ("host", "source", "program")
_HELD: Final = 5 * MOST_ROWS
_KNOWN: Final = 10_000


class FleetStores:
    """The buckets of events and reports of this InfluxDB; ``tick`` is monotonic, in seconds."""

    def __init__(
        self,
        config: InfluxConfig,
        tick: Callable[[], float] = time.monotonic,
        intake: Intake | None = None,
    ) -> None:
        intake = intake or Intake()
        timeout = min(config.timeout, Duration(PATIENCE))
        self._is_pages_own = timeout == PATIENCE
        connection = InfluxConnection(msgspec.structs.replace(config, timeout=timeout))
        buckets = config.buckets
        heartbeats = Reader(connection, buckets.heptad)
        self._events = PageBucket(
            Reader(connection, buckets.events, rows=_ROWS), tick, intake, heartbeats
        )
        reports = Reader(connection, buckets.reports, schema=REPORTED)
        self._reports = PageBucket(reports, tick, intake)

    @contextmanager
    def open(self, *, needs_reports: bool) -> Iterator[Opened]:
        """See Stores.open."""
        try:
            with limit(_ANSWERED_WITHIN):
                yield self._events, self._reports
        except TooSlow as error:
            if not self._is_pages_own:
                raise
            # a longer time-out, which is the remedy elsewhere, changes nothing here
            raise StoreError(
                f"InfluxDB did not answer within {_ANSWERED_WITHIN:.0f} s; choose a shorter "
                "range, or check that the server is not overloaded"
            ) from error


class PageBucket:
    """One bucket; see Events and Reports. Raises StoreError with the remedy."""

    def __init__(
        self,
        reader: Reader,
        tick: Callable[[], float],
        intake: Intake | None = None,
        heartbeats: Reader | None = None,
    ) -> None:
        self.intake = intake or Intake()
        self._heartbeats = heartbeats
        self._reader = reader
        self._new_events = NewEvents(reader, tick, self.intake)

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """See Readable.read."""
        return self._reader.points(measurement, since, until, tags)

    def backwards(
        self,
        measurement: str,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        fields: Sequence[str] = (),
    ) -> Iterator[Row]:
        """See Events.backwards."""
        until = min(until, time.time_ns() + AHEAD)
        points = self._reader.points(
            measurement, since, until, tags, newest_first=True, fields=fields
        )
        return map(_row_of, self._sift(points, fields))

    def _sift(self, points: Iterator[Point], fields: Sequence[str]) -> Iterator[Point]:
        """Those that are events; where only some ``fields`` were read, as far as that shows."""
        check = check_partial_event if fields else check_event
        return self.intake.sift("event", points, check, identify)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """See Events.pick."""
        points = self._reader.pick(EVENTS.name, identities)
        return events_of_points(points, self.intake)

    def newest_position(self) -> int:
        """See Events.newest_position."""
        return self._new_events.poll()

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Point], int]:
        """See Events.since_arrival."""
        points, position = self._new_events.since(position, limit)
        wanted = (tags or {}).items()
        return [p for p in points if all(p.tags.get(name) == v for name, v in wanted)], position

    def last_times(self, measurement: str, until: int) -> dict[str, int]:
        """See Events.last_times; of the last seven days, and host, source and program only."""
        name, tags = quote_name(measurement), ", ".join(map(quote_name, _SOURCE))

        def select(begin: int, end: int) -> Iterator[Series]:
            times = in_time(begin, end)
            for answer in self._reader.ask(
                f'SELECT last("count"::integer) FROM {name} WHERE {times} GROUP BY {tags}'  # noqa: S608 - quoted
            ):
                told = [answer.tags.get(tag, "") for tag in _SOURCE]
                yield Series(["time", *_SOURCE], values=[[row[0], *told] for row in answer.values])

        found: dict[str, int] = {}
        for _, (last, *told) in read_pages(
            select, until - AHEAD - _RECENT, until, newest_first=True
        ):
            series = encode_series(measurement, zip(_SOURCE, told, strict=True))
            found[series] = max(last, found.get(series, last))
        return found

    def looked_until(self) -> int | None:
        """See Events.looked_until; as the heartbeats of all living exporters tell."""
        if self._heartbeats is None:
            return None
        now = time.time_ns()
        return fleet_watermark(read_last_heartbeats(self._heartbeats, now, self.intake), now)

    def counters(self) -> None:
        """See Events.counters: each exporter has its own."""

    def size(self) -> None:
        """See Reports.size: the server does not tell it."""


class NewEvents:
    """The events that came since somebody began to watch; the last ones are held for all watchers.

    A position is their number, counted from the time in milliseconds when that was: so one of
    another run, or from before nobody watched for a while, lies far behind and is told as such.
    """

    def __init__(self, reader: Reader, tick: Callable[[], float], intake: Intake) -> None:
        self._reader = reader
        self._tick = tick
        self._intake = intake
        self._lock = threading.Lock()
        self._follower: InfluxTail | None = None
        self._held: deque[tuple[int, Point]] = deque(maxlen=_HELD)
        self._newest = 0
        self._looked = 0.0

    def poll(self) -> int:
        """See what came, and the position of the last; raises StoreError."""
        if not self._lock.acquire(timeout=PATIENCE):
            raise StoreError(
                "InfluxDB is slow to return new events; check that it is not overloaded"
            )
        try:
            now = self._tick()
            if self._follower is None or now - self._looked > (REACH - 1) * 60:
                self._follower = self._begin()
            elif now - self._looked >= self._follower.pause:
                points = self._intake.sift("event", self._follower.poll(), check_event, identify)
                for point in points:
                    self._newest += 1
                    self._held.append((self._newest, point))
            else:
                return self._newest
            self._looked = now
            return self._newest
        finally:
            self._lock.release()

    def since(self, position: int, most: int) -> tuple[list[Point], int]:
        """The first ``most`` of what is held from behind ``position``, and the new position."""
        with self._lock:
            held = [entry for entry in self._held if entry[0] > position][:most]
            return [point for _, point in held], held[-1][0] if held else self._newest

    def _begin(self) -> InfluxTail:
        """Follow from here on: late events too, as far back as few enough are there to know."""
        now = time.time_ns()
        since, known = now // MINUTE * MINUTE - REACH * MINUTE, 0
        counted = list(self._reader.count_minutes(EVENTS.name, since, now + AHEAD))
        for minute, number in reversed(counted):
            known += number
            if known > _KNOWN:
                since = min((minute + 1) * MINUTE, now)
                break
        follower = InfluxTail(self._reader, EVENTS.name, since, {}, time.time_ns, self._tick)
        follower.pass_over()
        self._held.clear()
        self._newest = max(now // 10**6, self._newest + 2 * _HELD)
        return follower


def _row_of(point: Point) -> Row:
    fields = dict(point.fields)
    raw = str(fields.pop("raw", ""))
    series = _series_of(point.measurement, tuple(point.tags.items()))
    return Row(series, point.time, encode_fields(fields), raw)


@lru_cache(maxsize=8192)
def _series_of(measurement: str, tags: tuple[tuple[str, str], ...]) -> str:
    return encode_series(measurement, tags)

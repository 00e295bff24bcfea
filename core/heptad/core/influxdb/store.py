"""The store of a fleet: a bucket of InfluxDB, with state in the bucket *heptad*."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Self

import msgspec

from heptad.core import units
from heptad.core.event import Event
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.heartbeats import (
    Fleet,
    FleetSummary,
    Heartbeat,
    describe_troubled,
    fleet_watermark,
    read_last_heartbeats,
)
from heptad.core.influxdb.influx_arrivals import Clocks, InfluxArrivals
from heptad.core.influxdb.influxql import EARLIEST, LATEST, in_time, quote_name
from heptad.core.influxdb.paging import DAY, Series, read_pages
from heptad.core.influxdb.query import ROWS, Reader
from heptad.core.influxdb.state import State
from heptad.core.influxdb.tail import InfluxTail, LatestEvents
from heptad.core.influxdb.unique_timestamps import assign_unique_timestamps
from heptad.core.influxdb.write import InfluxSink
from heptad.core.intervals import Interval, merge_intervals
from heptad.core.sink import Blocked, Delivered, Payload
from heptad.core.store.api import Arrival, Counters, Emitter, StoreError, TagFilter
from heptad.core.store.event_row import EVENTS, events_of_points
from heptad.core.store.field_conflict import HeldGroup, HeldPoints, describe
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Identity, Point, Row
from heptad.core.store.sqlite_reading import check_counter
from heptad.core.validation import Intake
from heptad.core.wording import list_names

log = logging.getLogger("heptad.store")

_COUNTERS: Final = "counters"
_AT_ONCE: Final = 2000
_decode_totals = msgspec.json.Decoder(list[tuple[str, str, float]]).decode


class InfluxStore:
    """The points of ``bucket`` and the state of ``owner``, over ``connection``.

    Rows are in the bucket when ``append`` returns. State and counters hold at once for this
    process and are written some seconds later, by ``flush`` and ``close``: after a kill older ones
    hold, which is harmless where all follows from the points. One process writes a bucket for one
    owner. ``now`` is nanoseconds since the epoch, ``tick`` a monotonic time in seconds; an answer
    comes ``rows`` at a time. May be read by several threads.
    """

    is_shared: Final = True

    def __init__(
        self,
        connection: InfluxConnection,
        bucket: str,
        owner: str,
        *,
        now: Callable[[], int] = time.time_ns,
        tick: Callable[[], float] = time.monotonic,
        intake: Intake | None = None,
        rows: int = ROWS,
    ) -> None:
        self.intake = intake or Intake()
        config = connection.config
        keeps, remembers = (
            int(retention * units.SECOND)
            for retention in (config.retention.events, config.retention.heptad)
        )
        self.name = f"{connection.url}, `{bucket}`"
        self._state_name = f"{connection.url}, `{config.buckets.heptad}`"
        self._reader = Reader(connection, bucket, rows=rows, schema=self.intake.schema)
        self._sink = InfluxSink(connection, bucket)
        self._state_sink = InfluxSink(connection, config.buckets.heptad)
        self._heptad = heptad = Reader(connection, config.buckets.heptad)
        self._state = State(heptad, owner, remembers, now, tick, self.intake)
        self._clocks = Clocks(now, lambda: now() - int(connection.clock_offset * 10**9), tick)
        self._latest = LatestEvents(self._reader, now, tick, self.intake)
        self._arrival_reader = InfluxArrivals(
            self._reader,
            heptad,
            self._clocks,
            keeps=keeps,
            remembers=remembers,
            intake=self.intake,
        )
        self._pending: deque[Payload] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is to be written; where that fails the log says so."""
        try:
            self.flush(at_once=True)
        except StoreError as error:
            log.warning("cannot write state", extra={"store": self.name, "error": error})

    # writing

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Keep the rows, and state and counters a little later: see EventStore.

        Where the server's answer did not come, the same rows are sent again before anything else
        is read or written: they may be there already, or still be under way, and then must meet
        nothing but themselves.
        """
        self._write_pending()
        self._write(assign_unique_timestamps(self._reader, self._sound(rows)))
        for key, value in (state or {}).items():
            self._state.remember(key, value)
        if counters:
            totals = self.counters()
            for name, amount in counters.items():
                totals[name] = totals.get(name, 0) + amount
            kept = [(name, labels, value) for (name, labels), value in sorted(totals.items())]
            self._state.remember(_COUNTERS, msgspec.json.encode(kept))

    def replace(self, rows: Sequence[Row]) -> None:
        """Write rows whatever is at their times in their series already; see ``append``."""
        self._write_pending()
        self._write(self._sound(rows))

    def _sound(self, rows: Sequence[Row]) -> list[Row]:
        sound = [row for row in rows if _is_storable(row)]
        if len(sound) < len(rows):
            told = {"store": self.name, "rows": len(rows) - len(sound)}
            log.error("skipped rows that cannot be stored", extra=told)
        return sound

    def _write(self, rows: Iterable[Row]) -> None:
        lines = map(line_of, rows)
        while part := list(islice(lines, _AT_ONCE)):
            self._pending.append(self._sink.encode(part))
        self._write_pending()

    def _write_pending(self) -> None:
        while self._pending:
            outcome = self._sink.deliver(self._pending[0])
            if isinstance(outcome, Delivered):
                self._pending.popleft()
                if (reason := outcome.missing()) is not None:
                    rows = len(outcome.rejected) + len(outcome.held)
                    raise StoreError(f"{self.name}: the server rejected {rows} rows: {reason}")
            else:
                if isinstance(outcome, Blocked):
                    self._pending.clear()
                raise StoreError(f"{self.name}: {outcome.reason}")

    def flush(self, *, at_once: bool = False) -> None:
        """Write state that changed, at most every ten seconds but for ``at_once``."""
        if rows := self._state.rows(at_once=at_once):
            outcome = self._state_sink.deliver(self._state_sink.encode([*map(line_of, rows)]))
            if not isinstance(outcome, Delivered):
                raise StoreError(f"{self._state_name}: {outcome.reason}")
            if (reason := outcome.missing()) is not None:
                raise StoreError(f"{self._state_name}: the server rejected the state: {reason}")
            self._state.commit()

    # reading

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """The points of the range whose tags are as given, in order of time."""
        self._write_pending()
        yield from self._reader.points(measurement, since, until, tags)

    def events(
        self,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        *,
        newest_first: bool = False,
        fields: Sequence[str] = (),
    ) -> Iterator[Event]:
        """The events of the range whose tags are as given, in order of time or the newest first."""
        self._write_pending()
        if newest_first:
            until = min(until, self._clocks.now() + DAY)
        # what is not asked for has its default; without a count nothing is an event
        asked = {*fields, EVENTS.always} if fields else ()
        points = self._reader.points(
            EVENTS.name, since, until, tags, newest_first=newest_first, fields=sorted(asked)
        )
        yield from events_of_points(points, self.intake)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """The events that are these, as far as they are there, in order of time."""
        self._write_pending()
        yield from events_of_points(self._reader.pick(EVENTS.name, identities), self.intake)

    def recall(self, key: str) -> bytes | None:
        """The state kept under ``key``, or None."""
        return self._state.recall(key)

    def counters(self) -> dict[tuple[str, str], float]:
        """Every counter: (name, labels as JSON) to its value."""
        kept = self._state.recall(_COUNTERS)
        totals = self.intake.restore(_COUNTERS, kept, _decode_totals) or []
        sound = self.intake.sift("counter", totals, check_counter, lambda row: row[:2])
        return {(name, labels): value for name, labels, value in sound}

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """What came after a position; a piece is whole minutes, which no edge cuts."""
        return self._arrival_reader.take(measurement, position, limit, edges)

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """The minutes of the range that have points, merged and in order."""
        minutes = self._reader.count_minutes(measurement, since, until)
        return merge_intervals((minute, minute + 1) for minute, _ in minutes)

    def tail(self, since: int, tags: TagFilter) -> InfluxTail:
        """What follows the events since ``since`` (ns) with these tags as they come."""
        clocks = self._clocks
        return InfluxTail(self._reader, since, tags, clocks.now, clocks.tick, self.intake)

    def newest_position(self) -> int:
        """The position of the event that came last."""
        return self._latest.poll()

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Event], int]:
        """The events among the next ``limit`` after ``position``, and the new position."""
        events, position = self._latest.since(position, limit)
        wanted = (tags or {}).items()
        return [e for e in events if all(getattr(e, tag) == v for tag, v in wanted)], position

    def last_times(self, until: int) -> dict[Emitter, int]:
        """The time of the newest event of each emitter in the week before ``until``."""
        tags = ", ".join(map(quote_name, Emitter._fields))

        def select(begin: int, end: int) -> Iterator[Series]:
            times = in_time(begin, end)
            query = f'SELECT last("count"::integer) FROM {quote_name(EVENTS.name)} WHERE {times}'  # noqa: S608 - quoted
            for answer in self._reader.ask(f"{query} GROUP BY {tags}"):
                told = [answer.tags.get(tag, "") for tag in Emitter._fields]
                yield Series(["time"], values=[[row[0], *told] for row in answer.values])

        found: dict[Emitter, int] = {}
        since = until - 8 * DAY  # ``until`` may be a day ahead of the clock
        for _, (last, *told) in read_pages(select, since, until, newest_first=True):
            emitter = Emitter(*told)
            found[emitter] = max(last, found.get(emitter, last))
        return found

    def size(self) -> None:
        """The server does not tell it."""

    def watermark(self) -> int | None:
        """The time up to which all living exporters have delivered what they read.

        For a reader of ``arrived`` as heartbeats told when that was asked last, else as they tell
        now; then, where none lives, the latest that one of them had reached.
        """
        if self._arrival_reader.began:
            return self._arrival_reader.fleet.watermark(self._clocks.tick())
        now = self._clocks.server()
        return fleet_watermark(self._last_heartbeats(now), now)

    def problems(self, since: int | None = None) -> list[str]:
        """What keeps hosts from being heard, by the last heartbeats."""
        try:
            fleet = self._find_fleet()
            held = self.confirm(fleet.held(0.0))
        except StoreError as error:
            # who may read the events may not read the heartbeats
            return [f"cannot determine which hosts are deaf: {error}"]
        told = describe_troubled(fleet.troubled(0.0))
        if text := describe(held):
            hosts = fleet.holders({one.conflict for one in held}, 0.0)
            told.append(f"{text}. Hosts that hold points: {list_names(hosts)}")
        return told

    def held(self) -> list[HeldPoints]:
        """What exporters say that the server does not take, as far as points there bear it out."""
        return self.confirm(self._arrival_reader.fleet.held(self._clocks.tick()))

    def confirm(self, groups: Sequence[HeldGroup]) -> list[HeldPoints]:
        """Of what is said to be held, that for which points of the other type are there."""
        found = self._sink.gather(groups) if groups else []
        return [one for one in found if one.place.host is not None]

    def fleet(self) -> FleetSummary:
        """How the exporters are, as heartbeats told when ``arrived`` was asked last."""
        return self._arrival_reader.fleet.summary(self._clocks.tick(), self._clocks.server())

    def troubled(self) -> dict[str, list[str]]:
        """The hosts that ``fleet`` counts: see Fleet.troubled."""
        return self._arrival_reader.fleet.troubled(self._clocks.tick())

    def hosts(self) -> set[str]:
        """The hosts whose exporters sent a heartbeat in the last day."""
        return self._arrival_reader.fleet.hosts()

    def _find_fleet(self) -> Fleet:
        """The exporters by the last heartbeat of each, with 0 as the time now."""
        now = self._clocks.server()
        return Fleet.of(self._last_heartbeats(now), now)

    def _last_heartbeats(self, now: int) -> Iterator[Heartbeat]:
        """Those of a day; the server, whose time ``now`` is, tells it in whole seconds."""
        return read_last_heartbeats(self._heptad, now + units.SECOND, self.intake)


def _is_storable(row: Row) -> bool:
    """Whether InfluxDB can take it: its text is UTF-8, its time within 64 bits."""
    try:
        f"{row.series}{row.body}{row.raw}".encode()
    except UnicodeEncodeError:
        return False
    return EARLIEST <= row.time < LATEST

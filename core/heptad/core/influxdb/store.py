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

    Rows are stored when ``append`` returns. State and counters take effect in this process at once,
    and are written some seconds later, by ``flush`` and ``close``: after a kill older ones are
    valid, which is harmless if everything is derived from the points. Only one process may write to
    a bucket for one owner. ``now`` is nanoseconds since the epoch, ``tick`` a monotonic time in
    seconds; responses have ``rows`` rows per chunk. May be read by several threads.
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
        """Write pending state; log a failure."""
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
        """Store the rows now, and state and counters a little later; see EventStore.append.

        If the server's response was lost, the same rows are sent again before anything else is read
        or written: they may be stored already or still be on their way, and must then meet only
        themselves.
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
        """Write rows and overwrite points with the same series and time; see ``append``."""
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
        """Write changed state, at most every ten seconds or always with ``at_once``."""
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
        self._write_pending()
        if newest_first:
            until = min(until, self._clocks.now() + DAY)
        # fields that are not requested have their default; the count is required for an event
        asked = {*fields, EVENTS.always} if fields else ()
        points = self._reader.points(
            EVENTS.name, since, until, tags, newest_first=newest_first, fields=sorted(asked)
        )
        yield from events_of_points(points, self.intake)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        self._write_pending()
        yield from events_of_points(self._reader.pick(EVENTS.name, identities), self.intake)

    def recall(self, key: str) -> bytes | None:
        return self._state.recall(key)

    def counters(self) -> dict[tuple[str, str], float]:
        kept = self._state.recall(_COUNTERS)
        totals = self.intake.restore(_COUNTERS, kept, _decode_totals) or []
        sound = self.intake.sift("counter", totals, check_counter, lambda row: row[:2])
        return {(name, labels): value for name, labels, value in sound}

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """Return what arrived after a position; a piece is whole minutes, which no edge splits."""
        return self._arrival_reader.take(measurement, position, limit, edges)

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        minutes = self._reader.count_minutes(measurement, since, until)
        return merge_intervals((minute, minute + 1) for minute, _ in minutes)

    def tail(self, since: int, tags: TagFilter) -> InfluxTail:
        clocks = self._clocks
        return InfluxTail(self._reader, since, tags, clocks.now, clocks.tick, self.intake)

    def newest_position(self) -> int:
        return self._latest.poll()

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Event], int]:
        events, position = self._latest.since(position, limit)
        wanted = (tags or {}).items()
        return [e for e in events if all(getattr(e, tag) == v for tag, v in wanted)], position

    def last_times(self, until: int) -> dict[Emitter, int]:
        """Return the time of the newest event of each emitter in the week before ``until``."""
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
        """Return None: the server does not report it."""

    def watermark(self) -> int | None:
        """Return the time up to which all live exporters have delivered what they read.

        After a call of ``arrived``, it is that of the heartbeats read then. Otherwise the
        heartbeats are read now; if no exporter is alive, it is the latest time that one of them
        reached.
        """
        if self._arrival_reader.began:
            return self._arrival_reader.fleet.watermark(self._clocks.tick())
        now = self._clocks.server()
        return fleet_watermark(self._last_heartbeats(now), now)

    def problems(self, since: int | None = None) -> list[str]:
        """Report hosts that are silent, skewed or deaf, according to their last heartbeats."""
        try:
            fleet = self._find_fleet()
            held = self.confirm(fleet.held(0.0))
        except StoreError as error:
            # a token that may read events may not be allowed to read heartbeats
            return [f"cannot determine which hosts are deaf: {error}"]
        told = describe_troubled(fleet.troubled(0.0))
        if text := describe(held):
            hosts = fleet.holders({one.conflict for one in held}, 0.0)
            told.append(f"{text}. Hosts that hold points: {list_names(hosts)}")
        return told

    def held(self) -> list[HeldPoints]:
        """Return what exporters report as held, if points in the bucket confirm it."""
        return self.confirm(self._arrival_reader.fleet.held(self._clocks.tick()))

    def confirm(self, groups: Sequence[HeldGroup]) -> list[HeldPoints]:
        """Return those of ``groups`` for which a point with the other type exists."""
        found = self._sink.gather(groups) if groups else []
        return [one for one in found if one.place.host is not None]

    def fleet(self) -> FleetSummary:
        """Return the state of the exporters as of the last call of ``arrived``."""
        return self._arrival_reader.fleet.summary(self._clocks.tick(), self._clocks.server())

    def troubled(self) -> dict[str, list[str]]:
        return self._arrival_reader.fleet.troubled(self._clocks.tick())

    def hosts(self) -> set[str]:
        """Return the hosts whose exporters sent a heartbeat in the last day."""
        return self._arrival_reader.fleet.hosts()

    def _find_fleet(self) -> Fleet:
        """Return the exporters with the last heartbeat of each; the time is 0."""
        now = self._clocks.server()
        return Fleet.of(self._last_heartbeats(now), now)

    def _last_heartbeats(self, now: int) -> Iterator[Heartbeat]:
        """Read those of the last day; the server's time ``now`` has a resolution of a second."""
        return read_last_heartbeats(self._heptad, now + units.SECOND, self.intake)


def _is_storable(row: Row) -> bool:
    """Return whether InfluxDB can store the row: its text is UTF-8, its time has 64 bits."""
    try:
        f"{row.series}{row.body}{row.raw}".encode()
    except UnicodeEncodeError:
        return False
    return EARLIEST <= row.time < LATEST

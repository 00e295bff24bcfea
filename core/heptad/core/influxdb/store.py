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
    fleet_watermark,
    read_last_heartbeats,
)
from heptad.core.influxdb.influx_arrivals import Clocks, InfluxArrivals
from heptad.core.influxdb.influxql import EARLIEST, LATEST
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.state import State
from heptad.core.influxdb.tail import InfluxTail
from heptad.core.influxdb.unique_timestamps import assign_unique_timestamps
from heptad.core.influxdb.write import InfluxSink
from heptad.core.intervals import Interval, merge_intervals
from heptad.core.sink import Blocked, Delivered, Payload
from heptad.core.store.api import Arrival, Counters, StoreError, TagFilter
from heptad.core.store.event_row import MEASUREMENT as EVENTS
from heptad.core.store.event_row import events_of_points
from heptad.core.store.field_conflict import HeldGroup, HeldPoints
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Identity, Point, Row
from heptad.core.store.sqlite_reading import check_counter
from heptad.core.validation import Intake

log = logging.getLogger("heptad.store")

_COUNTERS: Final = "counters"
_AT_ONCE: Final = 2000
_decode_totals = msgspec.json.Decoder(list[tuple[str, str, float]]).decode


class InfluxStore:
    """The points of ``bucket`` and the state of ``owner``, over ``connection``.

    Rows are in the bucket when ``append`` returns. State and counters hold at once for this
    process and are written some seconds later, by ``flush`` and ``close``: after a kill older ones
    hold, which is harmless where all follows from the points. One process writes a bucket for one
    owner. ``now`` is nanoseconds since the epoch, ``tick`` a monotonic time in seconds.
    """

    def __init__(
        self,
        connection: InfluxConnection,
        bucket: str,
        owner: str,
        *,
        now: Callable[[], int] = time.time_ns,
        tick: Callable[[], float] = time.monotonic,
        intake: Intake | None = None,
    ) -> None:
        self.intake = intake or Intake()
        config = connection.config
        keeps, remembers = (
            int(retention * units.SECOND)
            for retention in (config.retention.events, config.retention.heptad)
        )
        self.name = f"{connection.url}, `{bucket}`"
        self._state_name = f"{connection.url}, `{config.buckets.heptad}`"
        self._reader = Reader(connection, bucket, schema=self.intake.schema)
        self._sink = InfluxSink(connection, bucket)
        self._state_sink = InfluxSink(connection, config.buckets.heptad)
        self._heptad = heptad = Reader(connection, config.buckets.heptad)
        self._state = State(heptad, owner, remembers, now, tick, self.intake)
        self._clocks = Clocks(now, lambda: now() - int(connection.clock_offset * 10**9), tick)
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
        """See Store.append.

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
        """See Store.read."""
        self._write_pending()
        yield from self._reader.points(measurement, since, until, tags)

    def events(self, since: int, until: int, tags: TagFilter | None = None) -> Iterator[Event]:
        """See Store.events."""
        return events_of_points(self.read(EVENTS, since, until, tags), self.intake)

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """See Store.pick."""
        self._write_pending()
        yield from events_of_points(self._reader.pick(EVENTS, identities), self.intake)

    def recall(self, key: str) -> bytes | None:
        """See Store.recall."""
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
        """See Store.arrived; a piece is whole minutes, which no edge cuts."""
        return self._arrival_reader.take(measurement, position, limit, edges)

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """See Store.spans."""
        minutes = self._reader.count_minutes(measurement, since, until)
        return merge_intervals((minute, minute + 1) for minute, _ in minutes)

    def follow(self, since: int, tags: TagFilter) -> InfluxTail:
        """What follows the events since ``since`` (ns) with these tags as they come."""
        return InfluxTail(self._reader, EVENTS, since, tags, self._clocks.now, self._clocks.tick)

    def watermark(self) -> int | None:
        """See Store.passed; as heartbeats told when ``arrived`` was asked last."""
        return self._arrival_reader.fleet.watermark(self._clocks.tick())

    def held(self) -> list[HeldPoints]:
        """What exporters say that the server does not take, as far as points there bear it out."""
        return self.confirm(self._arrival_reader.fleet.held(self._clocks.tick()))

    def confirm(self, groups: Sequence[HeldGroup]) -> list[HeldPoints]:
        """Of what is said to be held, that for which points of the other type are there."""
        found = self._sink.gather(groups) if groups else []
        return [one for one in found if one.place.host is not None]

    def looked_until(self) -> int | None:
        """Up to when (ns) all living exporters have delivered what they read; None: not known."""
        now = self._clocks.server()
        return fleet_watermark(read_last_heartbeats(self._heptad, now, self.intake), now)

    def fleet(self) -> FleetSummary:
        """How the exporters are, as heartbeats told when ``arrived`` was asked last."""
        return self._arrival_reader.fleet.summary(self._clocks.tick(), self._clocks.server())

    def troubled(self) -> dict[str, list[str]]:
        """The hosts that ``fleet`` counts: see Fleet.troubled."""
        return self._arrival_reader.fleet.troubled(self._clocks.tick())

    def hosts(self) -> set[str]:
        """The hosts whose exporters sent a heartbeat in the last day."""
        return self._arrival_reader.fleet.hosts()

    def find_fleet(self) -> Fleet:
        """The exporters by the last heartbeat of each, with 0 as the time now."""
        now = self._clocks.server()
        # the server tells its time in whole seconds
        until = now + units.SECOND
        return Fleet.of(read_last_heartbeats(self._heptad, until, self.intake), now)


def _is_storable(row: Row) -> bool:
    """Whether InfluxDB can take it: its text is UTF-8, its time within 64 bits."""
    try:
        f"{row.series}{row.body}{row.raw}".encode()
    except UnicodeEncodeError:
        return False
    return EARLIEST <= row.time < LATEST

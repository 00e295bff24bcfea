"""The aggregator on a real InfluxDB, with simulated exporters, and clocks that a test sets."""

import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import count
from types import TracebackType
from typing import Any

import msgspec

from heptad.aggregator.cycle import Cycle
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.plan import Plan
from heptad.aggregator.reports import REPORTED, REPORTS, Report
from heptad.core.config.findings import BruteForceConfig
from heptad.core.config.influxdb import BucketsConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.influxdb.store import InfluxStore
from heptad.core.store.event_row import row_of_event
from heptad.core.store.heartbeat_row import HEARTBEATS
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Point, Row
from heptad.core.validation import Intake
from tests.support.aggregator_world import DAY, MIDNIGHT, MINUTE, SECOND, World
from tests.support.influxdb import Influxd, connect

NUMBERS = count()


class FleetWorld(World):
    """A world with its own databases on ``server``; events arrive with or without a heartbeat.

    ``clock`` is the time of the stores and the server, ``tick`` the monotonic one; ``now`` is the
    time for the cycle. ``restart`` loses what is not written; every run checks that no row that was
    ever written has changed.
    """

    def __init__(
        self,
        server: Influxd,
        *,
        rules: list[DetectionRule] | None = None,
        reports: Sequence[Report] = REPORTS,
    ) -> None:
        self.intake = Intake(REPORTED)
        self.plan = Plan(rules or [BruteForce(BruteForceConfig(4, Duration("3m")))], reports)
        self.now = self.clock = MIDNIGHT
        self.tick = 0.0
        self.name = "events"
        self._stop = threading.Event()
        self.server = server
        self.sequence = count(1)
        self._newest = 0
        self._given: set[tuple[str, int]] = set()
        self._beat = 0
        self._stack = ExitStack()
        number = next(NUMBERS)
        names = BucketsConfig(f"f_events{number}", f"f_reports{number}", f"f_heptad{number}")
        self.buckets = names
        server.create(*names.names())
        self._stack.callback(server.drop, *names.names())
        # on a busy machine, a server is slow with values of a megabyte
        connecting = connect(server.url, buckets=names, timeout=60.0, **server.keys)
        self._connection = self._stack.enter_context(connecting)
        self.written: dict[str, dict[Any, Any]] = {}
        self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def open(self, bucket: str) -> Any:
        """Open the store of a bucket, with the clocks of this world."""
        return InfluxStore(
            self._connection,
            bucket,
            "aggregator",
            now=lambda: self.clock,
            tick=lambda: self.tick,
            intake=self.intake,
        )

    def start(self) -> None:
        """Start a cycle that only knows what is written."""
        self.fleet: InfluxStore = self.open(self.buckets.events)
        self.events = self.read = self.fleet
        self.own: InfluxStore = self.open(self.buckets.reports)
        self.reports = self.own
        self.metrics = AggregatorMetrics([rule.name for rule in self.plan.rules])
        self.metrics.recall(self.reports.counters())
        self.cycle = Cycle(
            self.read, self.reports, self.plan, self.metrics, name=self.name, now=lambda: self.now
        )

    def restart(self) -> None:
        """Lose everything that is not written."""
        self.start()

    def deliver(self, events: Iterable[Event]) -> None:
        """Write events, each with a unique time, but no heartbeat."""
        told = list(events)
        self._newest = max([self._newest, *(event.time for event in told)])
        self.open(self.buckets.events).append([self._place(row_of_event(e)) for e in told])

    def _place(self, row: Row) -> Row:
        """Move the row, as an exporter's store does, so that two equal events are both stored."""
        series, time = row.series, row.time
        while (series, time) in self._given:
            time += 1
        self._given.add((series, time))
        return Row(series, time, row.body, row.raw)

    def append(self, events: Iterable[Event]) -> None:
        """Write events, and a heartbeat that reports them."""
        told = list(events)
        self.deliver(told)
        if told:
            minutes = [event.time // MINUTE for event in told]
            self.beat(spans=[[m, m + 1, minutes.count(m)] for m in sorted(set(minutes))])

    def beat(self, host: str = "web1", machine: str = "1", **fields: Any) -> None:
        """Write a heartbeat of an exporter, at the current time of the server."""
        self._beat = max(self.clock, self._beat + 1)
        fields["spans"] = msgspec.json.encode(fields.get("spans", [])).decode()
        known = {"sequence": next(self.sequence), "caught_up": True, "clock_offset": 0.0}
        row = HEARTBEATS.row(
            [("host", host), ("machine_id", machine)],
            self._beat,
            {**known, "passed": self.clock, **fields},
        )
        self.server.write(self.buckets.heptad, [line_of(row)])

    def run_cycle(self, *, everything: bool = False) -> None:
        """Run until no work is left, some seconds after the last time."""
        super().run_cycle(everything=everything)
        self.clock += 4 * SECOND
        self.tick += 4
        for store in (self.fleet, self.own):
            store.flush()
        self.check_rows()

    def check_rows(self) -> None:
        """Check that all earlier rows still exist unchanged."""
        for name in ("findings", *(report.name for report in self.plan.reports)):
            now = {_identity(p): p.fields for p in self.reports.read(name, 0, 2**62)}
            for place, fields in self.written.get(name, {}).items():
                assert now[place] == fields, (name, place)
            self.written[name] = now

    def finish(self) -> None:
        """Process everything, two days after the newest event."""
        self.now = max(self._newest, MIDNIGHT) + 2 * DAY
        self.tick += 100
        self.run_cycle(everything=True)

    def backfill(self, since: int, until: int) -> None:
        """Compute a range again."""
        super().backfill(since, until)
        self.check_rows()


def _identity(point: Point) -> tuple[frozenset[tuple[str, str]], int]:
    return frozenset(point.tags.items()), point.time

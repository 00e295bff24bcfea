"""The aggregator process: opens stores and port from the configuration and runs cycles."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from heptad.aggregator.cycle import Cycle
from heptad.aggregator.detection.finding import Revision
from heptad.aggregator.detection.ignore import ignored_of
from heptad.aggregator.detection.latest import latest_findings
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.detection.rules.session import SessionRule
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.plan import Plan
from heptad.aggregator.reports import REPORTED, REPORTS
from heptad.aggregator.stores import STORE_ERRORS, open_stores
from heptad.aggregator.web.fleet import FleetStores
from heptad.aggregator.web.page import Page
from heptad.aggregator.web.source import HostStores
from heptad.core import units
from heptad.core.config.schema import Config
from heptad.core.gc_tuning import tune_gc
from heptad.core.http.server import Server
from heptad.core.store.api import StoreError
from heptad.core.telemetry.log import Condition
from heptad.core.validation import Intake

log = logging.getLogger("heptad.aggregator")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
_REST: Final = 3.0
"""Between two cycles, the pause is at least this many times the duration of the last cycle …"""
_LONGEST_REST: Final = 5.0
"""… but never longer than this (s), so that a live attack is detected in time."""


class Aggregator:
    """Stores, cycle and HTTP port of the aggregator.

    With ``once``, ``run`` processes everything in the store and every window that has ended, and
    returns. With ``since`` or ``until`` (ns), it recomputes that range and returns. ``also`` are
    exposed on the port in addition to its own metrics; ``beside`` returns the problems of the part
    that runs in the same process, for the page. Raises StoreError or ServerError if it cannot
    start.
    """

    def __init__(
        self,
        config: Config,
        *,
        once: bool = False,
        since: int | None = None,
        until: int | None = None,
        serve: bool = True,
        also: Sequence[Collector] = (),
        beside: Callable[[], list[str]] = list,
    ) -> None:
        self._config = config.aggregator
        self._also = also
        self._range = None if since is None and until is None else (since, until)
        self._once = once or self._range is not None
        self._plan = Plan(
            [*rules_of(self._config.findings), SessionRule(self._config.findings.session)],
            REPORTS,
            self._config.max_wait,
            self._config.late_horizon,
            ignored_of(self._config.findings.ignore),
        )
        self._conditions: dict[str, Condition] = {}
        self._cycle: Cycle | None = None
        self._recalled = False
        self.server: Server | None = None
        local = config.influxdb is None
        if self._once and local and not Path(config.store.path).exists():
            raise StoreError(
                f"{config.store.path}: the store of events does not exist; run `heptad "
                "exporter` first"
            )
        self._intake = Intake(REPORTED)
        self._stores = open_stores(config, self._intake)
        # `store` is shown to users: the location of findings and reports
        events, self.store = self._stores.describe()
        self._events_condition = Condition(log, "events", store=events)
        self._store_condition = Condition(log, "store", store=self.store)
        try:
            self.metrics = AggregatorMetrics([rule.name for rule in self._plan.rules], self._intake)
            self.metrics.open.vouch(self._stores.hosts())
            if local:
                self._recall()
            self._tell_set_aside()
            if serve:
                self.server = self._make_server(config, beside)
        except BaseException:
            self._stores.close()
            raise

    def _make_server(self, config: Config, beside: Callable[[], list[str]]) -> Server:
        listen = self._config.listen.address
        page = None
        if self._config.page:
            page = Page(
                FleetStores(config.influxdb, intake=self._intake)
                if config.influxdb is not None
                else HostStores(
                    Path(config.store.path), Path(self._config.store.path), self._intake
                ),
                listen[0],
                lambda: [*self.problems(), *self._stores.problems(), *beside()],
                lambda: self.metrics.judged_until,
            )
        return Server(
            listen,
            self._registry(),
            self.problems,
            web_config=self._config.web_config_file,
            pages=page,
        )

    def _recall(self) -> None:
        """Restore the metrics from the store, once."""
        if self._recalled:
            return
        now = time.time_ns()
        counters = self._stores.reports.counters()
        rules = {rule.name for rule in self._plan.rules}
        for finding in latest_findings(self._stores.reports, now - 30 * 86_400 * units.SECOND, now):
            if finding.rule in rules:
                self.metrics.note(Revision(finding, 0))
        self.metrics.recall(counters)
        self._recalled = True

    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        for collector in (self.metrics, *self._also):
            registry.register(collector)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry

    def problems(self) -> list[str]:
        """Return the current problems, one sentence each, for /healthz."""
        conditions = {"events": self._events_condition, "store": self._store_condition}
        conditions |= self._conditions
        return [f"{name}: {c.problem}" for name, c in conditions.items() if c.problem]

    def run(self, stop: threading.Event) -> None:
        """Run cycles until ``stop`` is set; with ``once``, run to the end, or raise StoreError."""
        if self.server is not None:
            self.server.start()
        tune_gc()
        try:
            if self._once:
                self._run_once(stop)
            else:
                self._run(stop)
        finally:
            self.close()

    def close(self) -> None:
        """Close the port and the stores; ``run`` calls it when it ends."""
        if self.server is not None:
            self.server.close()
        self._stores.close()

    def _run_once(self, stop: threading.Event) -> None:
        try:
            cycle = self._open_cycle()
            if self._range is None:
                while cycle.run_cycle(stop, everything=True) and not stop.is_set():
                    pass
            else:
                since, until = self._range
                cycle.backfill(
                    -(2**63) if since is None else since, 2**63 if until is None else until, stop
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self._stores.describe()[0]}: {error}") from error

    def _run(self, stop: threading.Event) -> None:
        poll = self._config.poll
        pause = _FIRST_PAUSE
        while not stop.is_set():
            begun = time.monotonic()
            try:
                more = self._run_cycle(stop)
            except STORE_ERRORS as error:
                self._recover(error)
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            took = time.monotonic() - begun
            if not more:
                stop.wait(max(poll, min(_REST * took, _LONGEST_REST)))

    def _run_cycle(self, stop: threading.Event) -> bool:
        """Run one cycle; return False if there is nothing to read or nothing left."""
        try:
            cycle = self._open_cycle()
        except StoreError as error:
            self._tell_events(str(error))
            return False
        more = cycle.run_cycle(stop)
        self._tell_events(None)
        self._stores.tend(self.metrics)
        self._tell_store(None)
        return more

    def _open_cycle(self) -> Cycle:
        """Return a cycle on the current store of events, which may have been replaced."""
        if self._stores.open_events():
            self._cycle = None
        self._recall()
        if self._cycle is None:
            self._cycle = Cycle(
                self._stores.events,
                self._stores.reports,
                self._plan,
                self.metrics,
                name=self._stores.name,
                conditions=self._conditions,
            )
            self._cycle.show = self._stores.show
        return self._cycle

    def _recover(self, error: Exception) -> None:
        """Discard the cycle; the next one continues from what is committed."""
        self._cycle = None
        if self._stores.is_of_events(error):
            self._tell_events(str(error))
            return
        if isinstance(error, StoreError):
            self._tell_store(str(error))
        else:
            self._tell_events(f"{self._stores.describe()[0]}: {error}")
        try:
            self._stores.recover(error, self.metrics)
        except STORE_ERRORS as worse:
            self._tell_store(str(worse))
        self._tell_set_aside()

    def _tell_set_aside(self) -> None:
        aside = 0 if self._stores.set_aside is None else 1
        self.metrics.set("heptad_aggregator_store_set_aside", aside)

    def _tell_events(self, problem: str | None) -> None:
        self._events_condition.set(problem)
        self.metrics.set("heptad_aggregator_events_failing", 1 if problem else 0)

    def _tell_store(self, problem: str | None) -> None:
        self._store_condition.set(problem)
        self.metrics.set("heptad_aggregator_store_failing", 1 if problem else 0)

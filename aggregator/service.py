"""The aggregator put together from its configuration: it looks, commits, waits, and looks again."""

import logging
import sqlite3
import threading
import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from aggregator.finding import latest_findings
from aggregator.findings import rules_of
from aggregator.ignored import ignored_of
from aggregator.job import Job, Plan
from aggregator.metrics import AggregatorMetrics
from aggregator.reports import REPORTS
from aggregator.web.page import Page
from heptad import units
from heptad.config import Config, parse_listen
from heptad.log import Condition
from heptad.server import Server
from heptad.store import StoreError
from heptad.store.file import StoreCorrupt
from heptad.store.local import LocalStore

log = logging.getLogger("heptad.aggregator")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
_PRUNE_EVERY: Final = 60.0
_REST: Final = 3.0
"""After a look it rests at least this many times as long as the look took."""
_STORE_ERRORS: Final = (StoreError, sqlite3.Error)


class Aggregator:
    """Stores, job and port of the aggregator.

    ``once`` works off everything that is there and every window that is over, and ends. With
    ``since`` or ``until`` (ns) it computes that range again, and ends. ``also`` are shown on the
    port beside its own metrics; ``beside`` says what is wrong with the part that runs beside it,
    for the page. Raises StoreError or ServerError where it cannot start.
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
        self._path = Path(config.store.path)
        self._range = None if since is None and until is None else (since, until)
        self._once = once or self._range is not None
        self._plan = Plan(
            rules_of(self._config.findings),
            REPORTS,
            units.parse_duration(self._config.max_wait),
            units.parse_duration(self._config.late_horizon),
            ignored_of(self._config.findings.ignore),
        )
        self._conditions: dict[str, Condition] = {}
        self._events_condition = Condition(log, "events", store=self._path)
        self._store_condition = Condition(log, "store", store=self._config.store.path)
        self._events: LocalStore | None = None
        self._identity = ""
        self._job: Job | None = None
        self._prune_due = 0.0
        self.server: Server | None = None
        if self._once and not self._path.exists():
            raise StoreError(f"{self._path}: no store of events here; run `heptad exporter` first")
        self.store = self._open_store()
        try:
            self.metrics = self._make_metrics()
            self._tell_set_aside()
            if serve:
                self.server = self._make_server(beside)
        except BaseException:
            self.store.close()
            raise

    def _open_store(self) -> LocalStore:
        return LocalStore(
            Path(self._config.store.path),
            write=True,
            max_age=units.parse_duration(self._config.store.max_age),
            max_size=units.parse_size(self._config.store.max_size),
        )

    def _make_server(self, beside: Callable[[], list[str]]) -> Server:
        listen = parse_listen(self._config.listen)
        page = Page(
            self._path,
            Path(self._config.store.path),
            listen[0],
            lambda: [*self.problems(), *beside()],
        )
        return Server(
            listen,
            self._registry(),
            self.problems,
            web_config=self._config.web_config_file,
            pages=page if self._config.page else None,
        )

    def _make_metrics(self) -> AggregatorMetrics:
        metrics = AggregatorMetrics(self.store.counters(), [rule.name for rule in self._plan.rules])
        now = clock.time_ns()
        for finding in latest_findings(self.store, now - 30 * 86_400 * units.SECOND, now):
            metrics.raise_to(
                "heptad_finding_last_timestamp_seconds", finding.last / units.SECOND, finding.rule
            )
        return metrics

    def _registry(self) -> CollectorRegistry:
        registry = CollectorRegistry(auto_describe=False)
        for collector in (self.metrics, *self._also):
            registry.register(collector)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        return registry

    def problems(self) -> list[str]:
        """What is wrong now, a sentence each: for /healthz."""
        conditions = {"events": self._events_condition, "store": self._store_condition}
        conditions |= self._conditions
        return [f"{name}: {c.problem}" for name, c in conditions.items() if c.problem]

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop`` is set; once where that was asked for, and then raise StoreError."""
        if self.server is not None:
            self.server.start()
        try:
            if self._once:
                self._run_once(stop)
            else:
                self._run(stop)
        finally:
            self.close()

    def close(self) -> None:
        """Close the port and the stores; ``run`` does it at its end."""
        if self.server is not None:
            self.server.close()
        if self._events is not None:
            self._events.close()
        self.store.close()

    def _run_once(self, stop: threading.Event) -> None:
        try:
            job = self._open_job()
            if self._range is None:
                while job.look(stop, everything=True) and not stop.is_set():
                    pass
            else:
                since, until = self._range
                job.redo(
                    -(2**63) if since is None else since, 2**63 if until is None else until, stop
                )
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _run(self, stop: threading.Event) -> None:
        poll = units.parse_duration(self._config.poll)
        pause = _FIRST_PAUSE
        while not stop.is_set():
            begun = clock.monotonic()
            try:
                more = self._look(stop)
            except _STORE_ERRORS as error:
                self._recover(error)
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            took = clock.monotonic() - begun
            if not more:
                stop.wait(max(poll, _REST * took))

    def _look(self, stop: threading.Event) -> bool:
        """One look; False where there is nothing to look at, or nothing left."""
        try:
            job = self._open_job()
        except StoreError as error:
            self._tell_events(str(error))
            return False
        more = job.look(stop)
        self._tell_events(None)
        self._tell_store(None)
        if clock.monotonic() >= self._prune_due:
            busy = self.store.prune() > 0
            self._prune_due = clock.monotonic() + (0 if busy else _PRUNE_EVERY)
            self.metrics.set("heptad_aggregator_store_size_bytes", self.store.size())
        return more

    def _open_job(self) -> Job:
        """The job on the events as they are now: their file may have been begun anew."""
        identity = _identify(self._path)
        if self._job is not None and self._events is not None and identity == self._identity:
            return self._job
        if self._events is not None:
            self._events.close()
            self._events = None
        self._job = None
        self._events = LocalStore(self._path)
        self._identity = identity
        self._job = Job(
            self._events,
            self.store,
            self._plan,
            self.metrics,
            name=identity,
            conditions=self._conditions,
        )
        return self._job

    def _recover(self, error: Exception) -> None:
        """Begin again with what is committed; a corrupt store of one's own is set aside."""
        self._job = None
        if self._events is None or str(error).startswith(f"{self._path}:"):
            self._tell_events(str(error))
            return
        if isinstance(error, StoreError):
            self._tell_store(str(error))
        else:
            self._tell_events(f"{self._path}: {error}")
        try:
            if isinstance(error, StoreCorrupt):
                self.store.begin_anew()
            elif not isinstance(error, StoreError):
                # one of the two cannot be read: opening checks, and sets a corrupt one aside
                self.store.close()
                self.store = self._open_store()
            if self.store.set_aside is not None and not self.store.counters():
                self.store.append([], None, self.metrics.totals())
        except _STORE_ERRORS as worse:
            self._tell_store(str(worse))
        self._tell_set_aside()

    def _tell_set_aside(self) -> None:
        aside = 1 if self.store.set_aside else 0
        self.metrics.set("heptad_aggregator_store_set_aside", aside)

    def _tell_events(self, problem: str | None) -> None:
        self._events_condition.set(problem)
        self.metrics.set("heptad_aggregator_events_failing", 1 if problem else 0)

    def _tell_store(self, problem: str | None) -> None:
        self._store_condition.set(problem)
        self.metrics.set("heptad_aggregator_store_failing", 1 if problem else 0)


def _identify(path: Path) -> str:
    """What tells this file from another one that takes its place; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"

"""An aggregator with two stores, and a clock that the test sets."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.registry import CollectorRegistry

from heptad.aggregator.cycle import Cycle
from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.ignore import Ignored
from heptad.aggregator.detection.latest import latest_findings, latest_sessions
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.plan import Plan
from heptad.aggregator.reports import REPORTS, Report
from heptad.aggregator.reports.windows import last_revisions
from heptad.core.config.findings import BruteForceConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.sqlite import LocalStore

SECOND = 10**9
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MIDNIGHT = 19_700 * DAY
"""A midnight, UTC."""

Windows = dict[tuple[str, int], dict[str, dict[str, object]]]


def login(time: int, address: str | None = "192.0.2.1", **fields: object) -> Event:
    """Return a failed login."""
    known: dict[str, object] = {
        "host": "web1",
        "source": "auth",
        "program": "sshd",
        "action": "login",
        "outcome": "failure",
        "method": "password",
        "user": "root",
        "source_ip": address,
    }
    return Event(time=time, **{**known, **fields})  # type: ignore[arg-type]


def attack(begin: int, number: int = 4, address: str = "192.0.2.1") -> list[Event]:
    """Return failed logins, a second apart."""
    return [login(begin + n * SECOND, address) for n in range(number)]


class World:
    """The stores in ``folder``; ``restart`` replaces the aggregator's cycle by a new one."""

    def __init__(
        self,
        folder: Path,
        *,
        attempts: int = 4,
        span: str = "3m",
        rules: list[DetectionRule] | None = None,
        reports: Sequence[Report] = REPORTS,
        ignored: Ignored | None = None,
    ) -> None:
        self.plan = Plan(rules or [BruteForce(BruteForceConfig(attempts, Duration(span)))], reports)
        self.plan.ignored = ignored or self.plan.ignored
        self.now = MIDNIGHT
        self.name = "events"
        self.path = folder / "events.db"
        self.events = LocalStore(self.path, write=True)
        self._reports_path = folder / "reports.db"
        self._stop = threading.Event()
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.events.close()
        self.read.close()
        self.reports.close()

    def start(self) -> None:
        """Start a cycle that only knows what is committed."""
        self.read = LocalStore(self.path)
        self.reports = LocalStore(self._reports_path, write=True)
        names = [rule.name for rule in self.plan.rules]
        self.metrics = AggregatorMetrics(names)
        self.metrics.recall(self.reports.counters())
        self.cycle = Cycle(
            self.read, self.reports, self.plan, self.metrics, name=self.name, now=lambda: self.now
        )

    def restart(self) -> None:
        """Lose everything that is not committed."""
        self.read.close()
        self.reports.close()
        self.start()

    def append(self, events: Iterable[Event]) -> None:
        """Store events, as if they arrived now."""
        self.events.append([row_of_event(event) for event in events])

    def run_cycle(self, *, everything: bool = False) -> None:
        """Run until no work is left."""
        while self.cycle.run_cycle(self._stop, everything=everything):
            pass

    def finish(self) -> None:
        """Process everything, two days after the newest event."""
        arrived = self.events.arrived("events", "", 2**40)
        self.now = max((piece.newest for piece in arrived), default=self.now) + 2 * DAY
        self.run_cycle(everything=True)

    def backfill(self, since: int, until: int) -> None:
        """Compute a range again."""
        self.cycle.backfill(since, until, self._stop)

    def findings(self) -> list[Finding]:
        """Return the findings that a reader sees."""
        return latest_findings(self.reports, 0, 2**62)

    def sessions(self) -> list[Finding]:
        """Return the sessions that a reader sees, the latest first."""
        return latest_sessions(self.reports, 0, 2**62)

    def windows(self, report: str = "report_attempts") -> Windows:
        """Return (size, start) → series → fields, of the last revisions."""
        found = last_revisions(self.reports, report, 0, 2**62)
        return {(w.size, w.start): dict(written.rows) for w, written in found.items()}  # type: ignore[arg-type]

    def revision(self, size: str, start: int) -> int:
        """Return the number of the last revision of a window of the attempts, or -1."""
        for window, written in last_revisions(self.reports, "report_attempts", 0, 2**62).items():
            if window == (start, size):
                return written.number
        return -1

    def counter(self, name: str) -> float:
        """Return the sum of a counter over all its labels."""
        return sum(value for (known, _), value in self.reports.counters().items() if known == name)

    def rows(self, measurement: str) -> list[tuple[int, str]]:
        """Return all rows of a measurement that were ever written: time and text."""
        return [(p.time, f"{p.tags}{p.fields}") for p in self.reports.read(measurement, 0, 2**62)]


def summaries(world: World) -> list[tuple[str, int, int]]:
    """Return subject, first event and number of events of the findings that a reader sees."""
    return [(f.subject, f.first, f.count) for f in world.findings()]


def gauges(world: World, name: str) -> dict[str, float]:
    """Return a family as it is exposed: the values of its labels → its value."""
    registry = CollectorRegistry()
    registry.register(world.metrics)
    return {
        ",".join(sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }

"""Every metric the aggregator exposes, named and explained once.

Counters live in the store of findings and reports and move only with what is committed there.
"""

import time as clock
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from aggregator.finding import SEVERITIES
from heptad import __version__
from heptad.metrics import StoredMetrics
from heptad.store import Counters
from heptad.store.local import counter_key

if TYPE_CHECKING:
    from prometheus_client.core import Metric

COUNTERS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "heptad_findings_total": (
        ("rule", "severity"),
        "Findings by the severities they reached; one that becomes more severe counts again",
    ),
    "heptad_aggregator_windows_total": (
        ("report", "window"),
        "Windows of a report that were computed and had something to report",
    ),
    "heptad_aggregator_revisions_total": (
        ("part",),
        "Findings and windows that were written again because events changed them",
    ),
    "heptad_aggregator_late_events_total": (
        (),
        "Events that came later than the horizon: no report was changed for them",
    ),
    "heptad_aggregator_future_events_total": (
        (),
        "Events stamped more than a day ahead of the clock: not looked at before their time",
    ),
    "heptad_aggregator_cells_dropped_total": (
        ("rule",),
        "Minutes of an address forgotten because there were too many: a finding may be missing",
    ),
}
GAUGES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "heptad_finding_last_timestamp_seconds": (
        ("rule",),
        "Time of the last event of the newest finding; 0 if there is none",
    ),
    "heptad_aggregator_progress_timestamp_seconds": (
        (),
        "The newest event time that was worked off; 0 if there is none",
    ),
    "heptad_aggregator_behind_seconds": (
        (),
        "How long ago all events that had arrived were worked off",
    ),
    "heptad_aggregator_part_duration_seconds": (
        ("part",),
        "How long a finding or a report took when it last had work",
    ),
    "heptad_aggregator_part_failing": (("part",), "1 while a finding or a report fails"),
    "heptad_aggregator_events_failing": ((), "1 while the store of events cannot be read"),
    "heptad_aggregator_store_failing": (
        (),
        "1 while the store of findings and reports cannot be written",
    ),
    "heptad_aggregator_store_size_bytes": (
        (),
        "Bytes in use in the store of findings and reports",
    ),
    "heptad_aggregator_store_set_aside": ((), "1 if a corrupt store was set aside since the start"),
    "heptad_aggregator_cells": (("rule",), "Minutes of addresses that are held in memory"),
    "heptad_build_info": (("version",), "1, with the version as label"),
}


class AggregatorMetrics(StoredMetrics):
    """The aggregator's counters and gauges; ``rules`` are shown at zero from the start."""

    def __init__(self, stored: Counters, rules: Iterable[str]) -> None:
        names = list(rules)
        known = [
            counter_key("heptad_findings_total", rule=rule, severity=severity)
            for rule in names
            for severity in SEVERITIES
        ]
        known += [
            counter_key(f"heptad_aggregator_{name}_events_total") for name in ("late", "future")
        ]
        super().__init__(COUNTERS, GAUGES, stored, known)
        self.set("heptad_build_info", 1, __version__)
        for name in ("progress_timestamp_seconds", "events_failing", "store_failing"):
            self.set(f"heptad_aggregator_{name}", 0)
        for rule in names:
            self.set("heptad_finding_last_timestamp_seconds", 0, rule)
        self._caught_up = clock.monotonic()

    def raise_to(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge that only grows."""
        with self._lock:
            family = self._gauges[name]
            family[labels] = max(value, family.get(labels, value))

    def catch_up(self) -> None:
        """Everything that has arrived is worked off now."""
        self._caught_up = clock.monotonic()

    def collect(self) -> "Iterator[Metric]":
        """The families, as they are now."""
        self.set("heptad_aggregator_behind_seconds", clock.monotonic() - self._caught_up)
        yield from super().collect()

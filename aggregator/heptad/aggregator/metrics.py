"""All metrics of the aggregator, with their HELP texts.

Counters are stored with findings and reports, and increase only when those are committed.
"""

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from heptad.aggregator.detection.finding import ENDS, PROGRAMS, SESSION, SEVERITIES, Revision
from heptad.aggregator.detection.open_findings import REPORTED_SEVERITIES, OpenFindings
from heptad.core import __version__
from heptad.core.store.api import Counters
from heptad.core.store.field_conflict import LABELS as LABELS_OF_HELD
from heptad.core.store.sqlite import counter_key
from heptad.core.telemetry.metrics import StoredMetrics
from heptad.core.units import SECOND
from heptad.core.validation import Intake

if TYPE_CHECKING:
    from prometheus_client.core import Metric

COUNTERS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "heptad_findings_total": (
        ("rule", "severity"),
        "Findings by severity; a finding that becomes more severe counts again",
    ),
    "heptad_sessions_total": (
        ("program", "step"),
        "Sessions of users by step: started, or how they ended; see docs/findings.md, Sessions",
    ),
    "heptad_aggregator_windows_total": (
        ("report", "window"),
        "Report windows that were computed and not empty",
    ),
    "heptad_aggregator_revisions_total": (
        ("part",),
        "Findings and report windows that were written again because late events changed them",
    ),
    "heptad_aggregator_late_events_total": (
        (),
        "Events that arrived later than the horizon and changed no report",
    ),
    "heptad_aggregator_future_events_total": (
        (),
        (
            "Events with a time more than a day ahead of the clock, which are not processed "
            "before that time"
        ),
    ),
    "heptad_aggregator_cells_dropped_total": (
        ("rule",),
        (
            "Minutes of an address dropped from memory because there were too many; a finding "
            "may be missing"
        ),
    ),
}
OPEN: Final = "heptad_findings_open"
LAST: Final = "heptad_findings_last_timestamp_seconds"
OPEN_BY_HOST: Final = "heptad_host_findings_open"
LAST_BY_HOST: Final = "heptad_host_findings_last_timestamp_seconds"
HELD: Final = "heptad_aggregator_held_events"
GAUGES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    LAST: (
        ("rule", "severity"),
        "Time of the last event of the newest finding; 0 if there is none",
    ),
    OPEN: (
        ("rule", "severity", "within"),
        "Current findings whose last event is younger than `within`",
    ),
    OPEN_BY_HOST: (
        ("host", "severity", "within"),
        (
            "Current medium and high findings by host; `other` counts the hosts without a "
            "label of their own"
        ),
    ),
    LAST_BY_HOST: (
        ("host", "rule", "severity"),
        "Time of the last event of the newest of these findings; missing if none is open",
    ),
    "heptad_aggregator_progress_timestamp_seconds": (
        (),
        "Time of the newest processed event; 0 if there is none",
    ),
    "heptad_aggregator_behind_seconds": (
        (),
        "Seconds since all events that had arrived were last processed",
    ),
    "heptad_aggregator_part_duration_seconds": (
        ("part",),
        "Duration of the last run of a finding rule or report that had work",
    ),
    "heptad_aggregator_part_failing": (("part",), "1 while a finding rule or report fails"),
    "heptad_aggregator_events_failing": ((), "1 while the store of events cannot be read"),
    "heptad_aggregator_store_failing": (
        (),
        "1 while the store of findings and reports cannot be written",
    ),
    "heptad_aggregator_store_size_bytes": (
        (),
        "Bytes in use in the store of findings and reports",
    ),
    "heptad_aggregator_store_set_aside": (
        (),
        ("1 if a corrupt store was renamed and replaced since the start"),
    ),
    "heptad_aggregator_cells": (("rule",), "Minutes of addresses in memory"),
    "heptad_aggregator_hosts_live": (
        (),
        "InfluxDB: exporters with a heartbeat in the last three minutes",
    ),
    "heptad_aggregator_hosts_silent": (
        (),
        "InfluxDB: exporters with a heartbeat in the last day, but none in the last three minutes",
    ),
    "heptad_aggregator_hosts_behind": (
        (),
        "InfluxDB: live exporters that have not delivered everything yet",
    ),
    "heptad_aggregator_hosts_skewed": (
        (),
        (
            "InfluxDB: live hosts more than a minute off the server's clock; reports do not "
            "wait for them"
        ),
    ),
    "heptad_aggregator_hosts_deaf": (
        (),
        "InfluxDB: live hosts with a source that is deaf or cannot be read",
    ),
    "heptad_aggregator_hosts_clock_offset_seconds": (
        (),
        "InfluxDB: the largest absolute offset of a live host's clock from the server's",
    ),
    "heptad_aggregator_hosts_shared_names": (
        (),
        "InfluxDB: host names that two machines share, so that their events mix",
    ),
    "heptad_aggregator_hosts_shared_machine_ids": (
        (),
        "InfluxDB: machine ids that two live hosts share, because one was cloned",
    ),
    HELD: (
        LABELS_OF_HELD,
        "InfluxDB: points that exporters hold because a field has another type in their shard",
    ),
    "heptad_build_info": (("version",), "Always 1; the label is the version"),
}
FLEET: Final = {
    "live": "heptad_aggregator_hosts_live",
    "silent": "heptad_aggregator_hosts_silent",
    "behind": "heptad_aggregator_hosts_behind",
    "skewed": "heptad_aggregator_hosts_skewed",
    "deaf": "heptad_aggregator_hosts_deaf",
    "largest_offset": "heptad_aggregator_hosts_clock_offset_seconds",
    "shared_names": "heptad_aggregator_hosts_shared_names",
    "shared_ids": "heptad_aggregator_hosts_shared_machine_ids",
}
"""Field of the fleet's summary (core/heptad/core/influxdb/heartbeats.py) → gauge."""


_OLD: Final = {counter_key("heptad_findings_total", rule=SESSION, severity="info")}


class AggregatorMetrics(StoredMetrics):
    """The aggregator's counters and gauges.

    Counters are not exposed before ``recall``: a counter that starts at zero while the store cannot
    be read would appear to jump once it can.
    """

    def __init__(self, rules: Iterable[str], intake: Intake | None = None) -> None:
        self._rules = list(rules)
        self._recalled = False
        super().__init__(COUNTERS, GAUGES, {}, intake=intake)
        self.set("heptad_build_info", 1, __version__)
        for name in ("progress_timestamp_seconds", "events_failing", "store_failing"):
            self.set(f"heptad_aggregator_{name}", 0)
        for rule in self._rules:
            if rule == SESSION:
                continue
            for severity in REPORTED_SEVERITIES:
                self.set(LAST, 0, rule, severity)
        self.open = OpenFindings(rule for rule in self._rules if rule != SESSION)
        self._caught_up = time.monotonic()
        self.judged_until: int | None = None

    def recall(self, stored: Counters) -> None:
        """Restore the counters, and expose those of every rule at zero."""
        known = [
            counter_key("heptad_findings_total", rule=rule, severity=severity)
            for rule in self._rules
            for severity in SEVERITIES
            if rule != SESSION
        ]
        known += [
            counter_key("heptad_sessions_total", program=program, step=step)
            for program in PROGRAMS
            for step in ("begun", *(end for end in ENDS if end != "open"))
        ]
        known += [
            counter_key(f"heptad_aggregator_{name}_events_total") for name in ("late", "future")
        ]
        dropped = "heptad_aggregator_cells_dropped_total"
        known += [counter_key(dropped, rule=rule) for rule in self._rules]
        self._recalled = True
        self.add(dict.fromkeys(known, 0.0))
        # older versions counted sessions as findings
        self.add({key: value for key, value in stored.items() if key not in _OLD})

    def note(self, revision: Revision) -> None:
        """Update the gauges with a revision of a finding."""
        finding = revision.finding
        self.open.note(revision)
        if revision.is_current and finding.severity in REPORTED_SEVERITIES:
            labels, last = (finding.rule, finding.severity), finding.last / SECOND
            with self._lock:
                family = self._gauges[LAST]
                family[labels] = max(last, family.get(labels, last))

    def _count_open(self) -> None:
        now = time.time()
        found = self.open.current(now)
        self.show(OPEN, self.open.count(now, found))
        counts, newest = self.open.count_by_host(now, found)
        self.show(OPEN_BY_HOST, counts)
        self.show(LAST_BY_HOST, newest)

    def catch_up(self, until: int) -> None:
        """Record that everything that had arrived at ``until`` (ns) is processed."""
        self._caught_up = time.monotonic()
        self.judged_until = until

    def behind(self) -> float:
        """Return how long ago everything that had arrived was last processed, in seconds."""
        return time.monotonic() - self._caught_up

    def collect(self) -> "Iterator[Metric]":
        self.set("heptad_aggregator_behind_seconds", self.behind())
        if self._recalled:
            self._count_open()
        yield from super().collect()

"""All metrics of the exporter about events and itself, with their HELP texts.

Counters are stored in the local store. They are read at the start and increase only when a batch is
committed, so they survive a restart. Host metrics are in ``collectors``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Final

from heptad.core import __version__
from heptad.core.event import LABELS, Event
from heptad.core.store.event_row import series_of_event
from heptad.core.store.field_conflict import LABELS as LABELS_OF_HELD
from heptad.core.store.line_protocol import decode_series
from heptad.core.store.point import Row
from heptad.core.store.sqlite import counter_key
from heptad.core.telemetry.metrics import CounterDict, StoredMetrics
from heptad.core.validation import Intake
from heptad.exporter.sources import DROPPED

COUNTERS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "auth_events_total": (LABELS, "Authentication events by program, action, outcome and method"),
    "heptad_lines_total": (("source", "result"), "Log lines read, by result of parsing"),
    "heptad_lines_not_understood_total": (
        ("program",),
        "Lines of a known program that no rule understood; its log format may have changed",
    ),
    "heptad_lines_untrusted_total": (
        ("program",),
        "Journal lines under the name of a program that were rejected for their provenance",
    ),
    "heptad_read_bytes_total": (("source",), "Bytes of log read"),
    "heptad_history_events_total": (
        ("source",),
        "Events older than the first start, which are stored but not counted in auth_events_total",
    ),
    "heptad_gaps_total": (("source", "reason"), "Parts of a log that could not be read"),
    "heptad_connections_forgotten_total": (
        ("source",),
        (
            "Open connections dropped from memory because there were too many; their ends may "
            "not be counted"
        ),
    ),
    "heptad_stamps_out_of_range_total": (
        ("source",),
        (
            "Lines with a timestamp before 1970 or more than a day ahead, stored at the time "
            "of their arrival"
        ),
    ),
    "heptad_repeats_rejected_total": (
        ("source",),
        (
            "Repeats in folded lines that are not counted, because they repeat a success or "
            "exceed 100 per line"
        ),
    ),
    "heptad_delivery_events_total": (
        ("result",),
        "Events and unparsed lines that left the outbox: delivered, rejected or expired",
    ),
}
HELD: Final = "heptad_delivery_held_events"
GAUGES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "heptad_source_up": (("source",), "1 if the source can be read"),
    "heptad_source_watched": (
        ("source",),
        (
            "0 if the kernel does not report changes of the source's files, so that they are "
            "polled every 2 s"
        ),
    ),
    "heptad_source_deaf": (
        ("source", "reason"),
        "1 if the source is readable but Heptad learns nothing from it (deaf), by reason",
    ),
    "heptad_source_behind_bytes": (("source",), "Bytes in the source that are not read yet"),
    "heptad_source_last_event_timestamp_seconds": (
        ("source",),
        "Unix time at which the last event of the source was read; 0 if there is none",
    ),
    "heptad_store_size_bytes": ((), "Bytes in use in the local store"),
    "heptad_store_max_size_bytes": (
        (),
        ("Maximum size of the local store; above it, the events that arrived first are deleted"),
    ),
    "heptad_store_failing": ((), "1 while the local store cannot be written and reading is paused"),
    "heptad_store_set_aside": ((), "1 if a corrupt store was renamed and replaced since the start"),
    "heptad_store_full": (
        (),
        "1 while the store is full of undelivered events and reading is paused",
    ),
    "heptad_deliveries_total": (
        ("result",),
        "Batches since the start: delivered, failed (retried soon), held (requires a manual fix)",
    ),
    HELD: (
        LABELS_OF_HELD,
        "Points that InfluxDB rejects because a field has another type in their shard",
    ),
    "heptad_delivery_up": (
        (),
        "1 if the last delivery or heartbeat succeeded and the last checked heartbeat was stored",
    ),
    "heptad_delivery_behind_events": ((), "Points in the store that are not delivered yet"),
    "heptad_delivery_last_success_timestamp_seconds": (
        (),
        (
            "Unix time of the last successful delivery or heartbeat; 0 if there was none since "
            "the start"
        ),
    ),
    "heptad_delivery_breaker_state": (("state",), "1 for the current state of the circuit breaker"),
    "heptad_delivery_breaker_openings_total": ((), "Number of times the circuit breaker opened"),
    "heptad_delivery_breaker_trials_total": (
        (),
        ("Trial deliveries while the circuit breaker was open"),
    ),
    "heptad_delivery_clock_offset_seconds": (
        (),
        (
            "Offset of this host's clock from the server's, accurate to about a second; "
            "positive is ahead"
        ),
    ),
    "heptad_clock_steps_back_total": ((), "Number of times the clock stepped back since the start"),
    "heptad_build_info": (("version",), "Always 1; the label is the version"),
    "heptad_host_info": (
        ("host",),
        (
            "Always 1; the label is the host name of events and findings (`host` in the "
            "configuration)"
        ),
    ),
}


class ExporterMetrics(StoredMetrics):
    """The exporter's counters and gauges, for a prometheus_client registry.

    All ``label_sets`` (program, action, outcome, method) are exposed at zero from the start.
    """

    def __init__(
        self,
        stored: Mapping[tuple[str, str], float],
        label_sets: Iterable[tuple[str, str, str, str]],
        intake: Intake | None = None,
    ) -> None:
        known = [
            counter_key("auth_events_total", **dict(zip(LABELS, labels, strict=True)))
            for labels in label_sets
        ]
        super().__init__(COUNTERS, GAUGES, stored, known, intake)
        self.set("heptad_build_info", 1, __version__)


class CounterDelta:
    """Sums up the counters of one batch of ``source`` before it is committed.

    Events before ``history_before`` (ns) are history: stored, but not counted as new.
    """

    def __init__(self, source: str, history_before: int) -> None:
        self.source = source
        self._history_before = history_before
        self._history = 0
        self._series_counts: Counter[str] = Counter()
        self._lines: dict[str, int] = {}
        self._others: CounterDict = {}

    def events(self, events: Iterable[Event], rows: Sequence[Row]) -> Counter[str]:
        """Count events, given their ``rows``; return the number of rows by series.

        A row counts once; a ``count`` above 1 is added.
        """
        for event in [event for event in events if event.count != 1]:
            if event.time >= self._history_before:
                self._series_counts[series_of_event(event)] += event.count - 1
        series_counts = Counter(map(attrgetter("series"), rows))
        if min(map(attrgetter("time"), rows), default=0) >= self._history_before:
            self._series_counts.update(series_counts)
            return series_counts
        fresh = [row for row in rows if row.time >= self._history_before]
        self._history += len(rows) - len(fresh)
        self._series_counts.update(map(attrgetter("series"), fresh))
        return series_counts

    def line(self, result: str, amount: int = 1) -> None:
        """Count lines by result."""
        self._lines[result] = self._lines.get(result, 0) + amount

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to another counter, unless ``amount`` is 0."""
        if amount:
            key = counter_key(name, **labels)
            self._others[key] = self._others.get(key, 0) + amount

    def counters(self) -> CounterDict:
        """Return the increments of the batch, for the store."""
        for result, amount in self._lines.items():
            self.add("heptad_lines_total", amount, source=self.source, result=str(result))
        self.add("heptad_history_events_total", self._history, source=self.source)
        for series, count in self._series_counts.items():
            key = _counter_of(series)
            self._others[key] = self._others.get(key, 0) + count
            if _is_dropped(series):
                self.add("heptad_gaps_total", count, source=self.source, reason=DROPPED)
        return self._others


@lru_cache(maxsize=8192)
def _is_dropped(series: str) -> bool:
    """Return whether a series has the messages in which a daemon reports dropped messages."""
    return decode_series(series)[1].get("reason") == DROPPED


@lru_cache(maxsize=8192)
def _counter_of(series: str) -> tuple[str, str]:
    """Return the counter of the events of a series."""
    tags = decode_series(series)[1]
    return counter_key("auth_events_total", **{label: tags.get(label, "") for label in LABELS})

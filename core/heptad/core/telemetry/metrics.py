"""Metrics of a part of Heptad: counters that live in a store, and gauges that do not.

Counters are read from the store at the start, move only when a batch is committed, and so
survive a restart. What there is, is declared: a name, its labels and what it means.
"""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from heptad.core.store.api import Counters
from heptad.core.validation import Intake

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
else:  # an HTTP server comes with it, which many a command does not need: 60 ms of its start
    Collector = object

Families = Mapping[str, tuple[tuple[str, ...], str]]
"""Name of a family → its labels, and its help."""

CounterDict = dict[tuple[str, str], float]


def add_counters(total: CounterDict, more: Counters) -> None:
    """Add to ``total`` what ``more`` adds."""
    for key, amount in more.items():
        total[key] = total.get(key, 0) + amount


RELOADS: Final[Families] = {
    "heptad_config_last_reload_successful": (
        (),
        (
            "1 if the last reload of the configuration succeeded, 0 if the previous one is still "
            "active"
        ),
    ),
    "heptad_config_last_reload_success_timestamp_seconds": (
        (),
        "Unix time of the last successful configuration reload",
    ),
}
"""Of both parts, where they run on."""

_REJECTED: Final = "heptad_rejected_values_total"
REJECTIONS: Final[Families] = {
    _REJECTED: (
        ("kind", "reason"),
        "Stored values that are invalid and were skipped since the start",
    ),
}
"""Also of both."""
_TOTAL: Final = "_total"


class StoredMetrics(Collector):
    """The ``counters`` and ``gauges`` of one part, for a prometheus_client registry.

    ``stored`` is where the counters stand; ``known`` are counters to show at zero from the start;
    ``intake`` knows what was rejected.
    A gauge whose name ends in ``_total`` is exposed as a counter: one that begins at the start.
    """

    def __init__(
        self,
        counters: Families,
        gauges: Families,
        stored: Counters,
        known: Iterable[tuple[str, str]] = (),
        intake: Intake | None = None,
    ) -> None:
        self._intake = intake
        if intake is not None:
            gauges = {**gauges, **REJECTIONS}
        self._lock = threading.Lock()
        self._counter_families = counters
        self._gauge_families = gauges
        self._counters: dict[str, dict[str, float]] = {name: {} for name in counters}
        self._gauges: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in gauges}
        for name, labels in known:
            self._counters[name][labels] = 0
        self.add(stored)

    def add(self, amounts: Counters) -> None:
        """Move counters by what was committed."""
        with self._lock:
            for (name, labels), amount in amounts.items():
                family = self._counters.get(name)
                if family is not None:
                    family[labels] = family.get(labels, 0) + amount

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._gauges[name][labels] = value

    def show(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set all that there is of a gauge, by its labels."""
        with self._lock:
            self._gauges[name] = dict(values)

    def raise_by(self, name: str, amount: float, *labels: str) -> None:
        """Move a gauge that is exposed as a counter."""
        with self._lock:
            family = self._gauges[name]
            family[labels] = family.get(labels, 0) + amount

    def totals(self) -> CounterDict:
        """Every counter that is not zero, as the store keeps them."""
        with self._lock:
            return {
                (name, labels): value
                for name, family in self._counters.items()
                for labels, value in family.items()
                if value
            }

    def collect(self) -> "Iterator[Metric]":
        """The families, as they are now."""
        from prometheus_client.core import (  # noqa: PLC0415 - see above
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        for sort, number in self._intake.counts().items() if self._intake else ():
            self.set(_REJECTED, number, *sort)
        with self._lock:
            counters = {name: dict(family) for name, family in self._counters.items()}
            gauges = {name: dict(family) for name, family in self._gauges.items()}
        for name, (labels, text) in self._counter_families.items():
            counter = CounterMetricFamily(name.removesuffix(_TOTAL), text, labels=labels)
            for key, value in counters[name].items():
                known = json.loads(key)
                counter.add_metric([known.get(label, "") for label in labels], value)
            yield counter
        for name, (labels, text) in self._gauge_families.items():
            kind = CounterMetricFamily if name.endswith(_TOTAL) else GaugeMetricFamily
            gauge = kind(name.removesuffix(_TOTAL), text, labels=labels)
            for values, value in gauges[name].items():
                gauge.add_metric(list(values), value)
            yield gauge

    def describe(self) -> "Iterable[Metric]":
        """Nothing: which label sets there are is known only while running."""
        return []

"""Metrics of the exporter or aggregator: counters, which a store keeps, and gauges.

Counters are loaded from the store at the start and change only when a batch is committed, so they
survive a restart. All metrics are declared with name, labels and help.
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
else:  # the import includes an HTTP server and takes 60 ms, which many commands do not need
    Collector = object

Families = Mapping[str, tuple[tuple[str, ...], str]]
"""Name of a family → its labels, and its help."""

CounterDict = dict[tuple[str, str], float]


def add_counters(total: CounterDict, more: Counters) -> None:
    """Add the amounts of ``more`` to ``total``."""
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
"""Metrics of the exporter and the aggregator when they run as services."""

_REJECTED: Final = "heptad_rejected_values_total"
REJECTIONS: Final[Families] = {
    _REJECTED: (
        ("kind", "reason"),
        "Stored values that are invalid and were skipped since the start",
    ),
}
"""Metrics of both."""
_TOTAL: Final = "_total"


class StoredMetrics(Collector):
    """The ``counters`` and ``gauges`` of one part, for a prometheus_client registry.

    ``stored`` are the values at the start; ``known`` are counters that are exposed at zero from the
    start; ``intake`` counts the rejected values. A gauge whose name ends in ``_total`` is exposed
    as a counter that starts at zero.
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
        """Increase counters by committed amounts."""
        with self._lock:
            for (name, labels), amount in amounts.items():
                family = self._counters.get(name)
                if family is not None:
                    family[labels] = family.get(labels, 0) + amount

    def set(self, name: str, value: float, *labels: str) -> None:
        with self._lock:
            self._gauges[name][labels] = value

    def show(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Replace all values of a gauge, by labels."""
        with self._lock:
            self._gauges[name] = dict(values)

    def raise_by(self, name: str, amount: float, *labels: str) -> None:
        """Increase a gauge that is exposed as a counter."""
        with self._lock:
            family = self._gauges[name]
            family[labels] = family.get(labels, 0) + amount

    def totals(self) -> CounterDict:
        """Return all counters that are not zero, as the store keeps them."""
        with self._lock:
            return {
                (name, labels): value
                for name, family in self._counters.items()
                for labels, value in family.items()
                if value
            }

    def collect(self) -> "Iterator[Metric]":
        """Return the current families."""
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
        """Return nothing: the label sets are known only at run time."""
        return []

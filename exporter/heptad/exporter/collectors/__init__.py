"""Host metrics with node_exporter's names, labels, units and meaning; one module per subject.

Tests compare them with a real node_exporter. Metrics that cannot be provided with the same meaning,
or belong to no subject, are left out; `UNSUPPORTED` has the reasons.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from heptad.exporter.collectors import (
    clock,
    cpu,
    disk,
    filefd,
    filesystem,
    load,
    memory,
    network,
    pressure,
    stat,
    uname,
    users,
    vmstat,
)
from heptad.exporter.collectors.procfs import Family, HostRoots
from heptad.exporter.collectors.runner import Runner
from heptad.exporter.collectors.unsupported import UNSUPPORTED

__all__ = [
    "COLLECTORS",
    "FAMILIES",
    "UNSUPPORTED",
    "CollectorSpec",
    "Family",
    "HostCollector",
    "HostRoots",
]

TIMEOUT = 4.0  # seconds; Prometheus allows ten for a scrape

log = logging.getLogger("heptad.collectors")


class CollectorSpec(NamedTuple):
    """A collector: its name, its metric families, and the function that reads the host.

    `collect` may raise any exception and may hang: only the metrics of this subject are then
    missing.
    """

    name: str
    families: tuple[Family, ...]
    collect: Callable[[HostRoots], Iterator[Metric]]


COLLECTORS: tuple[CollectorSpec, ...] = (
    CollectorSpec("cpu", cpu.FAMILIES, cpu.collect),
    CollectorSpec("disk", disk.FAMILIES, disk.collect),
    CollectorSpec("filefd", filefd.FAMILIES, filefd.collect),
    CollectorSpec("filesystem", filesystem.FAMILIES, filesystem.collect),
    CollectorSpec("load", load.FAMILIES, load.collect),
    CollectorSpec("memory", memory.FAMILIES, memory.collect),
    CollectorSpec("network", network.FAMILIES, network.collect),
    CollectorSpec("pressure", pressure.FAMILIES, pressure.collect),
    CollectorSpec("stat", stat.FAMILIES, stat.collect),
    CollectorSpec("clock", clock.FAMILIES, clock.collect),
    CollectorSpec("uname", uname.FAMILIES, uname.collect),
    CollectorSpec("users", users.FAMILIES, users.collect),
    CollectorSpec("vmstat", vmstat.FAMILIES, vmstat.collect),
)

_DURATION = Family(
    "heptad_collector_duration_seconds",
    "gauge",
    "Duration of this host collector in this scrape; grows while it hangs.",
    ("collector",),
)
_SUCCESS = Family(
    "heptad_collector_success",
    "gauge",
    "1 if this host collector returned its metrics in this scrape, 0 if it failed or hangs.",
    ("collector",),
)
# all host metrics on /metrics, for documentation
FAMILIES: tuple[Family, ...] = (
    *(family for spec in COLLECTORS for family in spec.families),
    _DURATION,
    _SUCCESS,
)


class HostCollector(Collector):
    """A prometheus_client collector for all subjects.

    If a subject fails or hangs, its metrics are missing, and the start and end of the problem are
    logged. Concurrent scrapes run one after the other.
    """

    def __init__(
        self,
        host: HostRoots | None = None,
        collectors: tuple[CollectorSpec, ...] = COLLECTORS,
        timeout: float = TIMEOUT,
    ) -> None:
        self._jobs = [
            (spec.name, partial(_gather, spec, host or HostRoots())) for spec in collectors
        ]
        self._families = [f for spec in collectors for f in spec.families]
        self._families += [_DURATION, _SUCCESS]
        self._runner: Runner[list[Metric]] = Runner("host-metrics", timeout)
        self._failing: set[str] = set()
        self._noting = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Read the host; never raises, and takes at most the timeout for each new hang."""
        outcomes = self._runner.run(self._jobs)
        self._note({name: outcome.error for name, outcome in outcomes.items()})
        for outcome in outcomes.values():
            yield from outcome.value or ()
        yield _DURATION.metric(((name,), o.seconds) for name, o in outcomes.items())
        yield _SUCCESS.metric(((name,), float(not o.error)) for name, o in outcomes.items())

    def describe(self) -> Iterator[Metric]:
        """Return the families with a fixed name, so that registering does not read the host."""
        return (family.metric(()) for family in self._families if "<" not in family.name)

    def close(self) -> None:
        """Stop the thread that reads the host."""
        self._runner.close()

    def _note(self, errors: dict[str, Exception | None]) -> None:
        with self._noting:
            for name, error in errors.items():
                if error and name not in self._failing:
                    self._failing.add(name)
                    kind = type(error).__name__
                    log.warning("host collector %s failed: %s: %s", name, kind, error)
                elif not error and name in self._failing:
                    self._failing.discard(name)
                    log.info("host collector %s recovered", name)


def _gather(spec: CollectorSpec, host: HostRoots) -> list[Metric]:
    # A file with a line twice returns its family twice, which Prometheus would refuse.
    metrics = {metric.name: metric for metric in spec.collect(host) if metric.samples}
    return list(metrics.values())

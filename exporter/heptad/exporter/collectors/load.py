"""Load averages: /proc/loadavg, proc_loadavg(5)."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read

FAMILIES: tuple[Family, ...] = (
    Family("node_load1", "gauge", "Load average over 1 minute."),
    Family("node_load5", "gauge", "Load average over 5 minutes."),
    Family("node_load15", "gauge", "Load average over 15 minutes."),
)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file."""
    averages = read(f"{host.proc}/loadavg").split()[:3]
    for family, average in zip(FAMILIES, averages, strict=True):
        yield family.single(float(average))

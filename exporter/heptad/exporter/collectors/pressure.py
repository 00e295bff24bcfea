"""Pressure stall information: /proc/pressure, the kernel's Documentation/accounting/psi.rst."""

import re
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read_attribute


def _family(name: str, text: str) -> Family:
    return Family(f"node_pressure_{name}_seconds_total", "counter", text)


# (file, line) → family
_FAMILIES = {
    ("cpu", "some"): _family("cpu_waiting", "Time in which some task waited for a CPU."),
    ("io", "some"): _family("io_waiting", "Time in which some task waited for I/O."),
    ("io", "full"): _family("io_stalled", "Time in which all tasks waited for I/O."),
    ("memory", "some"): _family("memory_waiting", "Time in which some task waited for memory."),
    ("memory", "full"): _family("memory_stalled", "Time in which all tasks waited for memory."),
}
FAMILIES: tuple[Family, ...] = tuple(_FAMILIES.values())

_LINE = re.compile(r"^(some|full) .*\btotal=(\d+)$", re.MULTILINE)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Return nothing if the kernel has no pressure information (CONFIG_PSI, psi=0)."""
    for resource in ("cpu", "io", "memory"):
        text = read_attribute(f"{host.proc}/pressure/{resource}") or ""
        for line, microseconds in _LINE.findall(text):
            if family := _FAMILIES.get((resource, line)):
                yield family.single(int(microseconds) / 1e6)

"""Thermal throttling of the CPUs: /sys/devices/system/cpu/cpu*/thermal_throttle (x86).

CPU times are in `stat`, which reads /proc/stat only once.
"""

from collections.abc import Iterator
from typing import TypeVar

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, names, read_attribute

_CORE = Family(
    "node_cpu_core_throttles_total",
    "counter",
    "How often this core was throttled because of heat.",
    ("package", "core"),
)
_PACKAGE = Family(
    "node_cpu_package_throttles_total",
    "counter",
    "How often this package was throttled because of heat.",
    ("package",),
)
FAMILIES: tuple[Family, ...] = (_CORE, _PACKAGE)

K = TypeVar("K")


def collect(host: HostRoots) -> Iterator[Metric]:
    """Return nothing on hosts without these counters, such as most virtual machines."""
    cores: dict[tuple[str, str], float] = {}
    packages: dict[tuple[str], float] = {}
    for cpu in _throttled(f"{host.sys}/devices/system/cpu"):
        package = read_attribute(f"{cpu}/topology/physical_package_id")
        core = read_attribute(f"{cpu}/topology/core_id")
        if package is None or core is None:
            continue
        # CPUs of one core share its counter, so only the first is read.
        if (package, core) not in cores:
            _put(cores, (package, core), f"{cpu}/thermal_throttle/core_throttle_count")
        if (package,) not in packages:
            _put(packages, (package,), f"{cpu}/thermal_throttle/package_throttle_count")
    yield _CORE.metric(cores.items())
    yield _PACKAGE.metric(packages.items())


def _throttled(cpus: str) -> Iterator[str]:
    for name in names(cpus):
        path = f"{cpus}/{name}"
        if name[:3] == "cpu" and name[3:].isdecimal() and "thermal_throttle" in names(path):
            yield path


def _put(counts: dict[K, float], key: K, path: str) -> None:
    if (count := read_attribute(path)) is not None:
        counts[key] = float(count)

"""Open files of the whole host: /proc/sys/fs/file-nr, proc_sys_fs(5)."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read

FAMILIES: tuple[Family, ...] = (
    Family("node_filefd_allocated", "gauge", "File handles that the kernel has allocated."),
    Family("node_filefd_maximum", "gauge", "Maximum number of allocated file handles."),
)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file."""
    allocated, _unused, maximum = read(f"{host.proc}/sys/fs/file-nr").split()
    for family, number in zip(FAMILIES, (allocated, maximum), strict=True):
        yield family.single(float(number))

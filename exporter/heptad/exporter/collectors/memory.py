"""Memory: every field of /proc/meminfo, proc_meminfo(5).

psutil is not used: its `cached` includes reclaimable slab, unlike Cached.
"""

import functools
import re
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read

FAMILIES: tuple[Family, ...] = (
    Family(
        "node_memory_<Field>_bytes",
        "gauge",
        "A field of /proc/meminfo in bytes; Active(anon) is node_memory_Active_anon_bytes.",
    ),
    Family("node_memory_<Field>", "gauge", "A field of /proc/meminfo without a unit: a count."),
)

_FIELD = re.compile(r"(\w+)(?:\((\w+)\))?", re.ASCII)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError, or ValueError for a malformed file."""
    for line in read(f"{host.proc}/meminfo").splitlines():
        field, _, rest = line.partition(":")
        number, *unit = rest.split()
        yield _family(field, bool(unit)).single(int(number) * (1024.0 if unit else 1.0))


@functools.cache
def _family(field: str, in_kilobytes: bool) -> Family:
    match = _FIELD.fullmatch(field)
    if match is None:
        raise ValueError(f"not a field of meminfo: {field!r}")
    name = "_".join(part for part in match.groups() if part)
    suffix = "_bytes" if in_kilobytes else ""
    return Family(f"node_memory_{name}{suffix}", "gauge", f"{field} of /proc/meminfo.")

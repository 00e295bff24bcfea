"""Paging and out-of-memory counts: /proc/vmstat, proc_vmstat(5)."""

import re
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.exporter.collectors.procfs import Family, HostRoots, read

FAMILIES: tuple[Family, ...] = (
    Family(
        "node_vmstat_<field>",
        "untyped",
        "A field of /proc/vmstat: oom_kill, pgpg*, pswp* and pg*fault*, a count since boot.",
    ),
)

# node_exporter's default for --collector.vmstat.fields
_LINE = re.compile(r"^((?:oom_kill|pgpg|pswp|pg\w*fault)\w*) (\d+)$", re.ASCII | re.MULTILINE)


def collect(host: HostRoots) -> Iterator[Metric]:
    """Raises OSError."""
    for field, number in _LINE.findall(read(f"{host.proc}/vmstat")):
        family = Family(f"node_vmstat_{field}", "untyped", f"{field} of /proc/vmstat.")
        yield family.single(float(number))

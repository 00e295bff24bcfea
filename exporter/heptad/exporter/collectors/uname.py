"""The kernel's name and release, uname(2)."""

import os
from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from heptad.core.host import host_name
from heptad.exporter.collectors.procfs import Family, HostRoots, read_attribute

FAMILIES: tuple[Family, ...] = (
    Family(
        "node_uname_info",
        "gauge",
        "Always 1; the labels are the values of uname(2).",
        ("sysname", "release", "version", "machine", "nodename", "domainname"),
    ),
)


def collect(host: HostRoots) -> Iterator[Metric]:
    """os.uname() has no NIS domain name, so it is read from /proc (uts_namespaces(7))."""
    name = os.uname()
    domain = read_attribute(f"{host.proc}/sys/kernel/domainname") or ""
    values = (name.sysname, name.release, name.version, name.machine, host_name(host.root), domain)
    yield FAMILIES[0].metric([(values, 1.0)])

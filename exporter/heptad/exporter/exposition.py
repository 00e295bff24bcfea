"""The metrics on the exporter's port: its own and those of the host."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from heptad.exporter.collectors import HostCollector, HostRoots


def make_registry(collectors: Iterable[Collector], *, host: Path | None) -> CollectorRegistry:
    """Create a registry of ``collectors``, this process, and the host with its root at ``host``."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if host is not None:
        registry.register(HostCollector(HostRoots.below(host)))
    return registry

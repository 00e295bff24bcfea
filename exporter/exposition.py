"""What the exporter shows on its port: its own metrics and those of the host."""

from collections.abc import Iterable

from prometheus_client import PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from exporter.collectors import HostCollector


def make_registry(collectors: Iterable[Collector], *, host: bool) -> CollectorRegistry:
    """The registry of ``collectors``, of this process and, if asked for, of this ``host``."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if host:
        registry.register(HostCollector())
    return registry

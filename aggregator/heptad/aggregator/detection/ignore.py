"""Events that are excluded from findings: monitoring, scanners, automation.

They are still stored, counted and in reports.
"""

import ipaddress
from functools import lru_cache

from heptad.core.config.findings import IgnoreConfig
from heptad.core.event import Event


class Ignored:
    """Networks, users and hosts; empty by default."""

    def __init__(
        self,
        networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (),
        users: frozenset[str] = frozenset(),
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._users = users
        self._hosts = hosts
        self._networks = networks
        self._is_within = lru_cache(maxsize=4096)(self._look_up)

    def matches(self, event: Event) -> bool:
        """Return whether the event is excluded, by its host, user or source address."""
        if event.host in self._hosts or event.user in self._users:
            return True
        return (
            bool(self._networks)
            and event.source_ip is not None
            and self._is_within(event.source_ip)
        )

    def _look_up(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def ignored_of(config: IgnoreConfig) -> Ignored:
    """Return what the configuration excludes; its networks are already validated."""
    networks = tuple(map(ipaddress.ip_network, config.networks))
    return Ignored(networks, frozenset(config.users), frozenset(config.hosts))

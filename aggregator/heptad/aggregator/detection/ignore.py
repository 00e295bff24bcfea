"""Whose events are kept out of findings: monitoring, scanners, automation.

They stay events, and are counted and reported as any other.
"""

import ipaddress
from functools import lru_cache

from heptad.core.config.findings import IgnoreConfig
from heptad.core.event import Event


class Ignored:
    """Networks, users and hosts; by default nothing is ignored."""

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
        """Whether the event gives no finding: by its host, by who acted, or from where."""
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
    """What the configuration says; its networks are known to be some."""
    networks = tuple(map(ipaddress.ip_network, config.networks))
    return Ignored(networks, frozenset(config.users), frozenset(config.hosts))

"""Rule: a user logged in from a network for the first time."""

import ipaddress
from functools import lru_cache
from typing import ClassVar

from heptad.aggregator.detection.facts import EventFilter, Facts, list_some, often, path_of
from heptad.aggregator.detection.new_terms import NewTermsRule
from heptad.core.config.findings import BaselineConfig, NewNetworkConfig
from heptad.core.event import Event


class NewNetwork(NewTermsRule):
    name = "new_network"
    title = "First login from a network"
    technique = "T1078"
    filter: ClassVar[EventFilter] = {"action": ("login",), "outcome": ("success",)}
    description = (
        "A user logged in from a network (IPv4 `/24`, IPv6 `/64`) from which they did not log "
        "in on any host within the look-back. Low. New users, and users of more than `most` "
        "networks, are not reported."
    )
    false_positives = (
        "A user who travels, moves, or gets a new address from their provider. An attacker in "
        "the same network as the user is not detected."
    )

    def __init__(self, baseline: BaselineConfig, config: NewNetworkConfig) -> None:
        super().__init__(baseline, config.most)
        prefixes = (config.ipv4_prefix, config.ipv6_prefix)
        self._network_of = lru_cache(maxsize=4096)(lambda text: network_of(text, *prefixes))

    def key_of(self, event: Event) -> str | None:
        """The user, if the address is known."""
        return event.user or None if event.source_ip else None

    def term_of(self, event: Event) -> str:
        return self._network_of(event.source_ip or "")

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.addresses, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        networks = sorted({self._network_of(address) for address in facts.addresses})
        from_where = f"from {list_some(networks)}"
        return f"{often(facts, 'login')} {from_where}, none in the {self.looked_back} before"


def network_of(text: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    """Return the network of an address; any other text is returned unchanged.

    An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) counts as IPv4; a zone (RFC 4007) is ignored.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    prefix = ipv4_prefix if address.version == 4 else ipv6_prefix
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))

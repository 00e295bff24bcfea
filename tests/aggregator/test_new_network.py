"""A user logged in from a network that is new for him."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.aggregator.detection.rules.new_network import NewNetwork, network_of
from heptad.core.config.findings import BaselineConfig, NewNetworkConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import DAY, HOUR, NOON, find, happen

RULE = NewNetwork(BaselineConfig(Duration("28d"), Duration("7d"), 5), NewNetworkConfig(most=3))


def enter(time: int, address: str | None = "192.0.2.1", user: str = "alice") -> Event:
    """A login."""
    return happen("login", time, user=user, source_ip=address, method="publickey")


HISTORY = [enter(NOON + day * DAY) for day in range(8)]


def test_new_network_of_a_known_user() -> None:
    """After a week of logins from one network, one from another is told."""
    (found,) = find(RULE, *HISTORY, enter(NOON + 8 * DAY, "198.51.100.7"))
    assert (found.subject, found.severity, found.addresses) == ("alice", "low", ("198.51.100.7",))
    assert found.sentence == (
        "First login from a network · 198.51.100.7 → alice@web1 · 1 login from 198.51.100.0/24, "
        "none in the 28 days before"
    )


def test_same_network_is_not_new() -> None:
    """Another address of the same network, and the network a second time, are not told."""
    assert find(RULE, *HISTORY, enter(NOON + 8 * DAY, "192.0.2.200")) == []
    twice = [enter(NOON + 8 * DAY, "198.51.100.7"), enter(NOON + 9 * DAY, "198.51.100.8")]
    assert [f.first for f in find(RULE, *HISTORY, *twice)] == [NOON + 8 * DAY]


def test_fresh_install_is_quiet() -> None:
    """Nothing is told of a user who is known for less than a week, or from a few logins."""
    assert find(RULE, *HISTORY[:6], enter(NOON + 6 * DAY, "198.51.100.7")) == []
    few = [HISTORY[0], HISTORY[7], enter(NOON + 8 * DAY, "198.51.100.7")]
    assert find(RULE, *few) == []
    assert find(RULE, *HISTORY, enter(NOON + 8 * DAY, "198.51.100.7", user="bob")) == []


def test_look_back_ends() -> None:
    """A network that was not seen for longer than the look-back is new again."""
    events = [enter(NOON, "198.51.100.7"), *[enter(NOON + day * DAY) for day in range(40)]]
    assert find(RULE, *events, enter(NOON + 27 * DAY, "198.51.100.7")) == []
    assert len(find(RULE, *events, enter(NOON + 30 * DAY, "198.51.100.7"))) == 1


def test_traveller_is_not_told_of() -> None:
    """A user who comes from ever new networks is told of until there are too many."""
    away = [enter(NOON + 8 * DAY + n * 2 * HOUR, f"198.51.{n}.1") for n in range(6)]
    assert [f.first for f in find(RULE, *HISTORY, *away)] == [event.time for event in away[:3]]


@pytest.mark.parametrize(
    "address, network",
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a host's name", "a host's name"),
    ],
)
def test_network_of(address: str, network: str) -> None:
    """IPv4 by /24, IPv6 by /64, an IPv4 address in IPv6 as what it is."""
    assert network_of(address, 24, 64) == network


@given(st.text(), st.integers(1, 32), st.integers(1, 128))
def test_network_of_anything(text: str, ipv4: int, ipv6: int) -> None:
    """Whatever stands where an address should has a network."""
    assert isinstance(network_of(text, ipv4, ipv6), str)

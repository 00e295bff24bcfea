"""Sweep: one address that tries many hosts."""

from heptad.aggregator.detection.rules.sweep import Sweep
from heptad.core.config.findings import SweepConfig
from heptad.core.config.types import Duration
from tests.support.aggregator_rule import MINUTE, NOON, find, login

RULE = Sweep(SweepConfig(hosts=3, span=Duration("1h")))


def test_one_address_on_many_hosts() -> None:
    """Three hosts within an hour are a finding, two are none."""
    events = [login(NOON + n * 20 * MINUTE, host=f"web{n}") for n in range(3)]
    (found,) = find(RULE, *events)
    assert (found.subject, found.hosts) == ("192.0.2.1", ("web0", "web1", "web2"))
    assert "on web0, web1 and web2" in found.sentence
    assert find(RULE, *events[:2]) == []


def test_different_addresses_are_not_one() -> None:
    """Three hosts that are tried from three addresses are none."""
    assert find(RULE, *[login(NOON, f"192.0.2.{n}", host=f"web{n}") for n in range(3)]) == []

"""Whose events are kept out of findings."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.aggregator.detection.ignore import Ignored, ignored_of
from heptad.core.config.findings import IgnoreConfig
from heptad.core.event import Event
from tests.support.aggregator_world import HOUR, MIDNIGHT, World, attack, login, summaries

IGNORED = ignored_of(
    IgnoreConfig(["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"], ["nagios"], ["honeypot"])
)


@pytest.mark.parametrize(
    "event",
    [
        login(0, "192.0.2.7"),
        login(0, "198.51.100.200"),
        login(0, "::ffff:198.51.100.200"),
        login(0, "2001:db8:1::1"),
        login(0, user="nagios"),
        login(0, host="honeypot"),
    ],
)
def test_matches(event: Event) -> None:
    """An event is ignored by its address, its user or its host."""
    assert IGNORED.matches(event)
    assert not Ignored().matches(event)


@pytest.mark.parametrize(
    "event",
    [
        login(0, "192.0.2.8"),
        login(0, None),
        login(0, user=None),
        login(0, user="nagios2"),
        login(0, target_user="nagios"),
    ],
)
def test_others_are_looked_at(event: Event) -> None:
    """What is merely like an ignored one is not ignored."""
    assert not IGNORED.matches(event)


@given(st.text())
def test_no_address_is_in_no_network(text: str) -> None:
    """Whatever stands where an address should is looked at, and harms nothing."""
    assert not ignored_of(IgnoreConfig(["203.0.113.0/24"])).matches(login(0, text))


def test_ignored_events_stay_events(tmp_path: Path) -> None:
    """They give no finding, and are reported as any other."""
    with World(tmp_path, ignored=ignored_of(IgnoreConfig(["192.0.2.1"]))) as world:
        noon = MIDNIGHT + 12 * HOUR
        world.append(attack(noon - HOUR) + attack(noon, address="192.0.2.2"))
        world.finish()
        assert summaries(world) == [("192.0.2.2", noon, 4)]
        (fields,) = world.windows()["1d", MIDNIGHT].values()
        assert fields["attempts"] == 8

"""A finding that a late event shows to be none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.aggregator.detection.rules.new_network import NewNetwork
from heptad.core.config.findings import BaselineConfig, NewNetworkConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, World, gauges, login

NOON = MIDNIGHT + 12 * HOUR


def enter(time: int, address: str = "192.0.2.1") -> Event:
    """A login."""
    return login(time, address, outcome="success", user="alice")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A user with a week of logins from one network, and one from another after it."""
    rule = NewNetwork(BaselineConfig(Duration("28d"), Duration("7d"), 5), NewNetworkConfig())
    with World(tmp_path, rules=[rule], reports=[]) as world:
        world.now = NOON + 9 * DAY
        world.append(enter(NOON + day * DAY) for day in range(8))
        world.append([enter(NOON + 8 * DAY, "198.51.100.1")])
        world.run_cycle(everything=True)
        assert len(world.findings()) == 1
        yield world


@pytest.mark.parametrize("killed", [False, True])
def test_late_event_withdraws_it(world: World, killed: bool) -> None:
    """Once an earlier login from the network arrives, readers do not see the finding any more."""
    if killed:
        world.restart()
    world.append([enter(NOON + 3 * DAY, "198.51.100.9")])
    world.run_cycle(everything=True)
    assert world.findings() == []
    last = list(world.reports.read("findings", 0, 2**62))[-1]
    assert (last.fields["state"], last.fields["revision"]) == ("withdrawn", 1)
    world.restart()
    world.run_cycle(everything=True)
    world.backfill(NOON, NOON + 9 * DAY)
    assert len(world.rows("findings")) == 2


def test_pruned_history_withdraws_nothing(world: World) -> None:
    """What was found stays found when the events that show it are gone."""
    world.events.max_age = 0.0
    world.events.prune(now=1.0)
    world.events.prune(now=10_000.0)
    while world.events.prune(now=20_000.0):
        pass
    world.append([enter(NOON + 8 * DAY + HOUR, "198.51.100.1")])
    world.restart()
    world.finish()
    world.backfill(NOON, NOON + 10 * DAY)
    assert [finding.first for finding in world.findings()] == [NOON + 8 * DAY]


def test_long_history_is_known_after_a_restart(world: World) -> None:
    """A finding that is judged by weeks of history does not come back as new, nor get lost."""
    world.restart()
    world.append([enter(NOON + 8 * DAY + HOUR, "198.51.100.2")])
    world.run_cycle(everything=True)
    assert [finding.first for finding in world.findings()] == [NOON + 8 * DAY]
    assert gauges(world, "heptad_aggregator_cells")["new_network"] >= 1

"""The aggregator of a fleet: what arrives in InfluxDB, late or not, and what hosts say of it."""

import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.core.event import Event
from heptad.core.influxdb.query import Reader
from tests.aggregator.test_invariance import EVENTS, STEPS, check, play
from tests.support.aggregator_world import (
    DAY,
    HOUR,
    MIDNIGHT,
    MINUTE,
    SECOND,
    attack,
    login,
    summaries,
)
from tests.support.effort import tries
from tests.support.fleet_world import FleetWorld
from tests.support.influxdb import Influxd

NOON = MIDNIGHT + 12 * HOUR


@pytest.fixture
def world(influxd: Influxd) -> Iterator[FleetWorld]:
    """A fleet at noon."""
    with FleetWorld(influxd) as world:
        world.now = world.clock = NOON
        yield world


@settings(max_examples=tries(12))
@given(st.lists(EVENTS, max_size=25), STEPS, st.data())
def test_path_does_not_matter(
    influxd: Influxd, events: list[Event], steps: list[str], data: st.DataObject
) -> None:
    """Any order, any lateness, looks and kills anywhere: readers see the same in the end, and no
    row is ever written over with another."""
    with FleetWorld(influxd) as world:
        play(world, events, steps, data)
        check(world, events)


def test_findings_do_not_wait_for_heartbeats(world: FleetWorld) -> None:
    """What was delivered just now is seen at the next look, whatever heartbeats say."""
    world.run_cycle()
    world.deliver(attack(NOON - MINUTE))
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON - MINUTE, 4)]
    world.deliver(attack(NOON - MINUTE + 20 * SECOND))
    world.tick += 60
    world.finish()
    assert summaries(world) == [("192.0.2.1", NOON - MINUTE, 8)]


def test_findings_of_one_moment_do_not_replace_each_other(world: FleetWorld) -> None:
    """Two addresses whose attacks begin in the same nanosecond are two findings."""
    both = [login(NOON + n * SECOND, a, host=a) for n in range(4) for a in ("10.0.0.1", "10.0.0.2")]
    world.append(both)
    world.finish()
    assert summaries(world) == [("10.0.0.1", NOON, 4), ("10.0.0.2", NOON, 4)]


@pytest.mark.parametrize("kill", [False, True])
def test_late_events_lead_to_their_spans_only(
    world: FleetWorld, monkeypatch: pytest.MonkeyPatch, kill: bool
) -> None:
    """Events of long ago are found by their heartbeat, and nothing between them is told."""
    world.append(login(NOON - hour * HOUR, f"10.0.{hour}.1") for hour in range(60))
    world.finish()
    world.now = world.clock
    if kill:
        world.restart()
    early = NOON - 50 * HOUR - 30 * MINUTE
    world.deliver([*attack(early), login(NOON - 20 * HOUR + 9 * MINUTE)])
    world.run_cycle()
    told: list[Any] = []
    take = world.read.arrived

    def watch(*rest: Any) -> Any:
        found = take(*rest)
        told.extend((piece.oldest // MINUTE, piece.newest // MINUTE) for piece in found)
        return found

    monkeypatch.setattr(world.read, "arrived", watch)
    world.run_cycle()
    assert told == []
    first, second = early // MINUTE, (NOON - 20 * HOUR) // MINUTE + 9
    world.beat(spans=[[first, second + 1, 5]])  # the exporter merges what is too much for it
    world.tick += 60
    world.run_cycle()
    assert min(told) == (first, first)
    assert max(told)[1] == second
    known = {(NOON - hour * HOUR) // MINUTE for hour in range(60)}
    minutes = {m for begin, end in told for m in range(begin, end + 1)}
    assert minutes <= known | {first, second}
    world.finish()
    assert ("192.0.2.1", early, 4) in summaries(world)


def ask(world: FleetWorld, name: str) -> float:
    """A number of the fleet's summary."""
    return float(getattr(world.fleet.fleet(), name))


def beats(world: FleetWorld, *hosts: tuple[str, str], **fields: Any) -> None:
    """These machines say something; then a look."""
    for host, machine in hosts:
        world.beat(host, machine, **fields)
    world.clock += MINUTE
    world.tick += 60
    world.now = world.clock
    world.run_cycle()


def test_a_window_waits_for_the_living(world: FleetWorld) -> None:
    """It is computed when all live hosts have passed its end; the dead are not waited for."""
    world.run_cycle()
    world.clock = world.now = NOON + 2 * MINUTE
    world.append([login(NOON + MINUTE)])
    world.run_cycle()
    world.clock = world.now = NOON + 5 * MINUTE + 10 * SECOND
    world.beat("web2", "2", passed=NOON + MINUTE, caught_up=False)
    world.beat(passed=world.clock)
    world.tick += 30
    world.run_cycle()
    assert world.read.watermark() == NOON + MINUTE
    assert world.revision("5m", NOON) == -1
    world.beat("web2", "2", passed=world.clock)
    world.tick += 30
    world.run_cycle()
    assert world.revision("5m", NOON) == 0
    world.tick += 190
    world.beat(passed=world.clock)
    world.run_cycle()
    assert (ask(world, "live"), ask(world, "silent")) == (1, 1)
    assert world.read.watermark() == world.clock - 4 * SECOND


def test_a_clock_that_is_off_is_not_waited_for(world: FleetWorld) -> None:
    """A host whose clock is more than a minute off holds nothing up, and is told."""
    beats(world, ("web1", "1"))
    passed = world.read.watermark()
    beats(world, ("web2", "2"), clock_offset=-61.0, passed=5)
    assert world.read.watermark() == passed
    assert (ask(world, "skewed"), ask(world, "largest_offset")) == (1, 61)


def test_renamed_and_cloned_hosts(world: FleetWorld) -> None:
    """A host that was renamed or installed anew is one host; two that live at once are told."""
    beats(world, ("old", "1"), ("web2", "2"))
    for _ in range(2):
        beats(world, ("new", "1"), ("web2", "3"))
    found = world.fleet.fleet()
    assert (found.live, found.silent, found.shared_names, found.shared_ids) == (2, 0, 0, 0)
    for _ in range(2):
        beats(world, ("new", "1"), ("web2", "3"), ("clone", "1"), ("web2", "4"))
    found = world.fleet.fleet()
    assert (found.live, found.shared_names, found.shared_ids) == (4, 1, 1)


def test_a_restart_knows_who_lived(world: FleetWorld) -> None:
    """Who went silent while nobody looked is silent after a restart, for a day."""
    beats(world, ("web1", "1"), ("web2", "2"))
    world.clock += 3 * HOUR
    world.restart()
    beats(world, ("web1", "1"))
    assert (ask(world, "live"), ask(world, "silent")) == (1, 1)
    world.clock += DAY
    world.restart()
    beats(world, ("web1", "1"))
    assert (ask(world, "live"), ask(world, "silent")) == (1, 0)


@pytest.mark.parametrize(
    "spans",
    [
        "[[0, 1000000000000, 1000000000000000]]",
        "[[-5, 5, 5], [5, 3, 1], [7, 7, -1]]",
        "[" * 1000,
        '{"a": 1}',
        "[[1, 2, 3.5]]",
        str([[n, n + 1, 1] for n in range(1000)]),
    ],
)
def test_heartbeats_that_make_no_sense(world: FleetWorld, spans: str) -> None:
    """Whatever a stolen token writes, what is real is found and nothing else is read for long."""
    world.run_cycle()
    line = f"heartbeat,host=x,machine_id=9 sequence=1i,spans={msgspec.json.encode(spans).decode()}"
    world.server.write(world.buckets.heptad, [f"{line} {world.clock}"])
    world.append(attack(NOON - 5 * HOUR))
    world.tick += 60
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON - 5 * HOUR, 4)]


def test_heartbeats_of_the_future_hide_nothing(world: FleetWorld) -> None:
    """A heartbeat ahead of the server's clock does not let those of today be passed over."""
    world.run_cycle()
    line = "heartbeat,host=x,machine_id=9 sequence=1i"
    world.server.write(world.buckets.heptad, [f"{line} {world.clock + 50 * DAY}"])
    world.tick += 60
    world.run_cycle()
    world.append(attack(NOON - 5 * HOUR))
    world.tick += 60
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON - 5 * HOUR, 4)]


def test_an_outage_of_hours_is_made_up_for(world: FleetWorld) -> None:
    """An aggregator that was away reads what heartbeats tell since it stopped, and no more."""
    world.append(attack(NOON - HOUR))
    world.run_cycle()
    world.finish()
    for hour in range(30):
        world.clock += HOUR
        world.append(attack(NOON + hour * HOUR, address=f"10.0.{hour}.1"))
    world.restart()
    asked: list[str] = []
    ask = Reader.ask

    def watch(reader: Reader, query: str) -> Any:
        asked.append(query)
        return ask(reader, query)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "ask", watch)
        world.cycle.run_cycle(threading.Event())
    assert sum('FROM "heartbeat"' in query for query in asked) < 45
    world.finish()
    assert len(summaries(world)) == 31

"""Many events that come late: what is new is judged first, and what was done is not done again."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heptad.aggregator import cycle, progress
from heptad.aggregator.detection.state import KeyedState
from heptad.core.event import Event
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.log import Condition
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, SECOND, World, attack, login

DAYS = 3
NOW = MIDNIGHT + DAYS * DAY + 12 * HOUR


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """One host's events of three days are judged; new events are looked for in every pause."""
    monkeypatch.setattr(cycle, "_NEW_EVERY", 0.0)
    with World(tmp_path) as world:
        world.now = NOW
        world.append([login(MIDNIGHT + n * HOUR, "192.0.2.1") for n in range(DAYS * 24 + 12)])
        world.run_cycle()
        yield world


def late(number: int = 30) -> list[Event]:
    """Attacks on another host, on each of the three days, that are delivered only now."""
    return [
        event
        for n in range(number)
        for event in attack(
            MIDNIGHT + 7 * SECOND + n * DAYS * DAY // number, address=f"198.51.100.{n}"
        )
    ]


def on_read(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call ``act`` with the number of each reading of events, before it is done."""
    original = LocalStore.events
    calls = 0

    def events(store: LocalStore, *rest: Any) -> Any:
        nonlocal calls
        calls += 1
        act(calls)
        return original(store, *rest)

    monkeypatch.setattr(LocalStore, "events", events)


def subjects(world: World) -> set[str]:
    """Whom the findings are about."""
    return {finding.subject for finding in world.findings()}


def test_a_live_attack_is_a_finding_amid_a_backlog(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives while late events are worked off is a finding before they are."""
    world.append(late())
    seen: list[tuple[bool, bool]] = []

    def act(number: int) -> None:
        if number == 2:
            world.append(attack(NOW - 60 * SECOND, address="203.0.113.9"))
        found = subjects(world)
        seen.append(("203.0.113.9" in found, "198.51.100.29" in found))

    with monkeypatch.context() as patch:
        on_read(patch, act)
        world.run_cycle()
    assert (True, False) in seen
    assert {"203.0.113.9", *(f"198.51.100.{n}" for n in range(30))} <= subjects(world)


def test_a_live_attack_is_a_finding_amid_many_reports(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrives while windows are computed is a finding before they are written."""
    world.append(late())
    world.run_cycle()
    world.now += HOUR
    seen: list[tuple[bool, int]] = []

    def act(number: int) -> None:
        if number == 1:
            world.append(attack(NOW + HOUR - 60 * SECOND, address="203.0.113.9"))
        seen.append(("203.0.113.9" in subjects(world), len(world.rows("report_hosts"))))

    with monkeypatch.context() as patch:
        on_read(patch, act)
        world.run_cycle()
    before = seen[0][1]
    assert any(found and rows == before for found, rows in seen)
    # the window in which they arrived is computed with them, not left as it was before
    world.finish()
    told = next(
        w
        for (size, start), w in world.windows().items()
        if start == NOW + HOUR - 5 * 60 * SECOND and size == "5m"
    )
    assert told


def test_a_restart_amid_a_backlog_goes_on_behind_what_was_finished(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that were read again are written and done with while the next ones are being read."""
    world.append(late())
    stop = threading.Event()

    def act(_: int) -> None:
        if "198.51.100.1" in subjects(world):
            stop.set()

    with monkeypatch.context() as patch:
        on_read(patch, act)
        world.cycle.run_cycle(stop)
    assert stop.is_set()
    assert "198.51.100.29" not in subjects(world)
    left = msgspec.json.decode(world.reports.recall("findings/brute_force") or b"")
    assert MIDNIGHT // DAY not in left
    assert MIDNIGHT // DAY + DAYS - 1 in left
    read: list[int] = []
    with monkeypatch.context() as patch:
        original = LocalStore.events

        def events(store: LocalStore, since: int, *rest: Any) -> Any:
            if rest[1:] and rest[1]:  # a rule's: a report asks for events of every kind
                read.append(since)
            return original(store, since, *rest)

        patch.setattr(LocalStore, "events", events)
        world.restart()
        world.run_cycle()
    assert min(read) >= MIDNIGHT + DAY - HOUR
    world.finish()
    assert {f"198.51.100.{n}" for n in range(30)} <= subjects(world)


@pytest.mark.long
def test_the_same_findings_as_in_order(world: World, tmp_path: Path) -> None:
    """A backlog gives the findings that the same events give when they come in order."""
    events = [*late(), *attack(NOW - 60 * SECOND, address="203.0.113.9")]
    for event in events:
        world.append([event])
        if event.time % 7 == 0:
            world.run_cycle()
    world.finish()
    (tmp_path / "ordered").mkdir()
    with World(tmp_path / "ordered") as ordered:
        ordered.now = world.now
        history = [login(MIDNIGHT + n * HOUR, "192.0.2.1") for n in range(DAYS * 24 + 12)]
        ordered.append(sorted([*events, *history], key=lambda event: event.time))
        ordered.finish()
        expected = {finding.key: finding.content for finding in ordered.findings()}
        assert {finding.key: finding.content for finding in world.findings()} == expected


def test_a_flood_of_late_events_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a backlog is still being delivered, its days are not read for each part of it."""
    monkeypatch.setattr(cycle, "_FLOOD", 20)
    reads: list[int] = []
    on_read(monkeypatch, reads.append)
    events = late()
    for at in range(0, len(events), 40):
        world.append(events[at : at + 40])
        world.run_cycle()
    assert reads == []
    world.append(attack(NOW - 60 * SECOND, address="203.0.113.9"))
    world.run_cycle()
    assert {"203.0.113.9", "198.51.100.29"} <= subjects(world)


def test_more_than_a_minute_behind_is_a_problem(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that takes more than a minute is said to be a problem while it lasts."""
    conditions: dict[str, Condition] = {}
    world.cycle = cycle.Cycle(
        world.read, world.reports, world.plan, world.metrics, name=world.name,
        now=lambda: world.now, conditions=conditions,
    )  # fmt: skip
    problems: list[str | None] = []

    def act(_: int) -> None:
        condition = conditions.get("progress")
        problems.append(condition.problem if condition else None)

    on_read(monkeypatch, act)
    world.append(late(20))
    world.run_cycle()
    assert set(problems) == {None}
    monkeypatch.setattr(type(world.metrics), "behind", lambda _: 61.0)
    world.append(late(30))
    world.run_cycle()
    assert any(problem and "60 s behind" in problem for problem in problems)


def test_a_first_look_at_a_long_log_holds_an_hour_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much has arrived: what a rule takes up has been told of, and what is held is short."""
    monkeypatch.setattr(progress, "_CHUNK", 50)
    monkeypatch.setattr(progress, "_MOST_FRESH", 100)
    sizes: list[int] = []
    take = KeyedState.take

    def watch(memory: KeyedState, *told: Any) -> None:
        take(memory, *told)
        sizes.append(memory.size)

    monkeypatch.setattr(KeyedState, "take", watch)
    with World(tmp_path) as world:
        world.now = NOW
        world.append([login(MIDNIGHT + n * 60 * SECOND, "192.0.2.1") for n in range(20 * 60)])
        world.finish()
        (finding,) = world.findings()
    assert finding.count == 20 * 60
    assert max(sizes) < 80

"""What a look costs: memory, time between a stop and the end, and what is read again."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from heptad.aggregator import cycle
from heptad.aggregator.detection import state
from heptad.aggregator.detection.dispatch import ReadRequest, dispatch
from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.facts import EventBatch, Facts, facts_of
from heptad.aggregator.detection.ignore import Ignored
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.detection.rules.success_after_failures import SuccessAfterFailures
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.core.config.findings import BruteForceConfig, SuccessAfterFailuresConfig
from heptad.core.store.sqlite import LocalStore
from tests.support.aggregator_world import (
    DAY,
    HOUR,
    MIDNIGHT,
    MINUTE,
    SECOND,
    World,
    attack,
    gauges,
    login,
    summaries,
)

NOON = MIDNIGHT + 12 * HOUR


def test_memory_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many addresses at once cost the quietest ones, and that is counted."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 500)
    world.append([login(NOON + n * SECOND, f"10.{n // 250}.{n % 250}.1") for n in range(5000)])
    world.append(attack(NOON + 5000 * SECOND))
    world.finish()
    assert world.counter("heptad_aggregator_cells_dropped_total") > 0
    assert gauges(world, "heptad_aggregator_cells")["brute_force"] <= 1000
    assert summaries(world) == [("192.0.2.1", NOON + 5000 * SECOND, 4)]


@pytest.mark.parametrize("step", [SECOND, SECOND // 100])
def test_memory_is_bounded_while_reading(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A flood of addresses within minutes, or within one, is never held as a whole."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 100)
    world.append([login(NOON + n * step, f"10.{n // 250}.{n % 250}.1") for n in range(1000)])
    begun = Counter[int]()

    class Counting(BruteForce):
        def add(self, cell: Facts | None, told: EventBatch) -> Any:
            begun[told[0][0].time // MINUTE] += cell is None
            return super().add(cell, told)

    held = state.KeyedState(Counting(BruteForceConfig()), MIDNIGHT // DAY)
    minute = NOON // MINUTE
    dispatch(
        world.read,
        [ReadRequest(held, minute, minute + 20, held.floor)],
        Ignored().matches,
        lambda: None,
        threading.Event(),
    )
    assert held.size <= 100
    assert max(begun.values()) <= 100
    assert held.dropped > 0


def test_forgetting_looks_at_the_minutes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many subjects are forgotten at once, the minutes are gone through a few times."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 1000)
    looks = 0

    class Counting(dict[str, Any]):
        def __len__(self) -> int:
            nonlocal looks
            looks += 1
            return super().__len__()

    rule = BruteForce(BruteForceConfig())
    held = state.KeyedState(rule, MIDNIGHT // DAY)
    minute = NOON // MINUTE
    held.begin(minute)
    facts = facts_of(login(NOON))
    for n in range(58):
        held.take(minute + n, Counting({f"{n} {m}": facts for m in range(20)}), 0)
    assert held.dropped >= 100
    assert looks < 10 * 58
    assert set(held.finish(minute + 60)) == {f"{n} {m}" for n in range(58) for m in range(20)}


def test_flood_does_not_hide_what_was_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is forgotten among too many still has the finding it had until then."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 100)
    flood = [login(NOON + HOUR + n * SECOND, f"10.{n // 250}.{n % 250}.1") for n in range(1000)]
    world.append([*attack(NOON), *flood])
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON, 4)]


@pytest.mark.table
@pytest.mark.parametrize("order", ["one after the other", "in turns", "within a minute"])
@pytest.mark.parametrize("way", ["at once", "in pieces", "killed"])
def test_flood_does_not_hide_a_login_after_forgotten_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, way: str
) -> None:
    """The failures of whoever gets in are read again, however many others have failed since."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 60)
    rule: DetectionRule = SuccessAfterFailures(SuccessAfterFailuresConfig())
    step = SECOND // 100 if order == "within a minute" else 2 * SECOND
    number = 300
    events = [
        login(NOON + n * step, f"10.0.{a // 250}.{a % 250}")
        for n in range(5 * number)
        for a in [n % number if order == "in turns" else n // 5]
    ]
    who = [3, 150, 290]
    end = events[-1].time
    events += [login(end + n, f"10.0.0.{n}", outcome="success") for n in (3, 150)]
    events += [login(end + 290, "10.0.1.40", outcome="success")]
    with World(tmp_path, rules=[rule], reports=[]) as world:
        world.now = NOON + 6 * HOUR
        if way == "at once":
            world.append(events)
        for at in range(0, 0 if way == "at once" else len(events), 400):
            world.append(events[at : at + 400])
            world.run_cycle()
            if way == "killed":
                world.restart()
        world.run_cycle()
        found = world.findings()
        told = [(f.subject, f.count) for f in found]
        assert told == [(f"10.0.{a // 250}.{a % 250}", 6) for a in who]
        evidence = [read_evidence(world.reports, world.read, finding) for finding in found]
        assert [(shown.count, shown.note(f)) for shown, f in zip(evidence, found, strict=True)] == [
            (6, "")
        ] * 3
        world.append([login(end + MINUTE, "10.0.0.3", outcome="success")])
        world.finish()
        assert [finding.count for finding in world.findings()] == [7, 6, 6]


def test_flood_does_not_hide_what_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many are forgotten, a guessed password is found whose failures were not long ago."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 300)
    rules: list[DetectionRule] = [SuccessAfterFailures(SuccessAfterFailuresConfig(failures=4))]
    flood = [login(NOON + n * SECOND, f"10.0.{n // 250}.{n % 250}") for n in range(3000)]
    with World(tmp_path, rules=rules, reports=[]) as world:
        world.now = NOON + 6 * HOUR
        world.append([*flood, *attack(NOON + 30 * MINUTE)])
        world.append([login(NOON + 33 * MINUTE, outcome="success")])
        world.finish()
        assert world.counter("heptad_aggregator_cells_dropped_total") > 1000
        assert [finding.subject for finding in world.findings()] == ["192.0.2.1"]


def test_what_no_rule_keeps_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins by key, however many, are not held for the rule of guessed passwords."""
    monkeypatch.setattr(state, "MOST_BUCKETS", 100)
    rules: list[DetectionRule] = [SuccessAfterFailures(SuccessAfterFailuresConfig(failures=4))]
    by_key = {"outcome": "success", "method": "publickey"}
    flood = [login(NOON + n * SECOND, f"10.0.{n // 250}.{n % 250}", **by_key) for n in range(1000)]
    with World(tmp_path, rules=rules, reports=[]) as world:
        world.append([*attack(NOON), *flood, login(NOON + 1000 * SECOND, outcome="success")])
        world.finish()
        assert world.counter("heptad_aggregator_cells_dropped_total") == 0
        assert len(world.findings()) == 1


def test_scattered_days_are_looked_at_once_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stamp a month over years: what is done meanwhile asks for the day that is read, not all."""
    monkeypatch.setattr(cycle, "_NEW_EVERY", 0.0)
    asked = 0
    original = state.KeyedState.take_finished

    def count(held: state.KeyedState) -> Any:
        nonlocal asked
        asked += 1
        return original(held)

    monkeypatch.setattr(state.KeyedState, "take_finished", count)
    world.append(e for month in range(60) for e in attack(NOON - 30 * month * DAY))
    world.run_cycle()
    assert len(world.findings()) == 60
    assert 60 <= asked <= 60 * 20


@pytest.mark.table
@pytest.mark.parametrize(("method", "after"), [("events", 30), ("arrived", 1)])
def test_stop_ends_a_look_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, after: int
) -> None:
    """A look at a backlog ends amid its events, commits no half, and is done again later."""
    world.append([login(NOON - day * DAY, f"10.0.{day}.1", count=4) for day in range(100)])
    stop = threading.Event()
    calls = 0
    original = getattr(LocalStore, method)

    def count(found: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == after:
            stop.set()
        return found

    def watch(store: LocalStore, *rest: Any) -> Any:
        found = original(store, *rest)
        return map(count, found) if method == "events" else count(found)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, method, watch)
        assert not world.cycle.run_cycle(stop, everything=True)
        assert calls == after
    assert world.rows("findings") == []
    world.restart()
    world.finish()
    assert len(world.findings()) == 100


@pytest.mark.long
def test_old_addresses_are_forgotten(world: World) -> None:
    """What lies further back than anything can matter is not held in memory."""
    for hour in range(48):
        world.append([login(NOON + hour * HOUR + n, f"10.{hour}.{n}.1") for n in range(100)])
        world.now = NOON + hour * HOUR + MINUTE
        world.run_cycle()
    assert gauges(world, "heptad_aggregator_cells")["brute_force"] <= 3 * 2 * 100


def test_straggler_does_not_cause_the_time_between_to_be_read(world: World) -> None:
    """One old event among many new ones makes its own minutes dirty, not all since then."""
    world.append([login(NOON), *[login(NOON + 5 * DAY + n * SECOND) for n in range(3000)]])
    world.finish()
    windows = world.windows()
    assert {start // DAY for _, start in windows} == {MIDNIGHT // DAY, MIDNIGHT // DAY + 5}


def test_what_may_be_forgotten_is_at_zero_before() -> None:
    """`increase()` sees the first minute of a subject that a rule forgets."""
    metrics = AggregatorMetrics(["sweep"])
    metrics.recall({})
    samples = [sample for family in metrics.collect() for sample in family.samples]
    dropped = [s for s in samples if s.name == "heptad_aggregator_cells_dropped_total"]
    assert [(sample.labels, sample.value) for sample in dropped] == [({"rule": "sweep"}, 0)]

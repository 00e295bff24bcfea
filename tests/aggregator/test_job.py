"""The job: what a look reads and writes, and what one faulty part costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heptad.aggregator.detection import revisions
from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.latest import latest_findings
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.reports import REPORTS
from heptad.aggregator.reports.attempts import AttemptsAccumulator, AttemptsReport
from heptad.cli.highlight import FindingLines
from heptad.core.config.findings import BruteForceConfig, FindingsConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
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


def test_finding_is_there_with_the_event_that_completes_it(world: World) -> None:
    """One look after the fourth failure the finding is stored and counted."""
    world.append(attack(NOON, 3))
    world.run_cycle()
    assert world.findings() == []
    world.append([login(NOON + 3 * SECOND)])
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON, 4)]
    assert world.counter("heptad_findings_total") == 1


def test_growing_finding_is_written_once_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long attack does not write a row a second, and its last state is not lost."""
    world.append(attack(NOON))
    world.run_cycle()
    for n in range(10):
        world.append([login(NOON + (10 + n) * SECOND)])
        world.run_cycle()
    assert len(world.rows("findings")) == 1
    monkeypatch.setattr(revisions, "_PAUSE", 0.0)
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON, 14)]
    assert len(world.rows("findings")) == 2


def test_kill_does_not_lose_what_waits(world: World) -> None:
    """A change that was not written yet is found again after a kill, without a new event."""
    world.append(attack(NOON))
    world.run_cycle()
    world.append(attack(NOON + 10 * SECOND))
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON, 4)]
    world.restart()
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", NOON, 8)]


def test_severity_that_rises_is_told_at_once(world: World) -> None:
    """Becoming more severe does not wait, and counts for the new severity."""
    world.append(attack(NOON))
    world.run_cycle()
    world.append([login(NOON + MINUTE, count=40)])
    world.run_cycle()
    (finding,) = world.findings()
    assert finding.severity == "medium"
    exposed = {
        sample.labels["severity"]: sample.value
        for family in world.metrics.collect()
        for sample in family.samples
        if sample.name == "heptad_findings_total"
    }
    assert exposed == {"info": 0, "low": 1, "medium": 1, "high": 0}


def test_late_event_that_joins_two_findings_supersedes_one(world: World) -> None:
    """Readers see the joined finding only; the row of the other says what took its place."""
    world.append(attack(NOON) + attack(NOON + 6 * MINUTE))
    world.run_cycle(everything=True)
    assert len(world.findings()) == 2
    world.append([login(NOON + 3 * MINUTE)])
    world.run_cycle(everything=True)
    assert summaries(world) == [("192.0.2.1", NOON, 9)]
    last = [p for p in world.reports.read("findings", 0, 2**62) if "superseded_by" in p.fields]
    assert [(p.fields["first"], p.fields["superseded_by"]) for p in last] == [
        (NOON + 6 * MINUTE, NOON)
    ]


def test_late_event_that_moves_the_beginning_gives_a_new_key(world: World) -> None:
    """The finding is told under its new first event, and only there."""
    world.append(attack(NOON))
    world.run_cycle(everything=True)
    world.append([login(NOON - MINUTE)])
    world.run_cycle(everything=True)
    assert summaries(world) == [("192.0.2.1", NOON - MINUTE, 5)]


def test_pruned_events_do_not_undo_a_finding(world: World) -> None:
    """What was found stays found when its events are gone."""
    world.append(attack(NOON, 20))
    world.run_cycle(everything=True)
    before = world.findings()
    world.events.max_age = 0.0
    world.events.prune(now=1.0)
    world.events.prune(now=10_000.0)
    while world.events.prune(now=20_000.0):
        pass
    assert list(world.read.read("events", 0, 2**62)) == []
    world.append([login(NOON + 10 * SECOND), *attack(NOON + 15 * SECOND, 5)])
    world.restart()
    world.finish()
    world.backfill(NOON - DAY, NOON + DAY)
    assert world.findings() == before


def test_findings_are_found_by_the_time_they_share(world: World) -> None:
    """A reader gets what overlaps the time asked for, also what began before it."""
    world.append([login(NOON + n * MINUTE) for n in range(60)])
    world.run_cycle(everything=True)
    end = NOON + 59 * MINUTE

    def between(since: int, until: int) -> list[Finding]:
        return latest_findings(world.reports, since, until)

    assert len(between(NOON + 30 * MINUTE, NOON + 31 * MINUTE)) == 1
    assert len(between(end, end + 1)) == 1
    assert between(end + 1, end + HOUR) == []
    assert between(NOON - HOUR, NOON) == []


def test_history_is_found_but_not_counted(world: World) -> None:
    """Attacks from before the exporter's first start are no spike of findings now."""
    world.events.append([], {"first_start": str(NOON).encode()})
    world.restart()
    world.append(attack(NOON - DAY) + attack(NOON))
    world.run_cycle(everything=True)
    assert len(world.findings()) == 2
    assert world.counter("heptad_findings_total") == 1


def test_attack_that_goes_on_after_the_installation_is_counted_once(world: World) -> None:
    """It is counted by the look that sees it go on, and not by those after, nor after a restart."""
    world.events.append([], {"first_start": str(NOON).encode()})
    world.restart()
    world.append(attack(NOON - 50 * SECOND, 48))
    world.run_cycle()
    assert world.counter("heptad_findings_total") == 0
    world.append([login(NOON + SECOND)])
    world.run_cycle()
    assert world.counter("heptad_findings_total") == 1
    (finding,) = world.findings()
    assert (finding.severity, finding.last) == ("medium", NOON + SECOND)
    world.append(attack(NOON + 2 * SECOND))
    world.run_cycle()
    world.restart()
    world.finish()
    assert summaries(world) == [("192.0.2.1", NOON - 50 * SECOND, 53)]
    assert world.counter("heptad_findings_total") == 1


@pytest.mark.long
def test_revisions_are_few(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long attack is written at each severity, at each doubling, and after longer pauses."""
    passed = 0.0
    monkeypatch.setattr("heptad.aggregator.cycle.time.monotonic", lambda: passed)
    for n in range(500):
        passed = 11.0 * n
        world.append([login(NOON + n * SECOND)])
        world.run_cycle()
    seen = [point.fields["count"] for point in world.reports.read("findings", 0, 2**62)]
    assert {4, 40, 400} < set(seen)
    assert len(seen) <= 20
    world.finish()
    assert summaries(world) == [("192.0.2.1", NOON, 500)]


@pytest.mark.parametrize("order", [1, -1])
def test_an_attack_is_counted_once_in_whatever_order_it_comes(world: World, order: int) -> None:
    """Events that move the beginning of a finding do not count it again."""
    for event in attack(NOON, 12)[::order]:
        world.append([event])
        world.run_cycle()
    world.finish()
    assert summaries(world) == [("192.0.2.1", NOON, 12)]
    assert world.counter("heptad_findings_total") == 1


class Faulty(BruteForce):
    """A rule that raises while it is told to."""

    broken = True
    asked = 0

    def key_of(self, event: Event) -> str | None:
        self.asked += 1
        if self.broken:
            raise ValueError("no such thing")
        return super().key_of(event)


class FaultyReport(AttemptsReport):
    """A report that raises while it is told to."""

    broken = True

    def begin(self) -> AttemptsAccumulator:
        if self.broken:
            raise ValueError("no such thing")
        return super().begin()


def test_rule_that_raises_costs_itself_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The report is written all the same; the rule catches up when it works again."""
    rule = Faulty(BruteForceConfig(4, Duration("3m")))
    with World(tmp_path, rules=[rule]) as world:
        world.append(attack(NOON))
        world.finish()
        world.run_cycle(everything=True)
        assert ("5m", NOON) in world.windows()
        assert world.findings() == []
        assert gauges(world, "heptad_aggregator_part_failing") == {
            "brute_force": 1,
            **{report.name: 0 for report in REPORTS},
        }
        assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
            "brute_force: problem"
        ]
        world.restart()
        rule.broken = False
        world.finish()
        assert summaries(world) == [("192.0.2.1", NOON, 4)]


def test_rule_that_raises_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """A faulty rule does not read the day again at every look; nothing of it is forgotten."""
    rule = Faulty(BruteForceConfig(4, Duration("3m")))
    with World(tmp_path, rules=[rule]) as world:
        world.now = NOON + 6 * HOUR
        for event in attack(NOON):
            world.append([event])
            world.run_cycle()
        assert rule.asked == 1
        rule.broken = False
        world.run_cycle(everything=True)
        assert summaries(world) == [("192.0.2.1", NOON, 4)]


def test_report_that_raises_costs_itself_only(tmp_path: Path) -> None:
    """The finding is written all the same; the report catches up when it works again."""
    report = FaultyReport()
    with World(tmp_path, reports=[report]) as world:
        world.append(attack(NOON))
        world.finish()
        assert summaries(world) == [("192.0.2.1", NOON, 4)]
        assert world.windows() == {}
        report.broken = False
        world.restart()
        world.finish()
        assert ("1d", MIDNIGHT) in world.windows()


@pytest.mark.long
def test_work_per_event_does_not_grow_with_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the steady state an event costs reading its own minute, however much is stored."""
    world.append([login(NOON + n * SECOND, f"10.0.{n % 200}.1") for n in range(10_000)])
    world.now = NOON + 3 * HOUR
    world.run_cycle()
    begin = NOON + 3 * HOUR
    world.append([login(begin)])
    world.run_cycle()
    read, events = LocalStore.events, 0

    def count(store: LocalStore, *rest: Any) -> Iterator[Event]:
        nonlocal events
        for event in read(store, *rest):
            events += 1
            yield event

    monkeypatch.setattr(LocalStore, "events", count)
    for n in range(1, 20):
        world.append([login(begin + n * SECOND)])
        world.run_cycle()
    assert events == sum(range(2, 21))


def test_findings_take_events_of_any_age(world: World) -> None:
    """What comes later than the horizon of the reports still is found."""
    world.append([login(NOON)])
    world.run_cycle()
    world.append(attack(NOON - 30 * DAY))
    world.finish()
    assert world.counter("heptad_aggregator_late_events_total") == 4
    assert summaries(world) == [("192.0.2.1", NOON - 30 * DAY, 4)]


def test_every_report_is_a_measurement_of_its_own() -> None:
    """Two reports cannot write into each other's rows."""
    assert len({report.name for report in REPORTS}) == len(REPORTS)


@pytest.mark.parametrize("before, after, day", [(5, 2, -1), (2, 5, 0)])
def test_day_alone_is_enough_for_its_findings(
    world: World, before: int, after: int, day: int
) -> None:
    """A day that is computed by hand has its findings whole, also where they cross midnight."""
    world.append([login(MIDNIGHT - (n + 1) * MINUTE) for n in range(before)])
    world.append([login(MIDNIGHT + n * MINUTE) for n in range(after)])
    noon = NOON + day * DAY
    world.backfill(noon, noon + MINUTE)
    assert summaries(world) == [("192.0.2.1", MIDNIGHT - before * MINUTE, 7)]


@pytest.mark.parametrize(
    "minutes, day, expected",
    [
        # the tail after midnight is three minutes from the last event before it
        ({-5: 1, -4: 1, -3: 1, -2: 1, -1: 1, 2: 3}, -1, (-5, 8)),
        # what lies before midnight has enough of its own, as the minute before the last span tells
        ({-5: 3, -3: 1, 0: 4}, 0, (0, 4)),
    ],
)
def test_day_alone_knows_what_lies_around_it(
    world: World, minutes: dict[int, int], day: int, expected: tuple[int, int]
) -> None:
    """Whether an attack is cut at midnight does not depend on which day is computed."""
    world.append([login(MIDNIGHT + at * MINUTE, count=count) for at, count in minutes.items()])
    noon = NOON + day * DAY
    world.backfill(noon, noon + MINUTE)
    first, attempts = expected
    assert summaries(world) == [("192.0.2.1", MIDNIGHT + first * MINUTE, attempts)]


@pytest.mark.parametrize("killed", [False, True])
def test_attack_goes_on_after_a_late_event(world: World, killed: bool) -> None:
    """An event that came hours late is still known when the same attack goes on."""
    world.append([login(NOON + n * MINUTE) for n in range(180)])
    world.run_cycle(everything=True)
    if killed:
        world.restart()
    world.append([login(NOON - MINUTE)])
    world.run_cycle(everything=True)
    assert summaries(world) == [("192.0.2.1", NOON - MINUTE, 181)]
    world.append([login(NOON + 180 * MINUTE)])
    world.run_cycle(everything=True)
    assert summaries(world) == [("192.0.2.1", NOON - MINUTE, 182)]


def test_attack_from_before_midnight_grows(world: World) -> None:
    """A finding that is booked on the day after its first event is revised, not begun again."""
    world.append([login(MIDNIGHT - MINUTE, count=2), login(MIDNIGHT, count=3)])
    world.run_cycle(everything=True)
    for n in range(1, 4):
        world.append([login(MIDNIGHT + n * SECOND)])
        world.restart()
        world.run_cycle(everything=True)
        assert summaries(world) == [("192.0.2.1", MIDNIGHT - MINUTE, 5 + n)]


def test_tail_after_midnight_may_come_late(world: World) -> None:
    """The day before is not closed while an event of the next one can still belong to it."""
    world.append([login(MIDNIGHT - MINUTE, count=4)])
    world.run_cycle()
    world.append([login(MIDNIGHT + 60 * MINUTE, "192.0.2.2")])
    world.run_cycle()
    world.append([login(MIDNIGHT + 2 * MINUTE)])
    world.run_cycle(everything=True)
    assert summaries(world) == [("192.0.2.1", MIDNIGHT - MINUTE, 5)]


def test_what_was_seen_counts_after_the_clock_went_back(world: World) -> None:
    """Half of an attack is seen, the clock goes back, a day is computed again: all is found."""
    begin = MIDNIGHT + DAY + 10 * MINUTE
    world.now = begin
    world.append([login(MIDNIGHT + HOUR, "198.51.100.1"), *attack(begin, 2)])
    world.run_cycle()
    world.now = begin - 30 * HOUR
    world.run_cycle()
    world.backfill(MIDNIGHT, MIDNIGHT + DAY)
    world.now = begin + 5 * MINUTE
    world.append(attack(begin + 2 * MINUTE, 2))
    world.run_cycle()
    assert summaries(world) == [("192.0.2.1", begin, 4)]


def test_a_line_names_whom_it_is_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What `heptad up` shows of a finding names who acted, and on whom."""
    changed = {"action": "password_change", "outcome": "success", "method": ""}
    with World(tmp_path, rules=rules_of(FindingsConfig()), reports=[]) as world:
        world.now = NOON + HOUR
        with caplog.at_level("INFO"):
            world.append([login(NOON, None, user="root", target_user="dave", **changed)])
            world.finish()
    lines: list[str] = []
    show = FindingLines(lines.append, lambda: None, colour=False)
    assert [show.filter(record) for record in caplog.records if record.msg == "finding"] == [False]
    assert lines == ["LOW    Password changed · root → dave@web1"]

"""The same events give the same findings and reports, whatever happened on the way.

What is expected is computed from the definitions by a second, slow implementation.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.reports import REPORTS, Accumulator, Report
from heptad.core.config.findings import (
    BaselineConfig,
    BruteForceConfig,
    DistributedConfig,
    FindingsConfig,
    FirstSudoConfig,
    NewAccountLoginConfig,
    NewHostConfig,
    NewNetworkConfig,
    SessionConfig,
    SlowBruteForceConfig,
    SprayingConfig,
    SuccessAfterFailuresConfig,
    SweepConfig,
    UnusualHourConfig,
)
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.store.event_row import event_of_point
from heptad.core.store.line_protocol import encode_series
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, World, login
from tests.support.effort import tries

MEASUREMENTS = ["findings", *(report.name for report in REPORTS)]
ATTEMPTS = 4
WIDTH = 4  # minutes: a span of 3, and one more
OWNERS = {"2001:db8::1": "2001:db8::/64"}  # who has one address of a /64 has them all
SIZES = {"5m": 5 * MINUTE, "1h": HOUR, "1d": DAY}

# Attacks gather around midnight and noon, where days are cut and where they are not.
PLACES = st.sampled_from([MIDNIGHT - 12 * HOUR, MIDNIGHT, MIDNIGHT + 12 * HOUR, MIDNIGHT + DAY])
TIMES = st.builds(
    lambda place, minute, second: place + minute * MINUTE + second * SECOND,
    PLACES,
    st.integers(-9, 9) | st.integers(-300, 300),
    st.sampled_from([0, 1, 30, 59]),
)
EVENTS = st.builds(
    login,
    TIMES,
    st.sampled_from(["192.0.2.1", "192.0.2.1", "2001:db8::1", None]),
    count=st.sampled_from([1, 1, 2, 3]),
    outcome=st.sampled_from(["failure", "failure", "failure", "success"]),
    user=st.sampled_from(["root", "admin", "", None, 'a"b\n\\']),
    host=st.sampled_from(["web1", "db1"]),
    action=st.sampled_from(
        [
            "login",
            "login",
            "login",
            "offer",
            "session_open",
            "session_close",
            "privilege",
            "member_add",
            "gap",
        ]
    ),
    pid=st.sampled_from([None, 1, 2]),
    method=st.sampled_from(["password", ""]),
)
STEPS = st.lists(
    st.sampled_from(["append", "append", "look", "kill", "everything", "redo", "begin anew"]),
    max_size=20,
)


def expect_findings(events: Iterable[Event]) -> set[tuple[Any, ...]]:
    """Subject, first and last time, attempts, users and hosts of each episode."""
    subjects = defaultdict(list)
    for event in events:
        if (event.action, event.outcome) == ("login", "failure") and event.source_ip:
            subjects[OWNERS.get(event.source_ip, event.source_ip)].append(event)
    found = set()
    for subject, own in subjects.items():
        for part in _episodes(own):
            users = {event.user for event in part if event.user is not None}
            times = [event.time for event in part]
            attempts = sum(event.count for event in part)
            hosts = frozenset(event.host for event in part)
            found.add((subject, min(times), max(times), attempts, frozenset(users), hosts))
    return found


def _episodes(events: list[Event]) -> Iterable[list[Event]]:
    per_minute = Counter[int]()
    for event in events:
        per_minute[event.time // MINUTE] += event.count
    covered: set[int] = set()
    for minute in per_minute:
        span = range(minute - WIDTH + 1, minute + 1)
        if sum(per_minute[m] for m in span) >= ATTEMPTS:
            covered |= set(span)
    for minute in sorted(covered):
        if minute - 1 not in covered:
            end = minute
            while end + 1 in covered:
                end += 1
            yield from _cut([e for e in events if minute <= e.time // MINUTE <= end])


def _cut(episode: list[Event]) -> list[list[Event]]:
    days = sorted({event.time // DAY for event in episode})
    assert len(days) <= 2, "the events of this test are not denser than that"
    sides = [[event for event in episode if event.time // DAY == day] for day in days]
    if all(sum(event.count for event in side) >= ATTEMPTS for side in sides):
        return sides
    return [episode]


def expect_windows(events: Iterable[Event]) -> dict[tuple[str, int], dict[str, dict[str, int]]]:
    """(size, start) → head → fields."""
    found: dict[tuple[str, int], dict[str, dict[str, int]]] = {}
    for event in events:
        for size, length in SIZES.items() if event.action == "login" else ():
            tags = {"host": event.host, "program": event.program, "method": event.method}
            series = encode_series("report_attempts", sorted({**tags, "window": size}.items()))
            window = found.setdefault((size, event.time // length * length), {})
            fields = window.setdefault(series, {"attempts": 0, "successes": 0, "failures": 0})
            fields["attempts"] += event.count
            fields["successes"] += event.count * (event.outcome == "success")
            fields["failures"] += event.count * (event.outcome == "failure")
    return found


def play(world: World, events: list[Event], steps: list[str], data: st.DataObject) -> None:
    """Events arrive in any order; looks, kills and repetitions lie between; then all is worked off."""
    waiting = data.draw(st.permutations(events))
    for step in steps:
        if step == "append":
            taken = data.draw(st.integers(0, len(waiting)))
            world.append(waiting[:taken])
            waiting = waiting[taken:]
        elif step == "kill":
            world.restart()
        elif step == "begin anew":
            world.name += "'"  # the same events under another position, as after a copy
            world.restart()
        elif step == "redo":
            world.backfill(MIDNIGHT - DAY, MIDNIGHT + 2 * DAY)
        else:
            world.now = data.draw(TIMES)
            world.run_cycle(everything=step == "everything")
    world.append(waiting)
    world.finish()


def fold_backwards(report: Report, events: list[Event]) -> dict[tuple[str, int], Any]:
    """Every window of a report, its events taken in the other order."""
    folds: dict[tuple[str, int], Accumulator] = {}
    for event in reversed(events):
        for size, length in SIZES.items():
            if not report.actions or event.action in report.actions:
                key = (size, event.time // length * length)
                folds.setdefault(key, report.begin()).add([event])
    return {
        (size, start): {
            encode_series(report.name, sorted({**tags, "window": size}.items())): fields
            for tags, fields in rows
        }
        for (size, start), fold in folds.items()
        if (rows := list(fold.rows()))
    }


def check(world: World, events: list[Event]) -> None:
    """What a reader sees is what the definitions say."""
    seen = {
        (f.subject, f.first, f.last, f.count, frozenset(f.users), frozenset(f.hosts))
        for f in world.findings()
    }
    stored = [event_of_point(point) for point in world.events.read("events", 0, 2**62)]
    assert len(stored) == len(events)
    assert seen == expect_findings(stored)
    assert len(world.findings()) == len(seen)
    assert world.windows() == expect_windows(stored)
    for report in REPORTS:
        assert world.windows(report.name) == fold_backwards(report, stored)


@settings(max_examples=tries(150))
@given(st.lists(EVENTS, max_size=40), STEPS, st.data())
def test_path_does_not_matter(events: list[Event], steps: list[str], data: st.DataObject) -> None:
    """Any order, any lateness, looks and kills anywhere: readers see the same in the end."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        play(world, events, steps, data)
        check(world, events)


@settings(max_examples=tries(50))
@given(st.lists(EVENTS, max_size=40))
def test_looking_again_writes_nothing(events: list[Event]) -> None:
    """Once everything is worked off, no further look, start or repetition adds a row."""
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        world.append(events)
        world.finish()
        written = [world.rows(name) for name in MEASUREMENTS]
        world.run_cycle(everything=True)
        world.restart()
        world.finish()
        world.backfill(MIDNIGHT - DAY, MIDNIGHT + 2 * DAY)
        world.name = "another file"
        world.restart()
        world.finish()
        assert [world.rows(name) for name in MEASUREMENTS] == written


@settings(max_examples=tries(50))
@given(st.lists(EVENTS, max_size=40), st.data())
def test_rows_are_never_rewritten(events: list[Event], data: st.DataObject) -> None:
    """What was written once stands: rows are only added."""
    waiting = data.draw(st.permutations(events))
    before: dict[str, list[tuple[int, str]]] = {name: [] for name in MEASUREMENTS}
    with tempfile.TemporaryDirectory() as folder, World(Path(folder)) as world:
        while waiting:
            taken = data.draw(st.integers(1, len(waiting)))
            world.append(waiting[:taken])
            waiting = waiting[taken:]
            world.finish()
            for measurement, rows in before.items():
                now = world.rows(measurement)
                assert set(rows) <= set(now)
                before[measurement] = now
        check(world, events)


SMALL = FindingsConfig(
    baseline=BaselineConfig(Duration("2d"), Duration("1d"), 2),
    brute_force=BruteForceConfig(4, Duration("3m")),
    slow_brute_force=SlowBruteForceConfig(2, Duration("3h")),
    success_after_failures=SuccessAfterFailuresConfig(2, Duration("5m")),
    spraying=SprayingConfig(2, Duration("10m")),
    distributed=DistributedConfig(2, Duration("10m")),
    sweep=SweepConfig(2, Duration("10m")),
    new_network=NewNetworkConfig(most=2),
    new_host=NewHostConfig(most=2),
    unusual_hour=UnusualHourConfig(2, 0.2),
    first_sudo=FirstSudoConfig(2),
    new_account_login=NewAccountLoginConfig(Duration("1h")),
    session=SessionConfig(Duration("1d")),
)
USERS = st.sampled_from(["root", "alice", "bob"])


def times(days: st.SearchStrategy[int], minutes: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    """Times around midnight and on the days around it."""
    return st.builds(
        lambda day, minute, second: MIDNIGHT + day * DAY + minute * MINUTE + second * SECOND,
        days,
        minutes,
        st.sampled_from([0, 30]),
    )


ANY_TIME = times(st.integers(-3, 3), st.integers(-4, 4) | st.integers(0, 1439))
CLOSE = times(st.sampled_from([0, 0, 0, 1]), st.integers(-2, 2) | st.sampled_from([-90, -9, 9, 90]))
DAILY = times(st.integers(-3, 3), st.sampled_from([0, 60, 61, 720]))
METHOD = st.sampled_from(["password", "publickey"])


def happening(
    action: str, outcomes: list[str], time: st.SearchStrategy[int] = ANY_TIME, **fields: Any
) -> st.SearchStrategy[Event]:
    """Events of one kind."""
    return st.builds(
        login,
        time,
        st.sampled_from(["192.0.2.1", "198.51.100.1", "2001:db8::1"]),
        action=st.just(action),
        outcome=st.sampled_from(outcomes),
        host=st.sampled_from(["web1", "web1", "db1"]),
        pid=st.integers(1, 2),
        **{"user": USERS, "method": METHOD if action == "login" else st.just("")} | fields,
    )


OTHERS = st.one_of(
    happening("login", ["success", "failure"]),
    happening("session_open", ["success"]),
    happening("session_close", ["success"]),
    happening("host_start", ["success"], program=st.just("kernel")),
    happening(
        "privilege",
        ["success", "failure"],
        program=st.just("su"),
        target_user=st.just("root"),
        reason=st.sampled_from(["", "bad_credential"]),
    ),
    happening("privilege", ["failure"], program=st.just("sudo"), reason=st.just("not_in_sudoers")),
    happening("account_create", ["success"], target_user=USERS, user=st.none()),
    happening("member_add", ["success"], target_user=USERS, object=st.just("wheel")),
    happening("password_change", ["success"], target_user=USERS),
)
EVERYTHING = st.builds(
    lambda *parts: [event for part in parts for event in part],
    st.lists(happening("login", ["failure"], CLOSE), max_size=12),
    st.lists(happening("login", ["failure", "success"], CLOSE), max_size=6),
    st.lists(happening("login", ["success"], DAILY), max_size=20),
    st.lists(happening("privilege", ["success"], DAILY, program=st.just("sudo")), max_size=10),
    st.lists(OTHERS, max_size=15),
)


@settings(max_examples=tries(100), deadline=None)
@given(EVERYTHING, STEPS, st.data())
def test_path_does_not_matter_to_any_rule(
    events: list[Event], steps: list[str], data: st.DataObject
) -> None:
    """Every rule finds what it finds when all events come in order and are looked at once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as other,
        World(Path(folder), rules=rules_of(SMALL), reports=[]) as world,
        World(Path(other), rules=rules_of(SMALL), reports=[]) as straight,
    ):
        play(world, events, steps, data)
        straight.append(event_of_point(p) for p in world.events.read("events", 0, 2**62))
        straight.finish()
        assert world.findings() == straight.findings()

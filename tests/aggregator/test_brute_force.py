"""Brute force: what is an episode, and what is told of it."""

from pathlib import Path

import pytest

from heptad.aggregator.detection.facts import MOST_NAMES, EventBatch, Facts, facts_of, merge
from heptad.aggregator.detection.finding import DAY as STORED_DAY
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.detection.threshold import severity_of
from heptad.core.config.findings import BruteForceConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, World, login

NOON = MIDNIGHT + 12 * HOUR


def find(*events: Event, attempts: int = 5, span: str = "10m") -> list[tuple[int, int, int]]:
    """First, last and attempts of each episode."""
    rule = BruteForce(BruteForceConfig(attempts, Duration(span)))
    cells: dict[int, Facts] = {}
    for event in events:
        minute = event.time // MINUTE
        cells[minute] = rule.add(cells.get(minute), EventBatch([(event, facts_of(event))]))
    chain = rule.detector()
    for minute in sorted(cells):
        chain.add(minute, cells[minute])
    return [(f.first, f.last, f.count) for f in chain.findings("192.0.2.1")]


def test_days_are_days() -> None:
    """A finding's day is a UTC day."""
    assert STORED_DAY == DAY


def test_enough_attempts_within_the_span() -> None:
    """Five within ten minutes are a finding, four are none, however they fall on the clock."""
    for offset in range(0, 60, 7):
        begin = NOON + offset * SECOND
        times = [begin + n * 149 * SECOND for n in range(5)]
        assert find(*map(login, times)) == [(times[0], times[-1], 5)]
        assert find(*map(login, times[:4])) == []


def test_attempts_far_apart_are_none() -> None:
    """Five attempts over half an hour are not within ten minutes."""
    assert find(*[login(NOON + n * 7 * MINUTE) for n in range(5)]) == []


def test_folded_lines_count_as_often_as_they_came() -> None:
    """`message repeated 5 times` is five attempts."""
    assert find(login(NOON, count=5)) == [(NOON, NOON, 5)]


def test_goes_on_while_spans_touch() -> None:
    """An attack with short breaks is one episode, one after a long pause is another."""
    burst = [login(NOON + n * SECOND) for n in range(5)]
    straggler = login(NOON + 9 * MINUTE)
    second = [login(NOON + 40 * MINUTE + n * SECOND) for n in range(5)]
    assert find(*burst, straggler, *second) == [
        (NOON, NOON + 9 * MINUTE, 6),
        (second[0].time, second[-1].time, 5),
    ]


def test_is_cut_at_midnight_where_both_sides_stand_alone() -> None:
    """An attack over three days is three findings, none longer than its day."""
    minutes = range(-3 * 60, 27 * 60)
    found = find(*[login(MIDNIGHT + minute * MINUTE) for minute in minutes])
    assert found == [
        (MIDNIGHT - 3 * HOUR, MIDNIGHT - MINUTE, 180),
        (MIDNIGHT, MIDNIGHT + DAY - MINUTE, 1440),
        (MIDNIGHT + DAY, MIDNIGHT + 27 * HOUR - MINUTE, 180),
    ]


@pytest.mark.parametrize("before, after", [(3, 3), (2, 8), (8, 2)])
def test_midnight_does_not_hide_an_attack(before: int, after: int) -> None:
    """A side of midnight that is too small for itself stays with the other one."""
    events = [login(MIDNIGHT - (n + 1) * SECOND) for n in range(before)]
    events += [login(MIDNIGHT + n * SECOND) for n in range(after)]
    first, last = MIDNIGHT - before * SECOND, MIDNIGHT + (after - 1) * SECOND
    assert find(*events) == [(first, last, before + after)]


def test_names_are_bounded_whatever_the_order() -> None:
    """Of ten thousand names tried the first ones by name are kept, and that there were more."""
    rule = BruteForce(BruteForceConfig())
    cells = [facts_of(login(NOON + n, user=f"u{n:05}", host=f"h{n:05}")) for n in range(200)]
    forward, backward = cells[0], cells[-1]
    for cell in cells[1:]:
        forward = merge([forward, cell])
    for cell in reversed(cells[:-1]):
        backward = merge([cell, backward])
    assert forward == backward == merge(cells) == merge(cells[::-1])
    assert forward == merge([merge(cells[100:]), merge(cells[50:100]), merge(cells[:50])])
    found = rule.to_finding("192.0.2.1", 0, forward)
    assert found.users == tuple(f"u{n:05}" for n in range(MOST_NAMES))
    assert (found.more, found.count) == (("users", "hosts"), 200)


@pytest.mark.parametrize(
    "attempts, severity", [(5, "low"), (49, "low"), (50, "medium"), (499, "medium"), (500, "high")]
)
def test_severity_follows_the_attempts(attempts: int, severity: str) -> None:
    """Tenfold the threshold is medium, a hundredfold high."""
    assert severity_of(attempts, 5) == severity


def test_tells_what_happened(tmp_path: Path) -> None:
    """A finding carries subject, span, names, evidence, technique and a sentence."""
    with World(tmp_path) as world:
        users = ["root", "admin", "", "a b", "zoe"]
        world.append(
            [
                login(NOON + n * MINUTE // 2, user=user, host=f"web{n % 2}")
                for n, user in enumerate(users)
            ]
        )
        world.finish()
        (finding,) = world.findings()
        assert finding.sentence == (
            "Brute force · 192.0.2.1 → (no name), a b, admin and 2 others on web0 and web1 · "
            "5 failed logins within 2 minutes"
        )
        assert (finding.subject, finding.technique, finding.severity) == (
            "192.0.2.1",
            "T1110",
            "low",
        )
        assert finding.users == tuple(sorted(users))
        assert finding.first_event == (
            "events,host=web0,source=auth,program=sshd,action=login,outcome=failure,"
            f"method=password {NOON}"
        )
        (point,) = world.reports.read("findings", 0, 2**62)
        assert point.tags == {"rule": "brute_force", "severity": "low"}
        assert point.time == NOON
        assert point.fields["users_number"] == 5


def test_only_what_has_an_address_can_be_a_finding(tmp_path: Path) -> None:
    """Attempts without an address, with a mere name, that succeeded or were no login count for none."""
    with World(tmp_path) as world:
        for n in range(20):
            world.append(
                [
                    login(NOON + n, address=None),
                    login(NOON + n, address=None, source_domain="evil.example"),
                    login(NOON + n, outcome="success"),
                    login(NOON + n, action="offer"),
                    login(NOON + n, action="authentication"),
                ]
            )
        world.finish()
        assert world.findings() == []

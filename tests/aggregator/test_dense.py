"""Episodes: a day's findings follow from that day and two spans around it."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.aggregator.detection.finding import SHORT
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.detection.rules.slow_brute_force import SlowBruteForce
from heptad.aggregator.detection.rules.spraying import Spraying
from heptad.aggregator.detection.threshold import ThresholdRule
from heptad.core.config.findings import BruteForceConfig, SlowBruteForceConfig, SprayingConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import DAY, MIDNIGHT, MINUTE, find, login
from tests.support.effort import tries

RULES = [
    BruteForce(BruteForceConfig(5, Duration("6h"))),
    SlowBruteForce(SlowBruteForceConfig(5, Duration("12h"))),
    SlowBruteForce(SlowBruteForceConfig(2, Duration("12h"))),
    Spraying(SprayingConfig(3, Duration("6h"))),
]


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=tries(150))
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=80),
    st.integers(0, 2000),
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=80, max_size=80),
)
def test_day_follows_from_what_lies_around_it(
    rule: ThresholdRule, pauses: list[int], begin: int, users: list[str]
) -> None:
    """What is found of a day does not depend on when an attack of many days began."""
    times = [MIDNIGHT + begin * MINUTE]
    for pause in pauses:
        times.append(times[-1] + pause * MINUTE)
    events = [login(time, user=user) for time, user in zip(times, users, strict=False)]
    whole = find(rule, *events)
    assert all(finding.last - finding.first < SHORT for finding in whole)
    for day in {event.time // DAY for event in events}:
        since, until = day * DAY - rule.before * MINUTE, (day + 1) * DAY + rule.after * MINUTE
        near = find(rule, *[event for event in events if since <= event.time < until])
        assert [f for f in near if f.day == day] == [f for f in whole if f.day == day]


@pytest.mark.parametrize("pause", range(120, 420, 15))
def test_even_pace_over_many_days(pause: int) -> None:
    """Nor does it where each day has just too little, or just enough, by itself."""
    rule = RULES[1]
    events = [login(MIDNIGHT + n * pause * MINUTE) for n in range(9 * 1440 // pause)]
    whole = find(rule, *events)
    assert all(finding.last - finding.first < SHORT for finding in whole)
    for day in range(MIDNIGHT // DAY, MIDNIGHT // DAY + 9):
        since, until = day * DAY - rule.before * MINUTE, (day + 1) * DAY + rule.after * MINUTE
        near = find(rule, *[event for event in events if since <= event.time < until])
        assert [f for f in near if f.day == day] == [f for f in whole if f.day == day]


BRIEF = [
    (BruteForce(BruteForceConfig(3, Duration("30m"))), len),
    (
        SlowBruteForce(SlowBruteForceConfig(3, Duration("5h"))),
        lambda own: len({at(e, 60) for e in own}),
    ),
    (Spraying(SprayingConfig(3, Duration("1h"))), lambda own: len({e.user for e in own})),
]


def at(event: Event, unit: int) -> int:
    """The unit of so many minutes in which the event lies."""
    return event.time // (unit * MINUTE)


def define(
    rule: ThresholdRule, amount: Callable[[list[Event]], int], events: list[Event]
) -> list[int]:
    """How many events each episode has: by the definition, span by span."""
    spans: list[list[int]] = []
    for last in sorted({at(event, rule.unit) for event in events}):
        first = last - rule.width + 1
        own = [event for event in events if first <= at(event, rule.unit) <= last]
        if amount(own) >= rule.threshold:
            if not spans or first > spans[-1][1] + 1:
                spans.append([first, last])
            spans[-1][1] = last
    return [sum(a <= at(event, rule.unit) <= b for event in events) for a, b in spans]


@pytest.mark.parametrize("rule, amount", BRIEF)
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", "c", "d"])),
        min_size=1,
        max_size=30,
    )
)
def test_episode_is_every_span_with_enough(
    rule: ThresholdRule, amount: Callable[[list[Event]], int], attempts: list[tuple[int, str]]
) -> None:
    """Spans with enough that touch are one episode, which has all that lies in them."""
    time, events = MIDNIGHT, []
    for pause, user in attempts:
        time += pause * MINUTE
        events.append(login(time, user=user))
    assert [finding.count for finding in find(rule, *events)] == define(rule, amount, events)


@pytest.mark.parametrize("rule", RULES)
def test_minutes_before_1970(rule: ThresholdRule) -> None:
    """An episode is found wherever the minutes lie that it is counted in."""
    events = [login(n * 50 * MINUTE, user=str(n)) for n in range(-24, 24)]
    late = [login(MIDNIGHT + n * 50 * MINUTE, user=str(n)) for n in range(-24, 24)]
    counts = [finding.count for finding in find(rule, *late)]
    assert counts == [finding.count for finding in find(rule, *events)] != []

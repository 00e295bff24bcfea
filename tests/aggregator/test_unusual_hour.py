"""A user logged in at an hour that is unusual for him."""

import pytest

from heptad.aggregator.detection.rules.unusual_hour import UnusualHour
from heptad.core.config.findings import BaselineConfig, UnusualHourConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import DAY, HOUR, MIDNIGHT, MINUTE, find, happen

RULE = UnusualHour(
    BaselineConfig(Duration("28d"), Duration("7d"), 5),
    UnusualHourConfig(hours=20, probability=0.05),
)


def enter(day: int, hour: int, minute: int = 0, user: str = "alice") -> Event:
    """A login."""
    return happen("login", MIDNIGHT + day * DAY + hour * HOUR + minute * MINUTE, user=user)


OFFICE = [enter(day, hour) for day in range(10) for hour in (8, 12, 16)]


def test_night_of_who_works_at_day() -> None:
    """After ten days of office hours a login at three in the night is told."""
    (found,) = find(RULE, *OFFICE, enter(10, 3))
    assert (found.subject, found.first, found.severity) == ("alice", enter(10, 3).time, "low")
    assert found.sentence == (
        "Login at an unusual hour · 192.0.2.1 → alice@web1 · 1 login, at an unusual hour of the "
        "day for this user"
    )


@pytest.mark.parametrize("hour", [7, 8, 9, 11, 13, 15, 17])
def test_an_hour_more_or_less_is_usual(hour: int) -> None:
    """The hours beside the usual ones are usual: clocks change, and people are late."""
    assert find(RULE, *OFFICE, enter(10, hour)) == []


def test_the_day_is_a_circle() -> None:
    """Who logs in before midnight may do so after midnight."""
    late = [enter(day, 23, minute) for day in range(25) for minute in (0, 30)]
    assert find(RULE, *late, enter(25, 0)) == []
    assert len(find(RULE, *late, enter(25, 2))) == 1


def test_little_history_tells_nothing() -> None:
    """A few hours, a few days, or another user's hours are no habit."""
    assert find(RULE, *OFFICE[:18], enter(6, 3)) == []
    assert find(RULE, *[enter(day, 8) for day in range(10)], enter(10, 3)) == []
    assert find(RULE, *OFFICE, enter(10, 3, user="bob")) == []


def test_new_habit_is_learned() -> None:
    """Who logs in every night is told of at first only."""
    nights = [enter(10 + n, 3) for n in range(10)]
    found = find(RULE, *OFFICE, *nights)
    assert [f.first for f in found] == [event.time for event in nights[:1]]

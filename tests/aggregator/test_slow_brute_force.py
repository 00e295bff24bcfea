"""Slow brute force: failures in many hours of a day."""

from heptad.aggregator.detection.rules.slow_brute_force import SlowBruteForce
from heptad.core.config.findings import SlowBruteForceConfig
from heptad.core.config.types import Duration
from tests.support.aggregator_rule import HOUR, MINUTE, NOON, find, login

RULE = SlowBruteForce(SlowBruteForceConfig(hours=5, span=Duration("12h")))


def test_one_failure_an_hour_is_enough() -> None:
    """Five hours with a failure each are a finding, however far from a brute force."""
    found = find(RULE, *[login(NOON + n * 2 * HOUR) for n in range(5)])
    assert [(f.subject, f.first, f.last, f.count) for f in found] == [
        ("192.0.2.1", NOON, NOON + 8 * HOUR, 5)
    ]
    assert found[0].sentence == (
        "Slow brute force · 192.0.2.1 → root@web1 · 5 failed logins within 8 hours"
    )


def test_burst_is_not_slow() -> None:
    """A thousand failures within four hours are in too few hours."""
    assert find(RULE, *[login(NOON + n * MINUTE // 5) for n in range(1000)]) == []


def test_hours_of_different_days_do_not_count_together() -> None:
    """Four hours today and one the day after tomorrow are not within half a day."""
    events = [login(NOON + n * HOUR) for n in (0, 1, 2, 3, 48)]
    assert find(RULE, *events) == []

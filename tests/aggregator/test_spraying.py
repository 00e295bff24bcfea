"""Spraying: one address that tries many users."""

from pathlib import Path

from heptad.aggregator.detection.rules.spraying import Spraying
from heptad.aggregator.reports import REPORTS
from heptad.core.config.findings import SprayingConfig
from heptad.core.config.types import Duration
from tests.support.aggregator_rule import MINUTE, NOON, find, login
from tests.support.aggregator_world import World

RULE = Spraying(SprayingConfig(users=10, span=Duration("1h")))


def test_many_users_from_one_address() -> None:
    """Ten names within an hour are a finding; it names them."""
    events = [login(NOON + n * 6 * MINUTE, user=f"user{n}") for n in range(10)]
    (found,) = find(RULE, *events)
    assert (found.subject, found.severity, found.technique) == ("192.0.2.1", "low", "T1110.003")
    assert found.users == tuple(f"user{n}" for n in range(10))
    assert found.sentence.startswith(
        "One address on many users · 192.0.2.1 → user0, user1, user2 and 7 others"
    )
    assert find(RULE, *events[:9]) == []


def test_one_user_many_times_is_another_rule() -> None:
    """A thousand tries as one user are no spraying."""
    assert find(RULE, *[login(NOON + n * 10**9) for n in range(1000)]) == []


def test_list_of_names_is_more_severe() -> None:
    """More names than are kept is medium, and the finding says that there are more."""
    (found,) = find(RULE, *[login(NOON + n * 10**9, user=f"u{n:03}") for n in range(60)])
    assert (found.severity, found.more, len(found.users)) == ("medium", ("users",), 50)


def test_long_names_stay_different(tmp_path: Path) -> None:
    """Ten names of 300 characters that differ at the end are ten; what is cut is marked."""
    events = [login(NOON + n * MINUTE, user=f"{'n' * 300}{n}") for n in range(10)]
    (found,) = find(RULE, *events)
    assert len(set(found.users)) == 10
    assert f"→ {'n' * 39}…, {'n' * 39}…, {'n' * 39}… and 7 others on" in found.sentence
    with World(tmp_path, rules=[RULE], reports=REPORTS) as world:
        world.append(events)
        world.finish()
        (window,) = [
            rows for (size, _), rows in world.windows("report_distinct").items() if size == "1d"
        ]
        assert {row["users"] for row in window.values()} == {10}

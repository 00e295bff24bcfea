"""Success after failures: a login from an address that failed before."""

import pytest

from heptad.aggregator.detection.rules.success_after_failures import SuccessAfterFailures
from heptad.core.config.findings import SuccessAfterFailuresConfig
from heptad.core.config.types import Duration
from tests.support.aggregator_rule import HOUR, MINUTE, NOON, find, happen, login

RULE = SuccessAfterFailures(SuccessAfterFailuresConfig(failures=5, span=Duration("1h")))
FAILURES = [login(NOON + n * MINUTE) for n in range(5)]


def test_login_after_failures() -> None:
    """The login is the finding; the failures are its evidence."""
    (found,) = find(RULE, *FAILURES, happen("login", NOON + 6 * MINUTE, method="password"))
    assert (found.subject, found.severity, found.count) == ("192.0.2.1", "medium", 6)
    assert (found.first, found.last) == (NOON + 6 * MINUTE, NOON + 6 * MINUTE)
    assert found.sentence == (
        "Login after failed attempts · 192.0.2.1 → root@web1 · 5 failed logins, then 1 login, "
        "within 6 minutes"
    )
    assert [time for time, _ in found.evidence[:5]] == [event.time for event in FAILURES]


@pytest.mark.parametrize("method", ["publickey", "hostbased", "gssapi"])
def test_key_is_not_guessed(method: str) -> None:
    """A login by key after failed passwords tells of no guess that was right."""
    assert find(RULE, *FAILURES, happen("login", NOON + 6 * MINUTE, method=method)) == []


def test_too_few_too_long_ago_or_from_elsewhere() -> None:
    """Four failures, failures hours ago and those of another address are none."""
    success = happen("login", NOON + 6 * MINUTE, method="password")
    assert find(RULE, *FAILURES[1:], success) == []
    assert find(RULE, *FAILURES, happen("login", NOON + 2 * HOUR, method="password")) == []
    assert find(RULE, *FAILURES, happen("login", NOON + HOUR, source_ip="192.0.2.9")) == []
    assert find(RULE, success, *[login(NOON + HOUR + n) for n in range(5)]) == []


def test_severity() -> None:
    """Several users tried, or ten times as many failures, is no mistyped password."""
    success = happen("login", NOON + 6 * MINUTE, method="password")
    many = [login(NOON + n * 10**9) for n in range(50)]
    others = [login(NOON + MINUTE, user="admin")]
    assert [f.severity for f in find(RULE, *many, success)] == ["high"]
    assert [f.severity for f in find(RULE, *FAILURES, *others, success)] == ["high"]


def test_logins_close_together_are_one_finding() -> None:
    """Each failure counts once, however many logins follow."""
    logins = [happen("login", NOON + n * MINUTE, method="password") for n in (6, 7, 30)]
    (found,) = find(RULE, *FAILURES, *logins)
    assert (found.count, found.last) == (8, NOON + 30 * MINUTE)


def test_who_got_in_comes_first() -> None:
    """The account is not lost among the names that were tried, also where there are very many."""
    tried = [login(NOON + n * 10**9, user=f"a{n:03}") for n in range(70)]
    won = happen("login", NOON + 6 * MINUTE, user="zoe", method="password", host="web9")
    (found,) = find(RULE, *tried, won)
    assert found.users[:3] == ("zoe", "a000", "a001")
    assert found.hosts == ("web9", "web1")
    assert "users" in found.more
    assert found.sentence == (
        "Login after failed attempts · 192.0.2.1 → zoe@web9 · 70 failed logins as a000, a001, a002 "
        "and 47 or more others, then 1 login as zoe, within 6 minutes"
    )


def test_sentence_spans_all_that_it_counts() -> None:
    """The failures between two logins are told with the time from the first failure on."""
    logins = [happen("login", NOON + n * MINUTE, method="password") for n in (6, 46)]
    (found,) = find(RULE, *FAILURES, login(NOON + 45 * MINUTE), *logins)
    assert found.sentence == (
        "Login after failed attempts · 192.0.2.1 → root@web1 · 5 failed logins before the first "
        "of 2 logins, 6 in all, within 46 minutes"
    )

"""Login of an account that was created shortly before."""

from heptad.aggregator.detection.rules.new_account_login import NewAccountLogin
from heptad.core.config.findings import NewAccountLoginConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import DAY, HOUR, NOON, find, happen

RULE = NewAccountLogin(NewAccountLoginConfig(span=Duration("1d")))


def create(time: int, name: str = "eve") -> Event:
    """An account is created."""
    return happen("account_create", time, user=None, target_user=name, program="useradd")


def enter(time: int, name: str = "eve") -> Event:
    """A login."""
    return happen("login", time, user=name, method="password")


def test_first_login_of_a_new_account() -> None:
    """The first login is told, with when and where the account was created; later ones are not."""
    (found,) = find(RULE, create(NOON), enter(NOON + HOUR), enter(NOON + 5 * HOUR))
    assert (found.subject, found.severity, found.count) == ("eve", "medium", 2)
    assert found.sentence == (
        "Login of a new account · 192.0.2.1 → eve@web1 · 1 login; the account was created on web1 "
        "at most 60 minutes before"
    )


def test_old_and_other_accounts() -> None:
    """A login two days later, before, or as somebody else is none."""
    assert find(RULE, create(NOON), enter(NOON + 2 * DAY)) == []
    assert find(RULE, enter(NOON - HOUR), create(NOON)) == []
    assert find(RULE, create(NOON, "adam"), enter(NOON + HOUR)) == []


def test_account_that_is_created_again() -> None:
    """A name that was deleted and created again is new again."""
    events = [create(NOON), enter(NOON + HOUR), create(NOON + 3 * HOUR), enter(NOON + 4 * HOUR)]
    assert [f.first for f in find(RULE, *events)] == [NOON + HOUR, NOON + 4 * HOUR]

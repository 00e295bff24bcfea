"""A user logged in on a host that is new for him."""

from heptad.aggregator.detection.rules.new_host import NewHost
from heptad.core.config.findings import BaselineConfig, NewHostConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import DAY, NOON, find, happen

RULE = NewHost(BaselineConfig(Duration("28d"), Duration("7d"), 5), NewHostConfig(most=3))


def enter(time: int, host: str = "web1", user: str = "alice") -> Event:
    """A login."""
    return happen("login", time, user=user, host=host)


HISTORY = [enter(NOON + day * DAY) for day in range(8)]


def test_new_host_of_a_known_user() -> None:
    """After a week on one host, a login on another is told."""
    (found,) = find(RULE, *HISTORY, enter(NOON + 8 * DAY, "db1"))
    assert (found.subject, found.hosts) == ("alice", ("db1",))
    assert found.sentence == (
        "First login on a host · 192.0.2.1 → alice@db1 · 1 login, none there in the 28 days before"
    )


def test_known_hosts_and_new_users() -> None:
    """A host that is known, and a user who is not, are not told."""
    assert find(RULE, *HISTORY, enter(NOON + 8 * DAY)) == []
    assert find(RULE, *HISTORY, enter(NOON + 8 * DAY, "db1", user="bob")) == []


def test_automation_is_not_told_of() -> None:
    """A user who goes to ever new hosts is told of until there are too many."""
    tour = [enter(NOON + (8 + n) * DAY, f"db{n}") for n in range(6)]
    assert [f.hosts for f in find(RULE, *HISTORY, *tour)] == [("db0",), ("db1",), ("db2",)]

"""A user used sudo who never did."""

from heptad.aggregator.detection.rules.first_sudo import FirstSudo
from heptad.core.config.findings import BaselineConfig, FirstSudoConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import DAY, NOON, find, happen

RULE = FirstSudo(BaselineConfig(Duration("28d"), Duration("7d"), 5), FirstSudoConfig(most=3))


def sudo(time: int, user: str = "alice", **fields: object) -> Event:
    """A use of sudo."""
    known = {"program": "sudo", "user": user, "target_user": "root", "object": "/bin/id"}
    return happen("privilege", time, **{**known, **fields})


LOGINS = [happen("login", NOON + day * DAY) for day in range(8)]
HISTORY = [sudo(NOON + day * DAY) for day in range(8)]


def test_first_sudo_on_a_known_host() -> None:
    """On a host that is known for a week, by logins or by sudo, who is new to sudo is told."""
    for history in (LOGINS, HISTORY):
        (found,) = find(RULE, *history, sudo(NOON + 8 * DAY, "bob"))
        assert (found.subject, found.users, found.objects) == ("web1", ("bob",), ("/bin/id",))
        assert found.sentence == (
            "First sudo of a user · bob@web1 · 1 command by sudo, none in the 28 days before: "
            "/bin/id"
        )


def test_known_users_and_new_hosts() -> None:
    """Who used sudo before, and a host that is new itself, are not told."""
    assert find(RULE, *HISTORY, sudo(NOON + 8 * DAY)) == []
    assert find(RULE, *HISTORY, sudo(NOON + 8 * DAY, "bob", host="db1")) == []
    assert find(RULE, sudo(NOON), sudo(NOON + DAY, "bob")) == []


def test_refused_sudo_and_other_programs_are_none() -> None:
    """Only what sudo did counts."""
    assert find(RULE, *HISTORY, sudo(NOON + 8 * DAY, "bob", outcome="failure")) == []
    assert find(RULE, *HISTORY, sudo(NOON + 8 * DAY, "bob", program="su")) == []

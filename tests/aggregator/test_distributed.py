"""Distributed: one user who is tried from many addresses."""

from heptad.aggregator.detection.rules.distributed import Distributed
from heptad.core.config.findings import DistributedConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_rule import MINUTE, NOON, find, login

RULE = Distributed(DistributedConfig(addresses=20, span=Duration("1h")))


def tries(number: int, **fields: object) -> list[Event]:
    """One failure from each of so many addresses."""
    return [login(NOON + n * 2 * MINUTE, f"192.0.2.{n}", **fields) for n in range(number)]


def test_one_user_from_many_addresses() -> None:
    """Twenty addresses within an hour are a finding about the user."""
    (found,) = find(RULE, *tries(20, user="alice"))
    assert (found.subject, found.severity, found.count) == ("alice", "medium", 20)
    assert len(found.addresses) == 20
    assert find(RULE, *tries(19, user="alice")) == []


def test_everybody_tries_root() -> None:
    """For root it is what every host on the internet sees."""
    assert [f.severity for f in find(RULE, *tries(20, user="root"))] == ["low"]


def test_no_account_is_not_attacked() -> None:
    """A name that is no account's, an empty one, and failures without an address do not count."""
    assert find(RULE, *tries(30, user="oracle", reason="invalid_user")) == []
    assert find(RULE, *tries(30, user="")) == []
    assert (
        find(RULE, *[login(NOON + n, None, user="alice", tty=f"tty{n}") for n in range(30)]) == []
    )

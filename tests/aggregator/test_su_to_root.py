"""A user became root by su."""

from heptad.aggregator.detection.rules.su_to_root import SuToRoot
from heptad.core.event import Event
from tests.support.aggregator_rule import MINUTE, NOON, find, happen

RULE = SuToRoot()


def switch(time: int, **fields: object) -> Event:
    """A su to root."""
    known = {"program": "su", "user": "alice", "target_user": "root", "source_ip": None}
    return happen("privilege", time, **{**known, **fields})


def test_su_to_root() -> None:
    """Who did it, where, how often, and whether it was refused once."""
    refused = switch(NOON, outcome="failure", reason="bad_credential")
    (found,) = find(RULE, refused, switch(NOON + MINUTE))
    assert (found.subject, found.severity, found.targets) == ("alice", "low", ("root",))
    assert found.sentence == (
        "Su to root · alice → root@web1 · 2 attempts within 1 minute, at least one was refused"
    )


def test_other_ways() -> None:
    """Root's own su, a su to somebody else, and sudo are not told."""
    assert find(RULE, switch(NOON, user="root")) == []
    assert find(RULE, switch(NOON, target_user="bob")) == []
    assert find(RULE, switch(NOON, program="sudo")) == []

"""Sudo refused a user."""

import pytest

from heptad.aggregator.detection.rules.sudo_refused import SudoRefused
from heptad.core.event import Event
from tests.support.aggregator_rule import MINUTE, NOON, find, login

RULE = SudoRefused()


def refuse(time: int, reason: str, **fields: object) -> Event:
    """A refusal."""
    known = {"action": "privilege", "program": "sudo", "user": "eve", "target_user": "root"}
    return login(time, None, **{**known, "method": "", "reason": reason, **fields})


@pytest.mark.parametrize(
    "reason, severity",
    [("not_in_sudoers", "medium"), ("command_not_allowed", "medium"), ("bad_credential", "low")],
)
def test_severity_follows_who_refused(reason: str, severity: str) -> None:
    """What the policy forbids is more than a mistyped password."""
    (found,) = find(RULE, refuse(NOON, reason), refuse(NOON + MINUTE, reason))
    assert (found.subject, found.severity, found.count) == ("eve", severity, 2)
    assert found.sentence == (
        "Sudo refused · eve → root@web1 · 2 refusals within 1 minute by sudo: "
        f"{reason.replace('_', ' ')}"
    )


def test_su_is_another_rule() -> None:
    """A refusal of another program is not told here."""
    assert find(RULE, refuse(NOON, "bad_credential", program="su")) == []

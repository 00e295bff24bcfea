"""An account or a group was changed."""

from heptad.aggregator.detection.rules.account_change import AccountChange
from heptad.core import event as vocabulary
from tests.support.aggregator_rule import MINUTE, NOON, find, happen

RULE = AccountChange()


def test_what_was_done_to_an_account() -> None:
    """All that is done to one account at once is one finding: who, what, whom, with what."""
    known = {"user": "adm1", "target_user": "eve", "source_ip": None}
    (found,) = find(
        RULE,
        happen("account_create", NOON, **known, program="useradd", object="UID=1001"),
        happen("account_modify", NOON + MINUTE, **known, program="usermod"),
    )
    assert (found.subject, found.severity) == ("eve", "low")
    assert found.sentence == (
        "Account created and account changed · adm1 → eve@web1 · 2 changes within 1 minute with "
        "useradd and usermod: UID=1001"
    )


def test_membership_of_power() -> None:
    """Becoming a member of sudo or wheel is medium, of another group low."""
    for group, severity in {"sudo": "medium", "wheel": "medium", "music": "low"}.items():
        event = happen("member_add", NOON, user=None, target_user="eve", object=group)
        assert [(f.severity, f.objects) for f in find(RULE, event)] == [(severity, (group,))]


def test_group() -> None:
    """A group that no account is named with is the subject itself."""
    (found,) = find(RULE, happen("group_create", NOON, user=None, object="staff"))
    assert found.subject == "staff"
    assert found.sentence.startswith("Group created · staff@web1 · 1 change with")


def test_every_change_is_looked_at() -> None:
    """No action of the vocabulary that changes an account or a group is left out."""
    changes = {a for a in vocabulary.ACTIONS if a.startswith(("account_", "group_", "member_"))}
    assert set(RULE.filter["action"]) == changes

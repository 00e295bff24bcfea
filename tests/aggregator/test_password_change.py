"""A password was changed."""

from heptad.aggregator.detection.rules.password_change import PasswordChange
from heptad.core.event import Event
from tests.support.aggregator_rule import NOON, find, happen

RULE = PasswordChange()


def change(**fields: object) -> Event:
    """A password is changed."""
    return happen("password_change", NOON, **{"program": "passwd", "user": None, **fields})


def test_whose_password() -> None:
    """The finding is about whose password it is, and tells who changed it."""
    (found,) = find(RULE, change(user="root", target_user="eve"))
    assert (found.subject, found.severity) == ("eve", "low")
    assert found.sentence == ("Password changed · root → eve@web1 · 1 change with passwd")


def test_password_of_root() -> None:
    """Root's password is worth a look today."""
    assert [f.severity for f in find(RULE, change(target_user="root"))] == ["medium"]


def test_refused_change() -> None:
    """What was not changed is not told."""
    assert find(RULE, change(target_user="eve", outcome="failure")) == []

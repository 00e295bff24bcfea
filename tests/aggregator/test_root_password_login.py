"""Root logged in by password."""

import pytest

from heptad.aggregator.detection.rules.root_password_login import RootPasswordLogin
from tests.support.aggregator_rule import HOUR, NOON, find, happen

RULE = RootPasswordLogin()


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_root_by_password(method: str) -> None:
    """Logins close together are one finding, those hours apart are two."""
    times = (NOON, NOON + HOUR // 2, NOON + 4 * HOUR)
    found = find(RULE, *[happen("login", time, method=method) for time in times])
    assert [(f.subject, f.first, f.count, f.severity) for f in found] == [
        ("192.0.2.1", NOON, 2, "medium"),
        ("192.0.2.1", NOON + 4 * HOUR, 1, "medium"),
    ]


def test_others_and_other_ways() -> None:
    """Another user, a key, and the host's own console are not told."""
    assert find(RULE, happen("login", NOON, user="alice", method="password")) == []
    assert find(RULE, happen("login", NOON, method="publickey")) == []
    assert find(RULE, happen("login", NOON, method="password", source_ip=None, tty="tty1")) == []

"""The second factor was not asked for."""

import pytest

from heptad.aggregator.detection.rules.second_factor import SecondFactor
from heptad.exporter.normalize.text import normalize_text
from tests.support.aggregator_rule import MINUTE, NOON, find, happen

RULE = SecondFactor()


@pytest.mark.parametrize(
    ("reason", "severity", "how", "why"),
    [
        (
            "factor_skipped",
            "high",
            "skipped",
            "its service did not answer, and the login continued",
        ),
        ("factor_unavailable", "medium", "unavailable", "it was not available"),
        ("factor_exempt", "low", "not required", "the policy did not require it"),
    ],
)
def test_severity_follows_what_is_certain(reason: str, severity: str, how: str, why: str) -> None:
    """A login that went on without the factor is graver than one that may have."""
    events = [
        happen("authentication", NOON + n * MINUTE, user="alice", reason=reason) for n in (0, 1)
    ]
    (found,) = find(RULE, *events)
    assert (found.subject, found.severity, found.count) == ("alice", severity, 2)
    assert found.sentence == (
        f"Second factor {how} · 192.0.2.1 → alice@web1 · 2 times within 1 minute: {why}"
    )


def test_the_gravest_of_a_group_counts() -> None:
    """One skipped factor among exempt ones makes the finding high."""
    events = [
        happen("authentication", NOON, user="alice", reason="factor_exempt"),
        happen("authentication", NOON + MINUTE, user="alice", reason="factor_skipped"),
    ]
    (found,) = find(RULE, *events)
    assert found.severity == "high"


@pytest.mark.table
@pytest.mark.parametrize(
    ("line", "subject", "severity"),
    [
        (
            "sshd[7]: Failsafe Duo login for 'root' from 203.0.113.7: Couldn't connect to x: y",
            "root",
            "high",
        ),
        ("sudo[7]: Failsafe Duo login for 'ann': HTTP 503", "ann", "high"),
        ("login_duo[7]: Failsafe Duo login for 'ann' from gate.example.org", "ann", "high"),
        (
            "sshd[7]: Skipped Duo login for 'ann' from 203.0.113.7: Allowed unknown user",
            "ann",
            "low",
        ),
        ("sshd[7]: User ann bypassed Duo 2FA due to user's UNIX group", "ann", "low"),
        ("sshd[7]: pam_radius_auth: All RADIUS servers failed to respond.", "localhost", "medium"),
        ("sshd[7]: Couldn't open /etc/duo/pam_duo.conf: Permission denied", "localhost", "medium"),
        ("sshd[7]: Failsecure Duo login for 'ann' from 203.0.113.7: HTTP 503", "ann", "medium"),
        ('sshd(pam_google_authenticator)[7]: within grace period: "ann"', "ann", "low"),
        ("sshd[7]: Successful Duo login for 'ann' from 203.0.113.7", None, None),
        ("sshd[7]: Failed Duo login for 'ann' from 203.0.113.7: Login timed out.", None, None),
        ("sshd[7]: Aborted Duo login for 'ann' from 203.0.113.7: Access denied", None, None),
    ],
)
def test_what_daemons_write_of_it(line: str, subject: str | None, severity: str | None) -> None:
    """From the line to the finding; a factor that was asked for gives none."""
    [event] = normalize_text(f"2026-03-01T12:00:00Z web {line}\n")
    assert (event.action, event.method) == ("authentication", "challenge")
    found = [(one.subject, one.severity) for one in find(RULE, event)]
    assert found == ([] if subject is None else [(subject, severity)])

"""Alerts on logins and privileges: by the exporters' counters, and by the aggregator's findings."""

from typing import Final

from provisioning.alerts.rule import Alert, Group, grown

_PAGE: Final = "logins.md"


def _sum(labels: str, expr: str) -> str:
    """Added up over these labels; what an operator's targets are labelled with stays."""
    return f"sum without ({labels}) (\n{expr}\n)"


def _count(matchers: str, window: str) -> str:
    """How many such events one host had."""
    return _sum(
        "program, action, outcome, method", f"  increase(auth_events_total{{{matchers}}}[{window}])"
    )


_FAILURES: Final = _count('action="login", outcome="failure"', "<login_window>")
_PASSWORD_LOGINS: Final = _count(
    'action="login", outcome="success", method=~"password|keyboard-interactive"', "<login_window>"
)
_SUDO: Final = _count(
    'program=~"sudo|doas", action="privilege", outcome="failure"', "<finding_window>"
)
_CREATED: Final = _sum(
    "program, action, outcome, method",
    grown(
        'auth_events_total{action="account_create", outcome="success"}',
        "<finding_window>",
        "<unscraped_window>:1h",
    ),
)
_CHANGED: Final = (
    "sum without (program, outcome, method) (\n"
    '  increase(auth_events_total{action=~"account_modify|account_delete|group_.+|member_.+|'
    'password_change", outcome="success"}[<finding_window>])\n) > 0'
)

COUNTED: Final = Group(
    "heptad-logins",
    "What the exporters count: these rules need no aggregator, and they name the host.",
    (
        Alert(
            "HeptadBruteForce",
            "warning",
            f"{_FAILURES} >= <login_failures>",
            "Brute force against {{ $labels.instance }}",
            '{{ $value | printf "%.0f" }} logins failed on {{ $labels.instance }} within '
            "<login_window>, from all addresses together; <login_failures> are much for one host.",
            _PAGE,
        ),
        Alert(
            "HeptadPasswordLoginDuringBruteForce",
            "warning",
            f"{_PASSWORD_LOGINS} > 0\nand\n{_FAILURES} >= <login_failures>",
            "A password was accepted on {{ $labels.instance }} during a brute force",
            "Within <login_window> at least <login_failures> logins failed on "
            '{{ $labels.instance }}, and {{ $value | printf "%.0f" }} succeeded by password. '
            "Whether it was the same address is not known here.",
            _PAGE,
        ),
        Alert(
            "HeptadSudoRefused",
            "info",
            f"{_SUDO} > 0",
            "sudo refused a user on {{ $labels.instance }}",
            'sudo refused {{ $value | printf "%.0f" }} times on {{ $labels.instance }} within '
            "<finding_window>: a wrong password, or something that is not allowed.",
            _PAGE,
        ),
        Alert(
            "HeptadAccountCreated",
            "warning",
            _CREATED,
            "A user account was created on {{ $labels.instance }}",
            '{{ $value | printf "%.0f" }} user accounts were created on {{ $labels.instance }} '
            "within <finding_window>, or while it was not scraped.",
            _PAGE,
        ),
        Alert(
            "HeptadAccountChanged",
            "info",
            _CHANGED,
            "Accounts or groups were changed on {{ $labels.instance }}",
            '{{ $value | printf "%.0f" }} changes ({{ $labels.action }}) on '
            "{{ $labels.instance }} within <finding_window>.",
            _PAGE,
        ),
    ),
)


def _match(label: str, words: str) -> str:
    return f'{label}{"=~" if "|" in words else "="}"{words}"'


def _finding(
    name: str, severity: str, rules: str, grades: str, summary: str, description: str
) -> Alert:
    """An alert on new findings of ``grades``, or of every severity.

    Their age keeps out what is found in old logs.
    """
    matchers = _match("rule", rules) + (f", {_match('severity', grades)}" if grades else "")
    found = grown(
        f"heptad_findings_total{{{matchers}}}", "<finding_window>", "<unscraped_window>:5m"
    )
    return Alert(
        name,
        severity,
        f"{_sum('severity', found)}\n"
        "and on (job, instance, rule)\n"
        "time() - heptad_finding_last_timestamp_seconds < <finding_age_seconds>",
        summary,
        f"{description} Who, from where and when: `heptad report`, or the page of findings.",
        _PAGE,
    )


FOUND: Final = Group(
    "heptad-findings",
    "What the aggregator found in the events of all its hosts: who and where is in the findings.",
    (
        _finding(
            "HeptadSuccessAfterManyFailures",
            "critical",
            "success_after_failures",
            "high",
            "A login succeeded after many failures",
            "An address got in by password after it had failed as several users, or ten times as "
            "often as the rule asks for: a guessed password is likely.",
        ),
        _finding(
            "HeptadSuccessAfterFailures",
            "warning",
            "success_after_failures",
            "medium",
            "A login succeeded after failures",
            "An address got in by password after it had failed several times as one user: he "
            "found his password again, or somebody guessed it.",
        ),
        _finding(
            "HeptadAttackFound",
            "warning",
            "brute_force|slow_brute_force|distributed|spraying|sweep",
            "medium|high",
            "An attack on logins: {{ $labels.rule }}",
            "A finding of {{ $labels.rule }} reached medium or high: more than the noise of the "
            "internet.",
        ),
        _finding(
            "HeptadRootPasswordLogin",
            "warning",
            "root_password_login",
            "",
            "Root logged in by password",
            "Root logged in through the network by a password: it can be guessed, and nobody "
            "knows who typed it.",
        ),
        _finding(
            "HeptadSecondFactorSkipped",
            "critical",
            "second_factor",
            "high",
            "A login went on without its second factor",
            "The service of the second factor did not answer, and its module let a user in by the "
            "first factor alone.",
        ),
        _finding(
            "HeptadSecondFactorUnavailable",
            "warning",
            "second_factor",
            "medium",
            "The second factor of a login could not be asked for",
            "The service of the second factor did not answer, or its module is not configured. The "
            "log does not show whether logins go on without it.",
        ),
        _finding(
            "HeptadLoginFromNewNetwork",
            "info",
            "new_network",
            "",
            "A user logged in from a new network",
            "A user logged in from a network that he did not come from in the last weeks.",
        ),
        _finding(
            "HeptadNewAccountLogin",
            "warning",
            "new_account_login",
            "",
            "An account that was just created is in use",
            "Somebody logged in as a user whose account was created within the day.",
        ),
        _finding(
            "HeptadSudoForbidden",
            "warning",
            "sudo_refused",
            "medium|high",
            "sudo's policy refused a user",
            "A user is not in sudoers, or asked for a command that he may not run.",
        ),
        _finding(
            "HeptadPowerGranted",
            "warning",
            "account_change",
            "medium|high",
            "A user became a member of a group with power over a host",
            "Somebody was put into a group such as sudo, adm, docker or wheel.",
        ),
        _finding(
            "HeptadRootPasswordChanged",
            "warning",
            "password_change",
            "medium|high",
            "Root's password was changed",
            "Root's password was set, changed, locked or unlocked.",
        ),
    ),
)

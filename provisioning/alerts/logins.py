"""Alerts on logins and privileges: from the exporters' counters, and the aggregator's findings."""

from typing import Final

from provisioning.alerts.links import NOW, now_at_finding
from provisioning.alerts.rule import Alert, Recording, RuleGroup, grown

_PAGE: Final = "logins.md"


def _sum(labels: str, expr: str) -> str:
    """Sum over these labels; labels that an operator added to the targets are kept."""
    return f"sum without ({labels}) (\n{expr}\n)"


def _count(matchers: str, window: str) -> str:
    """Count these events per host."""
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

COUNTED: Final = RuleGroup(
    "heptad-logins",
    "What the exporters count: these rules need no aggregator, and they name the host.",
    (
        Alert(
            "HeptadBruteForce",
            "warning",
            f"{_FAILURES} >= <login_failures>",
            "Brute force against <host>",
            '{{ $value | printf "%.0f" }} logins failed on <host> within <login_window>, from '
            "all addresses together; <login_failures> is a lot for one host.",
            "Check whether a login succeeded meanwhile: `heptad events --program sshd --outcome "
            "success --since 1h`.",
            _PAGE,
            board=NOW,
        ),
        Alert(
            "HeptadPasswordLoginDuringBruteForce",
            "warning",
            f"{_PASSWORD_LOGINS} > 0\nand\n{_FAILURES} >= <login_failures>",
            "A password was accepted on <host> during a brute force",
            "Within <login_window> at least <login_failures> logins failed on <host>, and {{ "
            '$value | printf "%.0f" }} succeeded by password. This alert does not know whether '
            "it was the same address.",
            "Check whether the address that logged in had failed before: `heptad events "
            "--program sshd --outcome success --since 1h` shows it.",
            _PAGE,
            board=NOW,
        ),
        Alert(
            "HeptadSudoRefused",
            "info",
            f"{_SUDO} > 0",
            "sudo refused a user on <host>",
            'sudo refused {{ $value | printf "%.0f" }} times on <host> within '
            "<finding_window>: a wrong password, or something that is not allowed.",
            "Read who wanted to run what: `heptad events --program sudo --outcome failure --since"
            " 1h`.",
            _PAGE,
            board=NOW,
        ),
        Alert(
            "HeptadAccountCreated",
            "warning",
            _CREATED,
            "A user account was created on <host>",
            '{{ $value | printf "%.0f" }} user accounts were created on <host> '
            "within <finding_window>, or while it was not scraped.",
            "Read which account it is, and ask who created it: `heptad events --action "
            "account_create --since 1h`.",
            _PAGE,
            board=NOW,
        ),
        Alert(
            "HeptadAccountChanged",
            "info",
            _CHANGED,
            "Accounts or groups were changed on <host>",
            '{{ $value | printf "%.0f" }} changes ({{ $labels.action }}) on '
            "<host> within <finding_window>.",
            "Read what was changed, and by whom: `heptad events --since 1h`.",
            _PAGE,
            board=NOW,
        ),
    ),
)


def _match(label: str, words: str) -> str:
    return f'{label}{"=~" if "|" in words else "="}"{words}"'


_NEW: Final = "severity:heptad_findings:new"
_NEW_BY_HOST: Final = "host_severity:heptad_findings:new"
_ALIKE: Final = "on (job, instance, rule, severity)"
_LAST: Final = "heptad_findings_last_timestamp_seconds"
_NEWEST: Final = "max_over_time(heptad_host_findings_last_timestamp_seconds[<finding_window>])"
_BEFORE: Final = "[1h] offset <finding_window>"
_RECORDED: Final = (
    Recording(
        _NEW,
        "(\n"
        + grown("heptad_findings_total", "<finding_window>", "<unscraped_window>")
        + f"\n)\nand {_ALIKE}\n"
        f"time() - max_over_time({_LAST}[<finding_window>]) < <finding_age_seconds>",
        "how many findings are new; their age keeps out what is found in old logs",
    ),
    Recording(
        _NEW_BY_HOST,
        f"{_NEWEST}\n"
        "  > (\n"
        f"    last_over_time(heptad_host_findings_last_timestamp_seconds{_BEFORE})\n"
        f"    or 0 * {_NEWEST}\n"
        f"      and {_ALIKE} last_over_time({_LAST}{_BEFORE})\n"
        f"    or 0 * {_NEWEST}\n"
        f"      + {_ALIKE} group_left () min_over_time({_LAST}[<finding_window>])\n"
        "  )",
        "the hosts on which a medium or high finding has newer events than before. Where the "
        "aggregator was not scraped then, newer than the newest finding of all hosts was: what "
        "has been open for hours is not new because of that",
    ),
)


def _finding(
    name: str, severity: str, rules: str, grades: str, summary: str, description: str, first: str
) -> Alert:
    """Create an alert on new findings with these severities (empty: all), one per known host."""
    matchers = _match("rule", rules) + (f", {_match('severity', grades)}" if grades else "")
    new = f"{_NEW}{{{matchers}}}"
    return Alert(
        name,
        severity,
        f"max without (severity) (\n"
        f"  {_NEW_BY_HOST}{{{matchers}}}\n"
        f"  and on (job, instance, rule, severity) {new}\n)\n"
        f"or on (job, instance, rule)\n"
        f"sum without (severity) ({new})",
        summary,
        f"{description} Who and from where: see the finding on the page, or `heptad report`.",
        first,
        _PAGE,
        board=now_at_finding(grades),
    )


FOUND: Final = RuleGroup(
    "heptad-findings",
    "What the aggregator found in the events of all its hosts: who and from where is in the "
    "findings. `host` is a label where a medium or high finding has one.",
    (
        *_RECORDED,
        _finding(
            "HeptadSuccessAfterManyFailures",
            "critical",
            "success_after_failures",
            "high",
            "A login on <host> succeeded after many failures",
            "An address logged in on <host> by password after it had failed as several users, or "
            "ten times as often as the rule asks for: the password was probably guessed.",
            "Ask the user, by telephone, whether it was them. If not, lock the account and end "
            "its sessions.",
        ),
        _finding(
            "HeptadSuccessAfterFailures",
            "warning",
            "success_after_failures",
            "medium",
            "A login on <host> succeeded after failures",
            "An address logged in on <host> by password after it had failed several times as one "
            "user: either the user mistyped the password, or someone guessed it.",
            "Ask the user whether it was them.",
        ),
        _finding(
            "HeptadAttackFound",
            "warning",
            "brute_force|slow_brute_force|distributed|spraying|sweep",
            "medium|high",
            "An attack on logins of <host>: {{ $labels.rule }}",
            "A finding of {{ $labels.rule }} on <host> reached medium or high: this is more than "
            "the usual noise of the internet.",
            "Check whether a login from the same address succeeded: follow the address in the "
            "finding.",
        ),
        _finding(
            "HeptadRootPasswordLogin",
            "warning",
            "root_password_login",
            "",
            "Root logged in on <host> by password",
            "Root logged in on <host> through the network by a password, which can be guessed, "
            "and which does not show who typed it.",
            "Find out who it was: follow the address in the finding.",
        ),
        _finding(
            "HeptadSecondFactorSkipped",
            "critical",
            "second_factor",
            "high",
            "A login on <host> continued without its second factor",
            "The service of the second factor did not answer, and its module on <host> accepted a "
            "login with only the first factor.",
            "Ask the user, by telephone, whether it was them. If not, lock the account and end "
            "its sessions.",
        ),
        _finding(
            "HeptadSecondFactorUnavailable",
            "warning",
            "second_factor",
            "medium",
            "The second factor of a login on <host> was unavailable",
            "The service of the second factor did not answer, or its module on <host> is not "
            "configured. The log does not show whether logins continue without it.",
            "Check whether logins followed without it: `heptad events --outcome success --since "
            "1h`.",
        ),
        _finding(
            "HeptadLoginFromNewNetwork",
            "info",
            "new_network",
            "",
            "A user logged in on <host> from a new network",
            "A user logged in on <host> from a network that they did not use in the last weeks.",
            "Look for another alert on the same user; if there is one, ask the user.",
        ),
        _finding(
            "HeptadNewAccountLogin",
            "warning",
            "new_account_login",
            "",
            "An account that was just created is in use on <host>",
            "A user logged in on <host> whose account was created within the day.",
            "Ask your colleagues who created the account. If none of them did, lock it and end its "
            "sessions.",
        ),
        _finding(
            "HeptadSudoForbidden",
            "warning",
            "sudo_refused",
            "medium|high",
            "The policy of sudo on <host> refused a user",
            "A user on <host> is not in sudoers, or tried to run a command that they may not run.",
            "Read in the finding which command it was, and ask the user.",
        ),
        _finding(
            "HeptadPowerGranted",
            "warning",
            "account_change",
            "medium|high",
            "A user became a member of a group with power over <host>",
            "A user was added to a group such as sudo, adm, docker or wheel on <host>.",
            "Ask your colleagues who did it. If none of them did, remove the user from the group "
            "and lock the account.",
        ),
        _finding(
            "HeptadRootPasswordChanged",
            "warning",
            "password_change",
            "medium|high",
            "The password of root was changed on <host>",
            "The password of root was set, changed, locked or unlocked on <host>.",
            "Ask your colleagues who did it. If none of them did, disconnect the host from the "
            "network before you log in.",
        ),
    ),
)

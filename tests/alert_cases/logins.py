"""Cases of the alerts on logins and privileges."""

from tests.alert_cases.case import AGGREGATOR, EXPORTER, Case, aggregator, events

FAILED = events("login", "failure", "password")
FAILED_BY_KEYBOARD = events("login", "failure", "keyboard-interactive")
GOT_IN = events("login", "success", "password")
ONCE = "0x10 1x20"
WHERE = " Who, from where and when: `heptad report`, or the page of findings."

COUNTED = [
    Case(
        "HeptadBruteForce",
        "6 logins a minute fail, by two methods",
        {FAILED: "0+3x30", FAILED_BY_KEYBOARD: "0+3x30"},
        "20m",
        EXPORTER,
        "Brute force against web-1:9707",
        "60 logins failed on web-1:9707 within 10m, from all addresses together; 50 are much for "
        "one host.",
    ),
    Case(
        "HeptadBruteForce",
        "the exporter was restarted meanwhile: the counter goes on, some scrapes are missing",
        {FAILED: "0+6x12 _x3 96+6x15"},
        "20m",
        EXPORTER,
        "Brute force against web-1:9707",
        "60 logins failed on web-1:9707 within 10m, from all addresses together; 50 are much for "
        "one host.",
    ),
    Case("HeptadBruteForce", "4 a minute are noise", {FAILED: "0+4x30"}, "20m"),
    Case("HeptadBruteForce", "offers of keys fail", {events("offer", "failure"): "0+9x30"}, "20m"),
    Case("HeptadBruteForce", "it is over", {FAILED: "0+9x10 90x20"}, "25m"),
    Case(
        "HeptadPasswordLoginDuringBruteForce",
        "one password is accepted while 6 a minute are not",
        {FAILED: "0+6x30", GOT_IN: "0x15 1x15"},
        "20m",
        EXPORTER,
        "A password was accepted on web-1:9707 during a brute force",
        "Within 10m at least 50 logins failed on web-1:9707, and 1 succeeded by password. Whether "
        "it was the same address is not known here.",
    ),
    Case(
        "HeptadPasswordLoginDuringBruteForce",
        "a key is accepted: it was not guessed",
        {FAILED: "0+6x30", events("login", "success", "publickey"): "0x15 1x15"},
        "20m",
    ),
    Case(
        "HeptadPasswordLoginDuringBruteForce",
        "nobody gets in, and somebody uses sudo with his password",
        {
            FAILED: "0+6x30",
            GOT_IN: "1x30",
            events("privilege", "success", "password", "sudo"): "0x15 1x15",
        },
        "20m",
    ),
    Case(
        "HeptadPasswordLoginDuringBruteForce",
        "many logins succeed, and sudo fails often",
        {GOT_IN: "0+6x30", events("privilege", "failure", "password", "sudo"): "0+6x30"},
        "20m",
    ),
    Case(
        "HeptadPasswordLoginDuringBruteForce",
        "somebody mistyped before",
        {FAILED: "0x12 2x15", GOT_IN: "0x15 1x15"},
        "20m",
    ),
    Case(
        "HeptadSudoRefused",
        "the very first refusal",
        {events("privilege", "failure", "password", "sudo"): ONCE},
        "15m",
        EXPORTER,
        "sudo refused a user on web-1:9707",
        "sudo refused 1 times on web-1:9707 within 15m: a wrong password, or something that is "
        "not allowed.",
    ),
    Case(
        "HeptadSudoRefused",
        "sudo is used",
        {events("privilege", "success", "", "sudo"): ONCE},
        "15m",
    ),
    Case(
        "HeptadAccountCreated",
        "the very first account",
        {events("account_create", "success", "", "useradd"): ONCE},
        "15m",
        EXPORTER,
        "A user account was created on web-1:9707",
        "1 user accounts were created on web-1:9707 within 15m, or while it was not scraped.",
    ),
    Case(
        "HeptadAccountCreated",
        "while the exporter was down for an hour",
        {
            events("account_create", "success", "", "useradd"): "3x70 _x60 5x20",
            events("account_create", "success", "", "newusers"): "0x70 _x60 0x20",
        },
        "135m",
        EXPORTER,
        "A user account was created on web-1:9707",
        "2 user accounts were created on web-1:9707 within 15m, or while it was not scraped.",
    ),
    Case(
        "HeptadAccountCreated",
        "useradd failed, and long ago one was created",
        {
            events("account_create", "failure", "", "useradd"): ONCE,
            events("account_create", "success", "", "useradd"): "3x30",
        },
        "15m",
    ),
    Case(
        "HeptadAccountChanged",
        "two users become members of groups",
        {events("member_add", "success", "", "usermod"): "0x10 2x20"},
        "15m",
        EXPORTER | {"action": "member_add"},
        "Accounts or groups were changed on web-1:9707",
        "2 changes (member_add) on web-1:9707 within 15m.",
    ),
    Case(
        "HeptadAccountChanged",
        "a change failed",
        {events("password_change", "failure", "", "passwd"): ONCE},
        "15m",
    ),
]


def _found(rule: str, severity: str, *, long_ago: bool = False) -> dict[str, str]:
    count = aggregator("heptad_findings_total", rule=rule, severity=severity)
    last = aggregator("heptad_finding_last_timestamp_seconds", rule=rule)
    if long_ago:
        return {count: "0x311 1x20", last: "0x311 3600x20"}
    return {count: ONCE, last: "0x10 590x20"}


def _finding(
    alert: str, rule: str, severity: str, other: str, summary: str, description: str
) -> list[Case]:
    """It fires on a new finding, not on one of long ago, nor on one of an ``other`` severity."""
    labels = AGGREGATOR | {"rule": rule}
    told = (summary, description + WHERE)
    cases = [
        Case(alert, f"found now: {severity}", _found(rule, severity), "15m", labels, *told),
        Case(
            alert,
            "an old log tells what was 25 hours ago",
            _found(rule, severity, long_ago=True),
            "26h",
            interval="5m",
        ),
    ]
    if other:
        cases.append(Case(alert, f"found now: {other}", _found(rule, other), "15m"))
    return cases


FOUND = [
    Case(
        "HeptadSuccessAfterManyFailures",
        "it was found while Prometheus could not reach the aggregator",
        {
            aggregator(
                "heptad_findings_total", rule="success_after_failures", severity="high"
            ): "2x70 _x60 3x20",
            aggregator(
                "heptad_finding_last_timestamp_seconds", rule="success_after_failures"
            ): "60x70 _x60 6000x20",
        },
        "135m",
        AGGREGATOR | {"rule": "success_after_failures"},
        "A login succeeded after many failures",
        "An address got in by password after it had failed as several users, or ten times as "
        "often as the rule asks for: a guessed password is likely." + WHERE,
    ),
    *_finding(
        "HeptadSuccessAfterManyFailures",
        "success_after_failures",
        "high",
        "medium",
        "A login succeeded after many failures",
        "An address got in by password after it had failed as several users, or ten times as "
        "often as the rule asks for: a guessed password is likely.",
    ),
    *_finding(
        "HeptadSuccessAfterFailures",
        "success_after_failures",
        "medium",
        "high",
        "A login succeeded after failures",
        "An address got in by password after it had failed several times as one user: he found "
        "his password again, or somebody guessed it.",
    ),
    *_finding(
        "HeptadAttackFound",
        "slow_brute_force",
        "medium",
        "low",
        "An attack on logins: slow_brute_force",
        "A finding of slow_brute_force reached medium or high: more than the noise of the internet.",
    ),
    Case(
        "HeptadAttackFound",
        "one finding reached two severities within the same minute",
        _found("sweep", "medium") | _found("sweep", "high"),
        "15m",
        AGGREGATOR | {"rule": "sweep"},
        "An attack on logins: sweep",
        "A finding of sweep reached medium or high: more than the noise of the internet." + WHERE,
    ),
    *_finding(
        "HeptadRootPasswordLogin",
        "root_password_login",
        "medium",
        "",
        "Root logged in by password",
        "Root logged in through the network by a password: it can be guessed, and nobody knows "
        "who typed it.",
    ),
    *_finding(
        "HeptadSecondFactorSkipped",
        "second_factor",
        "high",
        "medium",
        "A login went on without its second factor",
        "The service of the second factor did not answer, and its module let a user in by the "
        "first factor alone.",
    ),
    *_finding(
        "HeptadSecondFactorUnavailable",
        "second_factor",
        "medium",
        "low",
        "The second factor of a login could not be asked for",
        "The service of the second factor did not answer, or its module is not configured. The "
        "log does not show whether logins go on without it.",
    ),
    *_finding(
        "HeptadLoginFromNewNetwork",
        "new_network",
        "low",
        "",
        "A user logged in from a new network",
        "A user logged in from a network that he did not come from in the last weeks.",
    ),
    *_finding(
        "HeptadNewAccountLogin",
        "new_account_login",
        "medium",
        "",
        "An account that was just created is in use",
        "Somebody logged in as a user whose account was created within the day.",
    ),
    *_finding(
        "HeptadSudoForbidden",
        "sudo_refused",
        "medium",
        "low",
        "sudo's policy refused a user",
        "A user is not in sudoers, or asked for a command that he may not run.",
    ),
    *_finding(
        "HeptadPowerGranted",
        "account_change",
        "medium",
        "low",
        "A user became a member of a group with power over a host",
        "Somebody was put into a group such as sudo, adm, docker or wheel.",
    ),
    *_finding(
        "HeptadRootPasswordChanged",
        "password_change",
        "medium",
        "low",
        "Root's password was changed",
        "Root's password was set, changed, locked or unlocked.",
    ),
]

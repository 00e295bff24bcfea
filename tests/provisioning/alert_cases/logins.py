"""Cases of the alerts on logins and privileges."""

from typing import Final

from tests.provisioning.alert_cases.case import (
    AGGREGATOR,
    EXPORTER,
    Case,
    aggregator,
    events,
    exporter,
)

FAILED = events("login", "failure", "password")
FAILED_BY_KEYBOARD = events("login", "failure", "keyboard-interactive")
GOT_IN = events("login", "success", "password")
ONCE = "0x10 1x20"
WHERE = " Who and from where: see the finding on the page, or `heptad report`."

COUNTED = [
    Case(
        "HeptadBruteForce",
        "6 logins a minute fail, by two methods",
        {FAILED: "0+3x30", FAILED_BY_KEYBOARD: "0+3x30"},
        "20m",
        EXPORTER,
        "Brute force against web-1:9707",
        "60 logins failed on web-1:9707 within 10m, from all addresses together; 50 is a lot "
        "for one host.",
    ),
    Case(
        "HeptadBruteForce",
        "the exporter was restarted meanwhile: the counter goes on, some scrapes are missing",
        {FAILED: "0+6x12 _x3 96+6x15"},
        "20m",
        EXPORTER,
        "Brute force against web-1:9707",
        "60 logins failed on web-1:9707 within 10m, from all addresses together; 50 is a lot "
        "for one host.",
    ),
    Case(
        "HeptadBruteForce",
        "the exporter tells the name of its host",
        {FAILED: "0+6x30", exporter("heptad_host_info", host="db-1.example.org"): "1x30"},
        "20m",
        EXPORTER,
        "Brute force against db-1.example.org",
        "60 logins failed on db-1.example.org within 10m, from all addresses together; 50 is a "
        "lot for one host.",
        host="db-1.example.org",
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
        "Within 10m at least 50 logins failed on web-1:9707, and 1 succeeded by password. This "
        "alert does not know whether it was the same address.",
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


_LAST: Final = "heptad_findings_last_timestamp_seconds"


def _found(rule: str, severity: str, *hosts: str, long_ago: bool = False) -> dict[str, str]:
    count = aggregator("heptad_findings_total", rule=rule, severity=severity)
    last = aggregator(_LAST, rule=rule, severity=severity)
    if long_ago:
        return {count: "0x311 1x20", last: "0x311 3600x20"}
    named = {_last_on(host, rule, severity): "_x10 590x20" for host in hosts}
    return {count: ONCE, last: "0x10 590x20", **named}


def _last_on(host: str, rule: str, severity: str) -> str:
    name = "heptad_host_findings_last_timestamp_seconds"
    return aggregator(name, host=host, rule=rule, severity=severity)


def _finding(alert: str, rule: str, severity: str, other: str, summary: str) -> list[Case]:
    """It fires on a new finding, not on one of long ago, nor on one of an ``other`` severity.

    It names the host where that is a label.
    """
    labels = AGGREGATOR | {"rule": rule}
    cases = [
        Case(
            alert,
            f"found now: {severity}, on {place}",
            _found(rule, severity, *hosts),
            "15m",
            labels | dict.fromkeys(hosts and ["host"], place.removesuffix(" hosts")),
            summary.format(host=place),
            _TEXTS[alert].format(host=place) + WHERE,
            newest=590,
        )
        for place, hosts in (("a host", ()), ("web-1", ("web-1",)), ("other hosts", ("other",)))
    ]
    cases.append(
        Case(
            alert,
            "an old log tells what was 25 hours ago",
            _found(rule, severity, long_ago=True),
            "26h",
            interval="5m",
        )
    )
    if other:
        cases.append(Case(alert, f"found now: {other}", _found(rule, other, "web-1"), "15m"))
    return cases


_TEXTS: Final = {
    "HeptadSuccessAfterManyFailures": (
        "An address logged in on {host} by password after it had failed as several users, or ten "
        "times as often as the rule asks for: the password was probably guessed."
    ),
    "HeptadSuccessAfterFailures": (
        "An address logged in on {host} by password after it had failed several times as one "
        "user: either the user mistyped the password, or someone guessed it."
    ),
    "HeptadAttackFound": (
        "A finding of slow_brute_force on {host} reached medium or high: this is more than the "
        "usual noise of the internet."
    ),
    "HeptadRootPasswordLogin": (
        "Root logged in on {host} through the network by a password, which can be guessed, and "
        "which does not show who typed it."
    ),
    "HeptadSecondFactorSkipped": (
        "The service of the second factor did not answer, and its module on {host} accepted a "
        "login with only the first factor."
    ),
    "HeptadSecondFactorUnavailable": (
        "The service of the second factor did not answer, or its module on {host} is not "
        "configured. The log does not show whether logins continue without it."
    ),
    "HeptadLoginFromNewNetwork": (
        "A user logged in on {host} from a network that they did not use in the last weeks."
    ),
    "HeptadNewAccountLogin": (
        "A user logged in on {host} whose account was created within the day."
    ),
    "HeptadSudoForbidden": (
        "A user on {host} is not in sudoers, or tried to run a command that they may not run."
    ),
    "HeptadPowerGranted": (
        "A user was added to a group such as sudo, adm, docker or wheel on {host}."
    ),
    "HeptadRootPasswordChanged": (
        "The password of root was set, changed, locked or unlocked on {host}."
    ),
}
"""Alert → its description."""

FOUND = [
    Case(
        "HeptadSuccessAfterManyFailures",
        "it was found while Prometheus could not reach the aggregator",
        {
            aggregator(
                "heptad_findings_total", rule="success_after_failures", severity="high"
            ): "2x70 _x60 3x20",
            aggregator(
                "heptad_findings_last_timestamp_seconds",
                rule="success_after_failures",
                severity="high",
            ): "60x70 _x60 6000x20",
            _last_on("db-1", "success_after_failures", "high"): "_x130 6000x20",
        },
        "135m",
        AGGREGATOR | {"rule": "success_after_failures", "host": "db-1"},
        "A login on db-1 succeeded after many failures",
        _TEXTS["HeptadSuccessAfterManyFailures"].format(host="db-1") + WHERE,
        newest=6000,
    ),
    Case(
        "HeptadSuccessAfterManyFailures",
        "of two hosts with such findings one has a new one",
        _found("success_after_failures", "high", "web-1")
        | {_last_on("db-1", "success_after_failures", "high"): "500x30"},
        "15m",
        AGGREGATOR | {"rule": "success_after_failures", "host": "web-1"},
        "A login on web-1 succeeded after many failures",
        _TEXTS["HeptadSuccessAfterManyFailures"].format(host="web-1") + WHERE,
        newest=590,
    ),
    *(
        Case(
            "HeptadAttackFound",
            why,
            {
                aggregator("heptad_findings_total", rule="sweep", severity="high"): total,
                aggregator(_LAST, rule="sweep", severity="high"): last,
                _last_on("db-1", "sweep", "high"): old,
                _last_on("web-1", "sweep", "high"): new,
            },
            at,
            AGGREGATOR | {"rule": "sweep", "host": "web-1"},
            "An attack on logins of web-1: sweep",
            _TEXTS["HeptadAttackFound"].replace("slow_brute_force", "sweep").format(host="web-1")
            + WHERE,
            newest=newest,
        )
        for why, total, last, old, new, at, newest in (
            (
                "the aggregator was down a quarter of an hour ago; another host has an old one",
                "2x60 stale _x7 2x4 3x20",
                "60x60 stale _x7 60x4 4400x20",
                "60x60 stale _x7 60x25",
                "_x73 4400x20",
                "82m",
                4400,
            ),
            (
                "Prometheus is young; another host has an old one",
                "2x2 3x20",
                "60x2 180x20",
                "60x23",
                "_x2 180x20",
                "5m",
                180,
            ),
            (
                "the aggregator is being restarted just after",
                "2x60 3x2 stale _x5",
                "60x60 3600x2 stale _x5",
                "60x62 stale _x5",
                "_x60 3600x2 stale _x5",
                "66m",
                3600,
            ),
            (
                "the aggregator was restarted just after and has not read its findings yet",
                "2x60 3x2 stale 3x5",
                "60x60 3600x2 0x5",
                "60x62 stale _x5",
                "_x60 3600x2 stale _x5",
                "66m",
                3600,
            ),
        )
    ),
    Case(
        "HeptadAttackFound",
        "the aggregator was restarted just after, a quarter of an hour ago",
        {
            aggregator(
                "heptad_findings_total", rule="sweep", severity="high"
            ): "2x61 3x1 stale 3x40",
            aggregator(_LAST, rule="sweep", severity="high"): "60x61 3700x1 stale 3700x40",
            _last_on("web-1", "sweep", "high"): "_x61 3700x1 stale 3700x40",
        },
        "79m",
    ),
    Case(
        "HeptadAttackFound",
        "one finding reached two severities within the same minute",
        _found("sweep", "medium", "web-1") | _found("sweep", "high", "web-1"),
        "15m",
        AGGREGATOR | {"rule": "sweep", "host": "web-1"},
        "An attack on logins of web-1: sweep",
        "A finding of sweep on web-1 reached medium or high: this is more than the usual noise of "
        "the internet." + WHERE,
        newest=590,
    ),
    *_finding(
        "HeptadSuccessAfterManyFailures",
        "success_after_failures",
        "high",
        "medium",
        "A login on {host} succeeded after many failures",
    ),
    *_finding(
        "HeptadSuccessAfterFailures",
        "success_after_failures",
        "medium",
        "high",
        "A login on {host} succeeded after failures",
    ),
    *_finding(
        "HeptadAttackFound",
        "slow_brute_force",
        "medium",
        "low",
        "An attack on logins of {host}: slow_brute_force",
    ),
    *_finding(
        "HeptadRootPasswordLogin",
        "root_password_login",
        "medium",
        "",
        "Root logged in on {host} by password",
    ),
    *_finding(
        "HeptadSecondFactorSkipped",
        "second_factor",
        "high",
        "medium",
        "A login on {host} continued without its second factor",
    ),
    *_finding(
        "HeptadSecondFactorUnavailable",
        "second_factor",
        "medium",
        "low",
        "The second factor of a login on {host} was unavailable",
    ),
    *_finding(
        "HeptadLoginFromNewNetwork",
        "new_network",
        "low",
        "",
        "A user logged in on {host} from a new network",
    ),
    *_finding(
        "HeptadNewAccountLogin",
        "new_account_login",
        "medium",
        "",
        "An account that was just created is in use on {host}",
    ),
    *_finding(
        "HeptadSudoForbidden",
        "sudo_refused",
        "medium",
        "low",
        "The policy of sudo on {host} refused a user",
    ),
    *_finding(
        "HeptadPowerGranted",
        "account_change",
        "medium",
        "low",
        "A user became a member of a group with power over {host}",
    ),
    *_finding(
        "HeptadRootPasswordChanged",
        "password_change",
        "medium",
        "low",
        "The password of root was changed on {host}",
    ),
]

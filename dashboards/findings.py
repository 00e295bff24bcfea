"""Findings and reports: what was found, what is new, and who changed or became what."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.findings_table import table_of_findings
from dashboards.fleet import HOSTS
from dashboards.frame import instances, lay_out, source, tag_of, window
from dashboards.influxql import InfluxQuery, chosen, one_of, sums_of_report, table_of_report
from dashboards.panels import (
    ACT_ABOVE_ZERO,
    BLUE,
    GREEN,
    LOOK_ABOVE_ZERO,
    ORANGE,
    REPORTS,
    Properties,
    ask,
    graph,
    number,
    reshape,
    rows,
    words,
)

_ATTACKS: Final = ("brute_force", "slow_brute_force", "spraying", "distributed", "sweep")
_NEW: Final = ("new_network", "new_host", "unusual_hour", "new_account_login", "first_sudo")
_OUTCOMES: Final = words({"success": ("success", GREEN), "failure": ("refused", ORANGE)})
_LOOKS: Final[Mapping[str, Properties]] = {
    "Window": {"unit": "dateTimeAsIso", "custom.width": 170},
    "Outcome": {"mappings": [_OUTCOMES], "custom.cellOptions": {"type": "color-text"}},
    "Times": {"unit": "short", "custom.width": 80},
    "Rank": {"custom.width": 80},
    "Longest session": {"unit": "s"},
}
"""Heading → how its column looks."""
_NO_REPORT: Final = "No report in this range: choose a longer range, or reports of 5m"


def _by_severity(severity: str, about: str, steps: Any, width: int = 6) -> object:
    return number(
        f"Findings: {severity}",
        about,
        ask(
            f'sum(increase(heptad_findings_total{{$fleet, severity="{severity}"}}[$__range]))',
            instant=True,
        ),
        steps=steps,
        none="No aggregator",
        width=width,
    )


def _overview() -> list[object]:
    return [
        _by_severity(
            "high",
            "Look at these now: they stand first in the table below. Counted when they are found.",
            ACT_ABOVE_ZERO,
        ),
        _by_severity(
            "medium",
            "Out of the ordinary: look at them today. They stand in the second table.",
            LOOK_ABOVE_ZERO,
        ),
        _by_severity(
            "low",
            """What every host on the internet sees. Look at them when something else is odd.""",
            ((None, BLUE),),
        ),
        number(
            "Since the last finding",
            """How long nothing was found but sessions. Longer than ever before, and logins still
            fail: is the aggregator running, and not behind? See Heptad itself.""",
            ask(
                """time() - max(
                heptad_finding_last_timestamp_seconds{$fleet, rule!="session"} > 0)""",
                instant=True,
            ),
            unit="s",
            none="None since the start",
            width=6,
        ),
        table_of_findings(
            "High: look at these now",
            """The newest first. What is withdrawn or became part of another is left out. A click
            on the name shows the events; docs/findings.md says when the rule is wrong.""",
            none="No high finding in this range: nothing to do",
            severities="high",
            height=6,
        ),
        table_of_findings(
            "Medium: look at these today",
            """The newest first. A finding that grows becomes graver and moves up.""",
            none="No medium finding in this range",
            severities="medium",
        ),
        graph(
            "Findings by rule",
            """New findings a second. A rule that suddenly tells much: an attack, or something
            that is new on your side; `aggregator.findings.ignore` keeps what is known out.""",
            ask(
                """sum by (rule) (rate(
                heptad_findings_total{$fleet, rule!="session"}[$__rate_interval])) > 0""",
                "{{rule}}",
            ),
            unit="cps",
            bars=True,
            stack=True,
            none="Nothing was found in this range",
        ),
        table_of_findings(
            "Attacks: brute force, spraying, sweeps",
            """All of these, also the low ones; the newest first. An address that comes back for
            days belongs into the firewall.""",
            none="No attack in this range",
            severities="high|medium|low",
            where=one_of("rule", _ATTACKS),
            width=12,
        ),
        table_of_findings(
            "New: networks, hosts, hours, accounts, first sudo",
            """What did not happen before, as far as is remembered; low each, but ask the user if
            it is about a person with power.""",
            none="Nothing new in this range, or nobody is known for long enough yet",
            severities="high|medium|low",
            where=one_of("rule", _NEW),
            height=7,
        ),
    ]


def _table(
    title: str,
    about: str,
    *,
    report: str,
    fields: Sequence[str],
    tags: Sequence[str],
    names: Mapping[str, str],
    worst: Sequence[str],
    where: str = "",
    width: int = 24,
) -> object:
    condition = chosen("host") + (f" AND {where}" if where else "")
    hidden = {name: True for name in (*tags, *fields) if name not in names}
    return rows(
        title,
        about,
        InfluxQuery(REPORTS, table_of_report(report, fields, tags, condition)),
        {name: look for name, look in _LOOKS.items() if name in names.values()},
        none=_NO_REPORT,
        worst=worst,
        shaping=[
            reshape(
                "organize",
                excludeByName=hidden,
                indexByName={name: place for place, name in enumerate(names)},
                renameByName=dict(names),
            )
        ],
        width=width,
    )


def _privilege() -> list[object]:
    return [
        graph(
            "Privilege use, and what was refused",
            """Uses of sudo, su and their like, by how they ended. Refusals in a row: somebody tries
            what he may not; see below who.""",
            InfluxQuery(
                REPORTS,
                sums_of_report(
                    "report_privilege",
                    ["count"],
                    ["host", "program", "outcome", "rank"],
                    chosen("host"),
                    by=["outcome"],
                ),
                shape="time_series",
                alias="$tag_outcome",
            ),
            bars=True,
            stack=True,
            colors={"success": GREEN, "failure": ORANGE},
            none=_NO_REPORT,
        ),
        _table(
            "Who was refused",
            """Ask him what he wanted, or give him what he needs for his work. Rank others: all
            beyond the twenty most frequent of a host.""",
            report="report_privilege",
            fields=["user", "target_user", "object", "reason", "count"],
            tags=["host", "program", "outcome", "rank"],
            names={
                "Time": "Window",
                "host": "Host",
                "program": "Program",
                "user": "Who",
                "target_user": "As whom",
                "object": "What",
                "reason": "Reason",
                "count": "Times",
                "rank": "Rank",
            },
            worst=["Window", "Times"],
            where="\"outcome\" = 'failure'",
            width=12,
        ),
        _table(
            "Who ran what as whom",
            """The twenty most frequent of each window and host, and all others as one row. What
            nobody can explain: look at the events around it, and at how he came in.""",
            report="report_privilege",
            fields=["user", "target_user", "object", "count"],
            tags=["host", "program", "outcome", "rank"],
            names={
                "Time": "Window",
                "host": "Host",
                "program": "Program",
                "user": "Who",
                "target_user": "As whom",
                "object": "What",
                "count": "Times",
                "rank": "Rank",
            },
            worst=["Window", "Times"],
            where="\"outcome\" = 'success'",
        ),
    ]


def _accounts() -> list[object]:
    return [
        _table(
            "Accounts, groups and passwords that were changed",
            """Each change should have somebody who knows of it. One that nobody made: lock the
            account, and find out who was logged in as root then.""",
            report="report_accounts",
            fields=["user", "target_user", "object", "reason", "count"],
            tags=["host", "program", "action", "outcome", "rank"],
            names={
                "Time": "Window",
                "host": "Host",
                "action": "Change",
                "target_user": "Account",
                "object": "Group, or what",
                "user": "By whom",
                "program": "Program",
                "outcome": "Outcome",
                "reason": "Reason",
                "count": "Times",
                "rank": "Rank",
            },
            worst=["Window"],
        )
    ]


def _sessions() -> list[object]:
    return [
        graph(
            "Sessions that began",
            """By host. More than usual at an hour when nobody works: see who on the dashboard
            Authentication, action session_open.""",
            InfluxQuery(
                REPORTS,
                sums_of_report(
                    "report_sessions",
                    ["opened"],
                    ["host", "program"],
                    f"{chosen('host')} AND {one_of('program', ['sshd', 'login'])}",
                    by=["host"],
                ),
                shape="time_series",
                alias="$tag_host",
            ),
            bars=True,
            stack=True,
            none=_NO_REPORT,
        ),
        _table(
            "Sessions by host and program",
            """As far as one window can know them: choose reports of 1d for long sessions. sshd and
            systemd-logind both tell of one login: do not add them up. Refused ones: PAM or a
            limit is in the way.""",
            report="report_sessions",
            fields=["opened", "closed", "refused", "open", "longest_seconds"],
            tags=["host", "program"],
            names={
                "Time": "Window",
                "host": "Host",
                "program": "Program",
                "opened": "Began",
                "closed": "Ended",
                "open": "Went on",
                "refused": "Refused",
                "longest_seconds": "Longest session",
            },
            worst=["Window"],
            width=12,
        ),
        table_of_findings(
            "Sessions: who, from where, how long",
            """Sessions by sshd or login that went on in this range, the newest first. One that
            nobody can explain: look at its events by a click on the name.""",
            none="No session in this range",
            severities="info",
            where="\"rule\" = 'session'",
        ),
        _table(
            "Hosts: starts, troubles of daemons, and gaps",
            """A start that nobody planned, a daemon that complains, or a part of a log that could
            not be read: what was in a gap is not known, so look at the log itself.""",
            report="report_hosts",
            fields=["last", "count", "starts", "stops", "daemon_errors", "gaps"],
            tags=["host"],
            names={
                "Time": "Window",
                "host": "Host",
                "count": "Events",
                "starts": "Starts",
                "stops": "Stops",
                "daemon_errors": "Daemon errors",
                "gaps": "Gaps",
            },
            worst=["Window"],
        ),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-findings",
        "Heptad / Findings and reports",
        "What was found, what is new, and who changed or became what. Red wants somebody now.",
        [
            source("prometheus"),
            source("events"),
            source("reports"),
            *instances(HOSTS),
            tag_of("host", "Host"),
            window(),
        ],
        *_overview(),
        "Privilege use",
        *_privilege(),
        "Accounts",
        *_accounts(),
        "Sessions and hosts",
        *_sessions(),
        since="now-24h",
    )

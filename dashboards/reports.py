"""Rows of the dashboard Findings and reports: those that read reports."""

from collections.abc import Mapping, Sequence
from typing import Final

from dashboards.findings_table import table_of_sessions
from dashboards.influxql import InfluxQuery, chosen, one_of, sums_of_report, table_of_report
from dashboards.panels import (
    GREEN,
    ORANGE,
    REPORTS,
    Properties,
    graph,
    reshape,
    rows,
    words,
)

_OUTCOMES: Final = words({"success": ("success", GREEN), "failure": ("refused", ORANGE)})
_LOOKS: Final[Mapping[str, Properties]] = {
    "Window": {"unit": "dateTimeAsIso", "custom.width": 170},
    "Outcome": {"mappings": [_OUTCOMES], "custom.cellOptions": {"type": "color-text"}},
    "Times": {"unit": "short", "custom.width": 80},
    "Rank": {"custom.width": 80},
    "Longest session": {"unit": "s"},
}
"""Heading → how its column looks."""
_PRIVILEGES: Final = {
    "Time": "Window",
    "host": "Host",
    "program": "Program",
    "user": "Who",
    "target_user": "As whom",
    "object": "What",
    "reason": "Reason",
    "count": "Times",
    "rank": "Rank",
}
"""Tag or field of the report of privileges → heading."""
_NO_REPORT: Final = "No report in this range: choose a longer range, or reports of 5m"


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
        InfluxQuery(
            REPORTS,
            f"{table_of_report(report, fields, tags, condition)} ORDER BY time DESC LIMIT 1000",
        ),
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


def privilege_over_time() -> list[object]:
    """How often somebody became somebody else."""
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
    ]


def refused() -> list[object]:
    """Who may not."""
    return [
        _table_of_privileges(
            "Who was refused",
            """Ask him what he wanted, or give him what he needs for his work. Rank others: all
            beyond the twenty most frequent of a host.""",
            "failure",
            _PRIVILEGES,
            width=12,
        ),
    ]


def allowed() -> list[object]:
    """Who may."""
    return [
        _table_of_privileges(
            "Who ran what as whom",
            """The twenty most frequent of each window and host, and all others as one row. What
            nobody can explain: look at the events around it, and at how he came in.""",
            "success",
            {name: heading for name, heading in _PRIVILEGES.items() if name != "reason"},
        ),
    ]


def _table_of_privileges(
    title: str, about: str, outcome: str, names: Mapping[str, str], width: int = 24
) -> object:
    fields = ("user", "target_user", "object", "reason", "count")
    return _table(
        title,
        about,
        report="report_privilege",
        fields=[name for name in fields if name in names],
        tags=["host", "program", "outcome", "rank"],
        names=names,
        worst=["Window", "Times"],
        where=f"\"outcome\" = '{outcome}'",
        width=width,
    )


def accounts() -> list[object]:
    """What was changed of accounts."""
    return [
        _table(
            "Accounts, groups and passwords that were changed",
            """Each change should have somebody who knows of it. One that nobody made: lock the
            account, and find out who was logged in as root then.""",
            report="report_accounts",
            fields=["program", "user", "target_user", "object", "reason", "count"],
            tags=["host", "action", "outcome", "rank"],
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


def sessions_over_time() -> list[object]:
    """How many sessions began."""
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
    ]


def sessions() -> list[object]:
    """Sessions, in numbers and one by one."""
    return [
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
        table_of_sessions(
            "Sessions: who, from where, how long",
            """Sessions by sshd or login that went on in this range, the newest first. An open one
            has no end yet. One that nobody can explain: look at the logins of the user.""",
            none="No session in this range",
        ),
    ]


def hosts() -> list[object]:
    """What hosts went through."""
    return [
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

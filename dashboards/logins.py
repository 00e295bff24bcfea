"""The dashboard Logins: who logs in, by what method, and what about it is unusual."""

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.current import query, table_of_findings, tile_of_findings
from dashboards.events import total_of_events
from dashboards.frame import hosts, job, lay_out, source
from dashboards.hosts import LOGINS, NOT_RECORDED, worst_hosts
from dashboards.influxql import IN_RANGE, InfluxQuery, chosen, one_of
from dashboards.panels import (
    BLUE,
    EVENTS,
    LOOK_ABOVE_ZERO,
    ORANGE,
    RED,
    REPORTS,
    ask,
    graph,
    grid,
    reshape,
)
from dashboards.top import NO_REPORT, most_frequent, top_of

_NEW: Final = (
    "new_network",
    "new_host",
    "unusual_hour",
    "new_account_login",
    "first_sudo",
    "second_factor",
)
_GOT_IN: Final = ("success_after_failures", "root_password_login", *_NEW)
_FOUND: Final = query("high|medium|low", where=one_of("rule", _GOT_IN))
_OF_LOGINS: Final = f"{IN_RANGE} AND {chosen('host')} AND \"action\" = 'login'"
_SUCCESS: Final = "\"outcome\" = 'success'"
_FAILURE: Final = "\"outcome\" = 'failure'"


def _logins(title: str, about: str, *conditions: str) -> object:
    return total_of_events(title, about, " AND ".join([_OF_LOGINS, *conditions]), width=4)


def _numbers() -> list[object]:
    return [
        _logins(
            "Logins",
            """Number of successful logins. If there are more than you expect, see below who logged
            in.""",
            _SUCCESS,
        ),
        _logins(
            "By password",
            """Logins by password or by challenge and response. A password can be guessed. If your
            users normally log in with keys, find out who it was.""",
            _SUCCESS,
            one_of("method", ("password", "challenge")),
        ),
        _logins(
            "Failed logins",
            """Number of failed logins. Background noise is normal for a host on the internet:
            compare with yesterday.""",
            _FAILURE,
        ),
        tile_of_findings(
            "Unusual logins",
            "Findings about logins; the table above lists them, from the same answer.",
            _FOUND,
            of="finding",
            steps=LOOK_ABOVE_ZERO,
        ),
        tile_of_findings(
            "New networks",
            "Users who came from a network that is new for them; they are rows of the table above.",
            _FOUND,
            of="finding",
            rules="^new_network$",
            steps=LOOK_ABOVE_ZERO,
        ),
        tile_of_findings(
            "Unusual hours",
            "Users who logged in at an hour that is unusual for them; see the table above.",
            _FOUND,
            of="finding",
            rules="^unusual_hour$",
            steps=LOOK_ABOVE_ZERO,
        ),
    ]


def _how(title: str, about: str, outcome: str) -> object:
    return graph(
        title,
        about,
        InfluxQuery(
            EVENTS,
            f'SELECT sum("count") FROM "events" WHERE {_OF_LOGINS} AND {outcome} '
            'GROUP BY time($__interval), "program", "method" fill(none)',
            shape="time_series",
            alias="$tag_program $tag_method",
        ),
        bars=True,
        stack=True,
        none="None in this range, or the query failed (icon in the corner)",
    )


def _by_hour() -> list[object]:
    return [
        grid(
            "Who logged in when",
            """A row for each user, a cell for each full hour in which they logged in, on all hosts.
            If a user logged in at night or for the first time, open them in the table above.""",
            InfluxQuery(REPORTS, most_frequent("user", "success")),
            steps=((None, BLUE),),
            shaping=[
                reshape(
                    "groupingToMatrix",
                    columnField="value",
                    rowField="Time",
                    valueField="count",
                    emptyValue="null",
                ),
                reshape(
                    "convertFieldType",
                    conversions=[{"targetField": "Time\\value", "destinationType": "time"}],
                ),
            ],
            none=NO_REPORT,
        ),
        grid(
            "Failed logins, the twenty worst hosts",
            """A row for each host; a cell is an hour or more, orange from 20 failures, red from
            200. One colored row means that one host is under attack; one colored column means a
            scan of all hosts.""",
            ask(
                worst_hosts(LOGINS, "sum", 'outcome="failure"', most=20),
                "{{host}}",
                step="1h",
            ),
            steps=((None, "transparent"), (1, BLUE), (20, ORANGE), (200, RED)),
            none=f"None in this range, or {NOT_RECORDED}",
        ),
    ]


def _tops() -> list[object]:
    return [
        top_of(
            "Addresses that failed most",
            """Where failed logins came from. Block an address in the firewall if it continues for
            hours.""",
            "address",
            "Address",
        ),
        top_of(
            "Names tried most",
            """User names of failed logins. If a name is one of your accounts other than root,
            someone knows it.""",
            "user",
            "User",
        ),
        top_of(
            "Targets tried most",
            """The attacked hosts and services. Check whether they must be reachable from these
            addresses, and close those that are not needed.""",
            "target",
            "Target",
        ),
        top_of(
            "Why logins failed",
            """Reasons of failed logins: bad_credential is a wrong password, invalid_user is a
            guessed name, not_allowed is a login that your own rules do not permit. Investigate a
            reason that is new.""",
            "reason",
            "Reason",
        ),
    ]


def build() -> dashboard.Dashboard:
    return lay_out(
        "heptad-logins",
        "Logins",
        """Who logs in, and is anything unusual? Ask the owner of the account about unusual logins;
        if they do not know of them, lock the account.""",
        [source("prometheus"), source("events"), source("reports"), job(), hosts()],
        table_of_findings(
            "Logins to look at",
            """Logins after failures, by root with a password, from a new network, on a new host, at
            an unusual hour, or of a new account. Ask the owner of the account; if they do not know
            of it, lock the account, end its sessions and open the finding.""",
            _FOUND,
        ),
        *_numbers(),
        _how(
            "Logins by program and method",
            """How users log in. If you see passwords where only keys are used, or an unexpected
            program, see who it was on the dashboard Investigate.""",
            _SUCCESS,
        ),
        _how(
            "Failures by program and method",
            """Methods of failed logins. Failures by publickey are old keys or agents with many
            keys; failures by password are guesses. Disable methods that are not needed
            (PasswordAuthentication no).""",
            _FAILURE,
        ),
        *_by_hour(),
        *_tops(),
        since="now-24h",
    )

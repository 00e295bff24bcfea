"""The dashboard Privileges: who became another user, what they ran, and changed accounts."""

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.current import query, table_of_findings, tile_of_findings
from dashboards.events import (
    CHANGES,
    POWER,
    graph_of_outcomes,
    table_of_events,
    total_of_events,
)
from dashboards.frame import hosts, job, lay_out, source, text
from dashboards.influxql import IN_RANGE, chosen, matches, one_of
from dashboards.panels import BLUE, LOOK_ABOVE_ZERO, ORANGE
from dashboards.sessions import table_of_sessions

_RULES: Final = (
    "account_change",
    "password_change",
    "sudo_refused",
    "su_to_root",
    "first_sudo",
    "root_password_login",
    "new_account_login",
)
_WHOM: Final = (IN_RANGE, chosen("host"), matches("user", "user", "target_user"))
_FOUND: Final = query("high|medium|low", narrow=("host", "user"), where=one_of("rule", _RULES))


def _where(actions: Sequence[str], outcome: str = "") -> str:
    end = [f"\"outcome\" = '{outcome}'"] if outcome else []
    return " AND ".join([*_WHOM, one_of("action", actions), *end])


def _numbers() -> list[object]:
    return [
        total_of_events(
            "Became another user",
            "Uses of sudo, su and similar programs that were allowed. The table below lists them.",
            _where(POWER, "success"),
            width=6,
        ),
        total_of_events(
            "Uses refused",
            "Uses that were refused: ask the user what they wanted. The table below lists them.",
            _where(POWER, "failure"),
            steps=((None, BLUE), (1, ORANGE)),
            width=6,
        ),
        total_of_events(
            "Changes of accounts",
            "Accounts, groups and passwords that were changed. Find out who made each change.",
            _where(CHANGES),
            width=6,
        ),
        tile_of_findings(
            "Findings listed above",
            "The table above lists them, from the same query.",
            _FOUND,
            of="finding",
            steps=LOOK_ABOVE_ZERO,
            width=6,
        ),
    ]


def _over_time() -> object:
    return graph_of_outcomes(
        "Uses of privilege by outcome",
        """Several refusals mean that someone tries what they may not do. After a sudden increase at
        night, see in the tables below who it was.""",
        _where(POWER),
        none="None in this range, or the query failed (icon in the corner)",
        width=24,
        height=6,
    )


def build() -> dashboard.Dashboard:
    variables: list[Any] = [
        source("prometheus"),
        source("events"),
        source("reports"),
        job(),
        hosts(),
        text("user", "User", "A part of the name that acted or was acted on; empty: any"),
    ]
    return lay_out(
        "heptad-privileges",
        "Privileges and accounts",
        """Who became another user, what did they run, and which accounts were changed? Ask
        about unexpected entries; a click on a name opens Investigate.""",
        variables,
        table_of_findings(
            "Findings about privileges",
            """Refused uses of sudo, first uses, changes of accounts and passwords, logins as root.
            Find out who did each.""",
            _FOUND,
            height=7,
        ),
        *_numbers(),
        table_of_events(
            "Refused",
            "Ask the user what they tried to do, or grant them the rights that they need.",
            _where(POWER, "failure"),
            without=("source_ip", "method"),
            height=5,
        ),
        table_of_events(
            "Who ran what as whom",
            """Commands in full, with their exact times. For an unexpected command, open the
            user on Investigate and see how they logged in.""",
            _where(POWER, "success"),
            without=("source_ip", "method", "reason"),
            height=10,
        ),
        _over_time(),
        table_of_events(
            "Accounts, groups and passwords that were changed",
            """For an unexpected change, lock the account, and find out who was logged in as
            root at that time.""",
            _where(CHANGES),
            without=("user", "source_ip", "method", "reason"),
            height=7,
        ),
        table_of_sessions(chosen("host"), matches("user", "user")),
        since="now-24h",
    )

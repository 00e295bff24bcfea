"""The dashboard Investigate: all events about an address, a user, a host or a finding."""

from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.current import query, table_of_findings
from dashboards.events import (
    ANSWERS,
    CHANGES,
    MOST,
    POWER,
    STEPS,
    graph_of_outcomes,
    table_of_events,
    total_of_events,
)
from dashboards.frame import (
    hosts,
    job,
    lay_out,
    several,
    source,
    tag_of,
    text,
)
from dashboards.influxql import IN_RANGE, InfluxQuery, chosen, matches, one_of
from dashboards.panels import (
    BLUE,
    EVENTS,
    ORANGE,
    grid,
    number,
    words,
)
from dashboards.sessions import table_of_sessions

_WHOM: Final = (
    chosen("host"),
    chosen("program"),
    matches("user", "user", "target_user"),
    matches("address", "source_ip", "source_domain", "tty"),
    matches("text", "raw", flags=""),
)
_WHERE: Final = " AND ".join([IN_RANGE, *_WHOM, chosen("action")])
_ONE_FINDING: Final = '"rule" !~ /(?:${finding:regex})^/'
"""Without a finding, InfluxDB reads no row: only an empty text can precede the start of a tag."""
_WITHOUT_ADDRESS: Final = " AND ".join([IN_RANGE, *(c for c in _WHOM if "source_ip" not in c)])


def _evidence() -> object:
    conditions = [
        "time >= ${__from}ms - 1d",
        "time <= ${__to}ms",
        '"finding" =~ /^${finding:regex}$/',
        _ONE_FINDING,
        "\"state\" = 'current'",
        *_WHOM,
    ]
    return table_of_events(
        "Evidence of the finding",
        """Exactly the events of the finding, with the lines as they were logged. This table is only
        filled if you opened this dashboard with a click on a finding.""",
        " AND ".join(conditions),
        evidence=True,
        none="Click on What of a finding above. If it is empty after a click, the query failed "
        "(icon in the corner)",
        height=6,
    )


def _counts() -> list[object]:
    return [
        total_of_events(
            "Events that match",
            f"All events that match the filters; the table shows the newest {MOST:,}.",
            _WHERE,
        ),
        total_of_events(
            "Failures",
            "Logins and uses of privilege that were refused. Many failures and then a success "
            "suggest a guessed password.",
            f"{_WHERE} AND \"outcome\" = 'failure'",
            steps=((None, BLUE), (1, ORANGE)),
        ),
        total_of_events(
            "Successes",
            "Someone logged in or became another user. If there were failures from the same "
            "address before, check this first.",
            f"{_WHERE} AND \"outcome\" = 'success'",
        ),
        number(
            "Hosts touched",
            "Hosts with events that match. More than one: follow the path from host to host in the "
            "history below.",
            InfluxQuery(
                EVENTS,
                'SELECT count("events") AS "hosts" FROM (SELECT sum("count") AS "events" FROM '
                f'"events" WHERE {_WHERE} GROUP BY "host")',
            ),
            none="Unknown",
            width=6,
            height=3,
        ),
    ]


def _over_time() -> list[object]:
    return [
        graph_of_outcomes(
            "Events by outcome",
            """When the events happened. Narrow the range to a sudden increase. Failures that end
            with a success suggest a guessed password.""",
            _WHERE,
            none="Nothing in this range, or the query failed (icon in the corner)",
        ),
        _path(),
    ]


def _path() -> object:
    parts = [
        f'(SELECT count("count") * 0 + {code} AS "state" FROM "events" WHERE {_WHERE} AND '
        f'"outcome" = \'{outcome}\' GROUP BY time($__interval), "host" fill(none))'
        for outcome, code in (("failure", 1), ("success", 2))
    ]
    query = InfluxQuery(
        EVENTS,
        f'SELECT max("state") FROM {", ".join(parts)} WHERE {IN_RANGE} '
        'GROUP BY time($__interval), "host" fill(none) SLIMIT 30',
        shape="time_series",
        alias="$tag_host",
    )
    return grid(
        "Path over hosts",
        """Where someone failed (orange) and where they succeeded (blue). Only the first 30 hosts by
        name are shown; narrow the filters to see others.""",
        query,
        mapping=words({"1": ("failure", ORANGE), "2": ("success", BLUE)}),
        none="Nothing in this range, or the query failed (icon in the corner)",
    )


def _events() -> object:
    return table_of_events(
        "Events",
        f"""The newest {MOST:,} events that match the filters, with the line as it was logged; the
        tile above shows how many there are. The field What was done is preset to the most important
        actions; choose All to see every step.""",
        _WHERE,
        height=14,
    )


def _power() -> object:
    return table_of_events(
        "Privileges and changes of accounts",
        """What the same users did with elevated privileges on these hosts: commands in full,
        accounts, groups and passwords. Such lines have no address, so the address filter does
        not apply to them. If no one can explain an entry, lock the account and end its
        sessions.""",
        f"{_WITHOUT_ADDRESS} AND {one_of('action', (*POWER, *CHANGES))}",
        without=("source_ip", "method"),
        height=8,
    )


def _variables() -> list[Any]:
    return [
        source("prometheus"),
        source("events"),
        source("reports"),
        job(),
        hosts(),
        text("address", "Address", "A part of the peer's address or name; empty: any"),
        text("user", "User", "A part of the name that acted or was acted on; empty: any"),
        text("text", "Line", "A part of the line exactly as it was logged; empty: any"),
        several("action", "What", "What was done", (*ANSWERS, *STEPS), ANSWERS),
        tag_of("program", "Program"),
        text("finding", "Finding", "The id of a finding; a click on a finding fills it in"),
    ]


def build() -> dashboard.Dashboard:
    return lay_out(
        "heptad-investigate",
        "Investigate",
        """What exactly happened? The fields above filter every panel; a click on a name filters by
        it. Find out whether they got in, on which other hosts, and what they did.""",
        _variables(),
        table_of_findings(
            "Findings about it",
            "All findings about the selected host, address and user, including low ones.",
            query("high|medium|low", narrow=("host", "address", "user", "finding")),
            height=6,
        ),
        *_counts(),
        _evidence(),
        *_over_time(),
        _events(),
        _power(),
        table_of_sessions(chosen("host"), matches("user", "user"), matches("address", "address")),
        since="now-24h",
    )

"""Investigate: what exactly happened, about an address, a user, a host or a finding."""

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, statushistory
from grafana_foundation_sdk.models import common as shapes

from dashboards.current import query, table_of_findings
from dashboards.frame import (
    hosts,
    job,
    keep,
    lay_out,
    link,
    put,
    several,
    source,
    tag_of,
    text,
)
from dashboards.influxql import IN_RANGE, InfluxQuery, chosen, matches, one_of
from dashboards.panels import (
    BLUE,
    EVENTS,
    GREEN,
    NEUTRAL,
    ORANGE,
    RED,
    REPORTS,
    Properties,
    Steps,
    colored,
    graph,
    number,
    reshape,
    rows,
    words,
)

_ANSWERS: Final = (
    *("login", "session_open", "privilege", "command", "lockout"),
    *("account_create", "account_delete", "account_modify", "password_change"),
    *("group_create", "group_delete", "group_modify", "member_add", "member_remove", "gap"),
)
"""Actions that say what someone did; the others are steps on the way there."""
_STEPS: Final = (
    *("authentication", "authorization", "connect", "daemon_error", "disconnect", "forwarding"),
    *("handshake", "host_resume", "host_start", "host_stop", "invalid_user", "not_allowed"),
    *("offer", "password_expiry", "penalty", "service_start", "service_stop", "session_close"),
)
POWER: Final = ("privilege", "command")
CHANGES: Final = (*_ANSWERS[5:-1], "lockout")
"""Actions with power, and those that change accounts."""
_OUTCOMES: Final = words(
    {"success": ("success", GREEN), "failure": ("failure", ORANGE), "unknown": ("–", BLUE)}
)
_WHOM: Final = (
    chosen("host"),
    chosen("program"),
    matches("user", "user", "target_user"),
    matches("address", "source_ip", "source_domain", "tty"),
    matches("text", "raw"),
)
_WHERE: Final = " AND ".join([IN_RANGE, *_WHOM, chosen("action")])
_SINCE: Final = " AND ".join([IN_RANGE, *_WHOM])
_COLUMNS: Final = {
    "host": "Host",
    "program": "Program",
    "action": "What",
    "outcome": "Outcome",
    "user": "User",
    "target_user": "Became",
    "source_ip": "From",
    "object": "Command or object",
    "method": "Method",
    "reason": "Reason",
    "count": "Times",
    "raw": "Line",
}
"""Tag or field → heading, in order."""
_MOST: Final = 1000


def _look() -> dict[str, Properties]:
    sources = keep("prometheus_datasource", "events_datasource", "reports_datasource")

    def to(name: str, heading: str) -> Properties:
        there = link(
            f"Investigate this {name}",
            "heptad-investigate",
            *sources,
            put(name, f"__data.fields.{heading}"),
        )
        return {"links": [there]}

    return {
        "Time": {"unit": "dateTimeAsIso", "custom.width": 165},
        "Host": {"custom.width": 110, **to("host", "Host")},
        "Program": {"custom.width": 75},
        "What": {"custom.width": 110},
        "Outcome": {"mappings": [_OUTCOMES], "custom.width": 75, **colored("color-text")},
        "User": {"custom.width": 90, **to("user", "User")},
        "Became": {"custom.width": 80},
        "From": {"custom.width": 120, **to("address", "From")},
        "Command or object": {"custom.minWidth": 220},
        "Method": {"custom.width": 80},
        "Reason": {"custom.width": 100},
        "Times": {"unit": "short", "custom.width": 60},
        "Line": {"custom.minWidth": 320},
    }


def _table(title: str, about: str, query: str, datasource: Any, *, height: int) -> object:
    return rows(
        title,
        about,
        InfluxQuery(datasource, query),
        _look(),
        none="Nothing in this range, or no answer: see the corner",
        worst=["Time"],
        height=height,
    )


def _select(names: Sequence[str] = tuple(_COLUMNS)) -> str:
    return ", ".join(f'"{name}" AS "{_COLUMNS[name]}"' for name in names)


def _evidence() -> object:
    conditions = [
        "time >= ${__from}ms - 1d",
        "time <= ${__to}ms",
        '"finding" =~ /^${finding:regex}$/',
        "\"state\" = 'current'",
        *_WHOM,
    ]
    return _table(
        "Evidence of the finding",
        """The events that the finding is made of, and no others, with the lines as they were
        logged. Filled where a click on a finding opened this dashboard.""",
        f'SELECT {_select()} FROM "evidence" WHERE {" AND ".join(conditions)} '
        f"ORDER BY time DESC LIMIT {_MOST}",
        REPORTS,
        height=8,
    )


def total_of_events(
    title: str, about: str, where: str, *, steps: Steps = NEUTRAL, width: int = 6
) -> object:
    """How many events there are; zero only where there is any event in the range."""
    found = f'SELECT sum("count") AS "events" FROM "events" WHERE {where}'
    # without a match there is no row; any event of the range proves that the answer is zero
    proof = f'SELECT last("count") * 0 AS "events" FROM "events" WHERE {IN_RANGE}'
    query = f'SELECT sum("events") AS "events" FROM ({found}), ({proof})'
    return number(
        title,
        about,
        InfluxQuery(EVENTS, query),
        steps=steps,
        none="Unknown",
        width=width,
        height=3,
    )


def graph_of_outcomes(
    title: str, about: str, where: str, *, none: str, width: int = 12, height: int = 8
) -> object:
    """How many events there were when, by how they ended."""
    return graph(
        title,
        about,
        InfluxQuery(
            EVENTS,
            f'SELECT sum("count") FROM "events" WHERE {where} '
            'GROUP BY time($__interval), "outcome" fill(none)',
            shape="time_series",
            alias="$tag_outcome",
        ),
        bars=True,
        stack=True,
        colors={"success": GREEN, "failure": ORANGE, "unknown": BLUE},
        none=none,
        width=width,
        height=height,
    )


def _counts() -> list[object]:
    return [
        total_of_events(
            "Events that match",
            f"All that the filters let through; the table shows {_MOST:,}.",
            _WHERE,
        ),
        total_of_events(
            "Failures",
            "Logins and uses of privilege that were refused. Many and then a success: someone "
            "guessed a password.",
            f"{_WHERE} AND \"outcome\" = 'failure'",
            steps=((None, BLUE), (1, ORANGE)),
        ),
        total_of_events(
            "Successes",
            "Someone got in or became someone else. After failures from the same address this is "
            "what to look at first.",
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
            """When it happened. Narrow the range to a step; failures that end with a success are
            a guessed password.""",
            _WHERE,
            none="Nothing in this range, or no answer: see the corner",
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
    panel = statushistory.Panel().title("Path over hosts")
    panel.description(
        "Failures are orange, successes red: where someone tried, and where they got in. The first "
        "30 hosts by name; narrow the filters to see others."
    )
    panel.datasource(EVENTS).targets([query]).span(12).height(8).unit("none")
    panel.no_value("Nothing in this range, or no answer: see the corner")
    panel.mappings([words({"1": ("failure", ORANGE), "2": ("success", RED)})])
    return panel.show_value(shapes.VisibilityMode.NEVER).row_height(0.9).col_width(0.95)


def table_of_events(title: str, about: str, where: str, *, height: int) -> object:
    """The newest events with this condition."""
    query = f'SELECT {_select()} FROM "events" WHERE {where} ORDER BY time DESC LIMIT {_MOST}'
    return _table(title, about, query, EVENTS, height=height)


def _events() -> object:
    return _table(
        "Events",
        f"""The newest {_MOST:,} that the filters let through, with the line as it was logged; the
        tile above says how many there are. What is preset to actions that answer who did what;
        choose All for each step.""",
        f'SELECT {_select()} FROM "events" WHERE {_WHERE} ORDER BY time DESC LIMIT {_MOST}',
        EVENTS,
        height=14,
    )


def _power() -> object:
    return _table(
        "Privileges and changes of accounts",
        """What the same users did with power on these hosts: commands in full, accounts, groups and
        passwords. Something that nobody can explain: lock the account and end its sessions.""",
        f'SELECT {_select()} FROM "events" WHERE {_SINCE} '
        f"AND {one_of('action', (*POWER, *CHANGES))} ORDER BY time DESC LIMIT {_MOST}",
        EVENTS,
        height=8,
    )


def _sessions() -> object:
    names = {
        "first": "Began",
        "user": "User",
        "address (first)": "From",
        "host": "Host",
        "program (first)": "Program",
        "seconds (first)": "Length",
        "end (first)": "End",
        "last (first)": "Last event",
    }
    key = ("host", "first", "user")
    others = ("last", "address", "program", "end", "seconds", "state")
    grouped: dict[str, object] = {n: {"aggregations": [], "operation": "groupby"} for n in key}
    grouped |= {n: {"aggregations": ["first"], "operation": "aggregate"} for n in others}
    fields = [f'"{name}" / 1000000 AS "{name}"' for name in ("first", "last")]
    fields += [f'"{name}"' for name in ("user", "host", *others[1:])]
    conditions = [
        "time >= ${__from}ms - 8d",
        "time <= ${__to}ms",
        '("last" >= ${__from}000000 OR "overdue" >= ${__from}000000)',
        chosen("host"),
        matches("user", "user"),
        matches("address", "address"),
    ]
    times: Properties = {"unit": "dateTimeAsIso", "custom.width": 165}
    return rows(
        "Sessions",
        """Sessions by sshd or login that went on in this range, the newest first. One that is open
        has no end yet: the user may still be logged in.""",
        InfluxQuery(
            REPORTS,
            f'SELECT {", ".join(fields)} FROM "sessions" WHERE {" AND ".join(conditions)} '
            "ORDER BY time DESC LIMIT 5000",
        ),
        {"Began": times, "Last event": times, "Length": {"unit": "s", "custom.width": 90}},
        none="No session in this range, or no answer: see the corner",
        worst=["Began"],
        shaping=[
            reshape("groupBy", fields=grouped),
            reshape(
                "filterByValue",
                type="include",
                match="all",
                filters=[
                    {
                        "fieldName": "state (first)",
                        "config": {"id": "equal", "options": {"value": "current"}},
                    }
                ],
            ),
            reshape(
                "organize",
                excludeByName={"state (first)": True},
                indexByName={name: place for place, name in enumerate(names)},
                renameByName=names,
            ),
        ],
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
        text("text", "Line", "A part of the line as it was logged; empty: any"),
        several("action", "What", "What was done", (*_ANSWERS, *_STEPS), _ANSWERS),
        tag_of("program", "Program"),
        text("finding", "Finding", "The id of a finding; a click on a finding fills it in"),
    ]


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return lay_out(
        "heptad-investigate",
        "Investigate",
        """What exactly happened? Everything is narrowed by the fields above; a click on a name
        narrows to it. Follow: did they get in, where else, what did they do.""",
        _variables(),
        table_of_findings(
            "Findings about it",
            """What was found about the chosen host, address and user, also low ones.""",
            query("high|medium|low", narrow=("host", "address", "user", "finding")),
            height=5,
        ),
        *_counts(),
        _evidence(),
        *_over_time(),
        _events(),
        _power(),
        _sessions(),
        since="now-24h",
    )

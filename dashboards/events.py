"""Panels of events: how many, when and which, with the lines as they were logged."""

from typing import Final

from dashboards.frame import keep, link, put
from dashboards.influxql import IN_RANGE, InfluxQuery
from dashboards.panels import (
    BLUE,
    EVENTS,
    GREEN,
    NEUTRAL,
    ORANGE,
    REPORTS,
    Properties,
    Steps,
    colored,
    graph,
    number,
    rows,
    words,
)

ANSWERS: Final = (
    *("login", "session_open", "privilege", "command", "lockout"),
    *("account_create", "account_delete", "account_modify", "password_change"),
    *("group_create", "group_delete", "group_modify", "member_add", "member_remove", "gap"),
)
"""Actions that say what someone did; the others are steps on the way there."""
STEPS: Final = (
    *("authentication", "authorization", "connect", "daemon_error", "disconnect", "forwarding"),
    *("handshake", "host_resume", "host_start", "host_stop", "invalid_user", "not_allowed"),
    *("offer", "password_expiry", "penalty", "service_start", "service_stop", "session_close"),
)
POWER: Final = ("privilege", "command")
CHANGES: Final = (*ANSWERS[5:-1], "lockout")
"""Actions with power, and those that change accounts."""
_OUTCOMES: Final = words(
    {"success": ("success", GREEN), "failure": ("failure", ORANGE), "unknown": ("–", BLUE)}
)
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
MOST: Final = 1000


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


def table_of_events(
    title: str,
    about: str,
    where: str,
    *,
    evidence: bool = False,
    height: int,
) -> object:
    """The newest events with this condition; ``evidence``: of findings, with the same columns."""
    columns = ", ".join(f'"{name}" AS "{heading}"' for name, heading in _COLUMNS.items())
    measurement = "evidence" if evidence else "events"
    query = f'SELECT {columns} FROM "{measurement}" WHERE {where} ORDER BY time DESC LIMIT {MOST}'
    return rows(
        title,
        about,
        InfluxQuery(REPORTS if evidence else EVENTS, query),
        _look(),
        none="Nothing in this range, or no answer: see the corner",
        worst=["Time"],
        height=height,
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

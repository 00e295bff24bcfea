"""Panels of events: counts, graphs, and tables with the original log lines."""

from collections.abc import Sequence
from typing import Final

from dashboards.frame import investigate
from dashboards.influxql import IN_RANGE, InfluxQuery
from dashboards.panels import (
    BLUE,
    EVENTS,
    GREY,
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
"""Actions that show what someone did; the others are intermediate steps."""
STEPS: Final = (
    *("authentication", "authorization", "connect", "daemon_error", "disconnect", "forwarding"),
    *("handshake", "host_resume", "host_start", "host_stop", "invalid_user", "not_allowed"),
    *("offer", "password_expiry", "penalty", "service_start", "service_stop", "session_close"),
)
POWER: Final = ("privilege", "command")
CHANGES: Final = (*ANSWERS[5:-1], "lockout")
"""Actions with privileges, and those that change accounts."""
_OUTCOMES: Final = words(
    {"success": ("success", BLUE), "failure": ("failure", ORANGE), "unknown": ("–", GREY)}
)
_COLUMNS: Final = {
    "host": "Host",
    "action": "What",
    "outcome": "Outcome",
    "user": "User",
    "target_user": "Became",
    "source_ip": "From",
    "object": "Command or object",
    "raw": "Line",
    "program": "Program",
    "method": "Method",
    "reason": "Reason",
    "count": "Times",
}
"""Tag or field → heading, in order: the line is placed where it is visible without scrolling."""
MOST: Final = 1000


_LOOK: Final[dict[str, Properties]] = {
    "Time": {"unit": "dateTimeAsIso", "custom.width": 165},
    "Host": {"custom.width": 105, **investigate("host", "Host")},
    "What": {"custom.width": 105},
    "Outcome": {"mappings": [_OUTCOMES], "custom.width": 82, **colored("color-text")},
    "User": {"custom.width": 85, **investigate("user", "User")},
    "Became": {"custom.width": 80, **investigate("user", "Became")},
    "From": {"custom.width": 115, **investigate("address", "From")},
    "Command or object": {"custom.minWidth": 190, "custom.inspect": True},
    "Line": {"custom.minWidth": 300, "custom.inspect": True},
    "Program": {"custom.width": 80},
    "Method": {"custom.width": 85},
    "Reason": {"custom.width": 105},
    "Times": {"unit": "locale", "custom.width": 60},
}


def table_of_events(
    title: str,
    about: str,
    where: str,
    *,
    evidence: bool = False,
    without: Sequence[str] = (),
    none: str = "Nothing in this range, or the query failed (icon in the corner)",
    height: int,
) -> object:
    """Create a table of the newest events with this condition.

    ``evidence``: query the evidence of findings, with the same columns. ``without``: tags and
    fields that such events never have.
    """
    shown = {name: heading for name, heading in _COLUMNS.items() if name not in without}
    columns = ", ".join(f'"{name}" AS "{heading}"' for name, heading in shown.items())
    measurement = "evidence" if evidence else "events"
    query = f'SELECT {columns} FROM "{measurement}" WHERE {where} ORDER BY time DESC LIMIT {MOST}'
    return rows(
        title,
        about,
        InfluxQuery(REPORTS if evidence else EVENTS, query),
        {heading: _LOOK[heading] for heading in ("Time", *shown.values())},
        none=none,
        worst=["Time"],
        height=height,
    )


def total_of_events(
    title: str, about: str, where: str, *, steps: Steps = NEUTRAL, width: int = 6
) -> object:
    """Create a tile with the number of events; it only shows zero if the range has any event."""
    found = f'SELECT sum("count") AS "events" FROM "events" WHERE {where}'
    # without a match there is no row; any event in the range proves that the result is zero
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
    """Create a graph of the number of events over time, by outcome."""
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
        colors={"success": BLUE, "failure": ORANGE, "unknown": GREY},
        none=none,
        width=width,
        height=height,
    )

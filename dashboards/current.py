"""Lists of findings: the current row of each, and a proof that none is missing."""

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import common, stat, table

from dashboards.frame import investigate, link, put
from dashboards.influxql import IN_RANGE, InfluxQuery, quote
from dashboards.panels import (
    ACT_ABOVE_ZERO,
    BLUE,
    GREEN,
    ORANGE,
    RED,
    REPORTS,
    UNKNOWN,
    Properties,
    Steps,
    colored,
    levels,
    number,
    reshape,
    rows,
    words,
)

_HIDDEN: Final = {
    "level": '"level"',
    "high": '"high"',
    "medium": '"medium"',
    "finding": '"finding"',
    "id": '"id"',
    "address": '"address"',
    "one_address": '"one_address"',
    "user": '"user"',
    "host": '"host"',
    "since": '"begin" / 1000000 - 60000 AS "since"',
    "until": '"last" / 1000000 + 60000 AS "until"',
}
"""Columns for links, colors and sums."""
_SHOWN: Final = {
    "Severity": '"severity" AS "Severity"',
    "What": '"sentence" AS "What"',
    "From": '"from" AS "From"',
    "Who": '"who" AS "Who"',
    "Host": '"where" AS "Host"',
    "Events": '"count" AS "Events"',
    "Last seen": '"last" / 1000000 AS "Last seen"',
    "Rule": '"rule" AS "Rule"',
}
_READ: Final = (
    *("level", "high", "medium", "finding", "id"),
    *("address", "one_address", "user", "host", "begin", "last"),
    *("severity", "sentence", "from", "who", "where", "count"),
    *("state", "first", "hosts", "addresses", "users"),
)
_NARROW: Final = {
    "host": '"hosts" =~ /(?:^|")${host:regex}(?:"|$)/',
    "node": '"hosts" =~ /(?:^|")${node:regex}(?:"|$)/',
    "address": '"addresses" =~ /${address:regex}/',
    "user": '"users" =~ /${user:regex}/',
    "finding": '"id" =~ /${finding:regex}/',
}
_BEFORE: Final = "8d"
"""A finding lasts no longer than this."""


def query(
    severities: str = "high|medium", *, narrow: Sequence[str] = ("host",), where: str = ""
) -> InfluxQuery:
    """Query the current state of the findings that were active in the range.

    The last row, with level 0, proves that none is missing: it exists if the aggregator had
    processed all events in the five minutes before the end of the range.
    """
    conditions = [
        _stand(severities),
        '"last" >= ${__from}000000',
        '"first" <= ${__to}000000',
        *(_NARROW[name] for name in narrow),
        *([where] if where else []),
    ]
    current = _current_rows(
        _READ, f"time >= ${{__from}}ms - {_BEFORE} AND time <= ${{__to}}ms + 1h"
    )
    looked = (
        'SELECT last("last") AS "last", "level", "high", "medium", "finding", "sentence" '
        'FROM "looked" '
        "WHERE time >= ${__to}ms - 5m AND time <= ${__to}ms"
    )
    return InfluxQuery(
        REPORTS,
        f"SELECT {', '.join([*_SHOWN.values(), *_HIDDEN.values()])} FROM ({current}), ({looked}) "
        f'WHERE "level" = 0 OR ({" AND ".join(conditions)})',
    )


def findings_over_time(severities: str, narrow: str) -> str:
    """Query a row at the first event of each finding, with its rule as ``text``."""
    current = _current_rows(("state", "severity", "hosts"), IN_RANGE)
    return (
        f'SELECT "rule" AS "text", "revision" FROM ({current}) '
        f"WHERE {_stand(severities)} AND {_NARROW[narrow]}"
    )


def _current_rows(fields: Sequence[str], where: str) -> str:
    return (
        f'SELECT last("revision") AS "revision", {quote(fields)} FROM "findings_current" '
        f'WHERE {where} GROUP BY time(1u), "rule" fill(none)'
    )


def _stand(severities: str) -> str:
    return f'"state" = \'current\' AND "severity" =~ /^({severities})$/'


SEVERITY: Final = words(
    {
        "high": ("HIGH", RED),
        "medium": ("medium", ORANGE),
        "low": ("low", BLUE),
        "info": ("info", GREEN),
    }
)
_PROOF: Final = 0.2
"""The proof adds 0.25 to a sum."""
_UNPROVEN: Final = words({"0": ("Unknown", UNKNOWN)})
_NOT_KNOWN: Final = "Unknown: the query failed, or the aggregator has not run for 5 minutes"


def tile_of_findings(
    title: str,
    about: str,
    asked: InfluxQuery,
    *,
    of: str,
    steps: Steps = ACT_ABOVE_ZERO,
    rules: str = "",
    width: int = 4,
) -> stat.Panel:
    """Create a tile with the number of findings in ``asked``; ``of``: high, medium or finding.

    It shows "Unknown" if the response does not contain the proof. ``rules``: a pattern of the rules
    to count.
    """
    first, *others = steps
    panel = number(
        title,
        about,
        asked,
        steps=[(_PROOF, first[1]), *others],
        none="Unknown",
        width=width,
        height=3,
        mapping=_UNPROVEN,
    )
    panel.reduce_options(common.ReduceDataOptions().calcs(["sum"]).fields(f"/^{of}$/"))
    if rules:
        chosen = [
            {"fieldName": "Rule", "config": {"id": "regex", "options": {"value": rules}}},
            {"fieldName": "level", "config": {"id": "equal", "options": {"value": 0}}},
        ]
        panel.transformations(
            [reshape("filterByValue", type="include", match="any", filters=chosen)]
        )
    return panel


def _columns() -> dict[str, Properties]:
    evidence = link(
        "The events of this finding",
        "heptad-investigate",
        put("finding", "__data.fields.id"),
        put("address", "__data.fields.one_address"),
        # as text, because it has no decimals: Grafana reads 15 characters as a date
        time="from=${__data.fields.since.text}&to=${__data.fields.until.text}",
    )
    columns: dict[str, Properties] = {
        "Severity": {
            "mappings": [SEVERITY],
            **levels([(None, "transparent")]),
            "custom.width": 85,
            **colored(),
        },
        "What": {"links": [evidence], "custom.minWidth": 320, "custom.inspect": True},
        "From": {
            "custom.width": 140,
            **investigate("address", "address"),
        },
        "Who": {
            "custom.width": 130,
            **investigate("user", "user"),
        },
        "Host": {
            "custom.width": 130,
            **investigate("host", "host"),
        },
        "Events": {"unit": "locale", "custom.width": 75},
        "Last seen": {"unit": "dateTimeAsIso", "custom.width": 165},
        "Rule": {"custom.width": 170},
    }
    hidden: dict[str, Properties] = {n: {"custom.hidden": True} for n in ("Time", *_HIDDEN)}
    for name in ("since", "until"):
        hidden[name] = {"unit": "none", "decimals": 0, "custom.hidden": True}
    return columns | hidden


def table_of_findings(
    title: str,
    about: str,
    asked: InfluxQuery,
    *,
    height: int = 8,
) -> table.Panel:
    """Create a table of current findings, the most severe first, then the newest."""
    return rows(
        title,
        f"""{about} The last row shows up to when all events were processed; without it, the list
        is not complete.""",
        asked,
        _columns(),
        none=_NOT_KNOWN,
        shaping=[
            reshape("sortBy", fields={}, sort=[{"field": name, "desc": True}])
            for name in ("Last seen", "level")
        ],
        height=height,
    )

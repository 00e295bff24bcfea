"""Findings as lists: of each its current row, and the proof that none is missing."""

from collections.abc import Sequence
from typing import Final

from dashboards.influxql import InfluxQuery, quote
from dashboards.panels import REPORTS

_HIDDEN: Final = {
    "level": '"level"',
    "high": '"high"',
    "medium": '"medium"',
    "finding": '"finding"',
    "id": '"id"',
    "address": '"address"',
    "user": '"user"',
    "host": '"host"',
    "since": '"begin" / 1000000 - 60000 AS "since"',
    "until": '"last" / 1000000 + 60000 AS "until"',
}
"""What links, colours and sums need."""
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
    *("level", "high", "medium", "finding", "id", "address", "user", "host", "begin", "last"),
    *("severity", "sentence", "from", "who", "where", "count"),
    *("state", "first", "hosts", "addresses", "users"),
)
_NARROW: Final = {
    "host": '"hosts" =~ /"${host:regex}"/',
    "address": '"addresses" =~ /${address:regex}/',
    "user": '"users" =~ /${user:regex}/',
    "finding": '"id" =~ /${finding:regex}/',
}
_BEFORE: Final = "8d"
"""The longest finding begins so long before its end."""


def query(
    severities: str = "high|medium", *, narrow: Sequence[str] = ("host",), where: str = ""
) -> InfluxQuery:
    """The findings that went on in the range, each as it is now.

    And the proof that none is missing: a last row of level 0, if the aggregator had looked at all
    events in the five minutes before the end of the range.
    """
    conditions = [
        "\"state\" = 'current'",
        f'"severity" =~ /^({severities})$/',
        '"last" >= ${__from}000000',
        '"first" <= ${__to}000000',
        *(_NARROW[name] for name in narrow),
        *([where] if where else []),
    ]
    current = (
        f'SELECT last("revision") AS "revision", {quote(_READ)} FROM "findings_current" '
        f"WHERE time >= ${{__from}}ms - {_BEFORE} AND time <= ${{__to}}ms + 1h "
        'GROUP BY time(1u), "rule" fill(none)'
    )
    looked = (
        'SELECT last("last") AS "last", "level", "high", "medium", "finding" FROM "looked" '
        "WHERE time >= ${__to}ms - 5m AND time <= ${__to}ms"
    )
    return InfluxQuery(
        REPORTS,
        f"SELECT {', '.join([*_SHOWN.values(), *_HIDDEN.values()])} FROM ({current}), ({looked}) "
        f'WHERE "level" = 0 OR ({" AND ".join(conditions)})',
    )

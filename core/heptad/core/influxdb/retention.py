"""The retention and shard length of a bucket, as the server reports them.

1.x has both in the default retention policy of a database, 2.x in a bucket's retention rule.
"""

import json
from typing import Any, Final

from heptad.core import units
from heptad.core.influxdb.client import InfluxConnection, InfluxResponse
from heptad.core.influxdb.influxql import quote_name
from heptad.core.influxdb.statement import OK, StatementError, execute, foreign

_HOUR: Final = 3600
_DAY: Final = 86_400


def format_retention(seconds: int | None) -> str:
    """Format seconds as ``90d``, ``36h`` or ``5400s``; None and 0 are infinite."""
    if not seconds:
        return "infinite"
    for size, unit in ((_DAY, "d"), (_HOUR, "h")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def read_duration(policy: dict[str, Any], name: str = "duration") -> int:
    """1.x: return a policy's duration (``2160h0m0s``) in seconds; raise StatementError."""
    try:
        return int(units.parse_duration(str(policy.get(name))))
    except ValueError as error:
        raise foreign(InfluxResponse(OK, {}, str(error).encode())) from error


def default_policy(connection: InfluxConnection, database: str) -> dict[str, Any] | None:
    """1.x: return the default retention policy; None if the database does not exist.

    Raise StatementError or Unreachable.
    """
    try:
        rows = execute(connection, f"SHOW RETENTION POLICIES ON {quote_name(database)}")
    except StatementError as error:
        if error.status == OK and "database not found" in error.text:
            return None
        raise
    return next((row for row in rows if row.get("default")), {})


def read_rule(connection: InfluxConnection, bucket: str, name: str) -> int | None:
    """2.x: return a number of a bucket's retention rule; 0 if it has none, None if unknown.

    Its InfluxQL always reports a shard length of 168h. Raise Unreachable.
    """
    asked = {"org": connection.config.org, "name": bucket}
    answer = connection.request("GET", "/api/v2/buckets", asked)
    if answer.status != OK:
        return None
    try:
        buckets = json.loads(answer.body)["buckets"]
        rules = next(one["retentionRules"] for one in buckets if one["name"] == bucket)
        return int(rules[0][name]) if rules else 0
    except (ValueError, RecursionError, LookupError, TypeError, StopIteration):
        return None

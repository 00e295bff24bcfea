"""Test what this host may read and write on the server.

Read permission is tested with a query of the newest minute, write permission with a write without
lines: 1.6.7 and 2.7.12 check permissions first and return 204, 401, 403 or 404 as for a write with
lines. Such a write does not reach the disk, so if a point can be read it is written again
unchanged. 3.x creates a missing database on a write, so there the bucket has to exist; and 3.x does
not specify the result of writing a point twice.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from heptad.cli.influxdb_admin.setup import databases_3
from heptad.core.influxdb.client import InfluxConnection, InfluxResponse
from heptad.core.influxdb.influxql import quote_name
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.retention import default_policy
from heptad.core.influxdb.statement import (
    FORBIDDEN,
    MISSING,
    OK,
    UNAUTHORIZED,
    StatementError,
    execute,
)
from heptad.core.influxdb.write_errors import find_remedy, is_delivered
from heptad.core.store.api import StoreError
from heptad.core.store.line_protocol import decode_series, encode_line
from heptad.core.store.measurements import Measurement

_NO_CONTENT: Final = 204
_BAD_REQUEST: Final = 400
_NO_ORGANIZATION: Final = "organization name"


class Tried(NamedTuple):
    """``right``: None if it is unknown; ``missing``: the bucket does not exist.

    ``remedy``: set if it does not follow from the other fields.
    """

    right: bool | None
    status: int = OK
    text: str = ""
    missing: bool = False
    remedy: str = ""


def try_reading(
    connection: InfluxConnection, bucket: str, measurements: Sequence[Measurement]
) -> Tried:
    """Read the newest minute of a bucket."""
    try:
        if not _is_there(connection, bucket):
            return Tried(right=False, text="the server has no such database", missing=True)
        if connection.generation == 3:
            execute(connection, "SHOW MEASUREMENTS LIMIT 1", bucket)
        else:
            # 2.7 answers SHOW MEASUREMENTS whatever the permissions
            names = ", ".join(quote_name(one.name) for one in measurements)
            execute(
                connection,
                f"SELECT * FROM {names} WHERE time > now() - 1m LIMIT 1",  # noqa: S608 - quoted
                bucket,
            )
    except StatementError as error:
        gone = "not found" in error.text.lower() or error.status == MISSING
        # 2.x reports a bucket that may not be read as missing
        missing = gone and connection.generation != 2
        return Tried(right=False, status=error.status, text=error.text, missing=missing)
    return Tried(right=True)


def _is_there(connection: InfluxConnection, bucket: str) -> bool:
    """Return False only if the bucket certainly does not exist; raise StatementError."""
    if connection.generation == 1:
        return default_policy(connection, bucket) is not None
    if connection.generation == 3:
        with suppress(StatementError):  # only administrators may list them
            return bucket in databases_3(connection)
    return True


def try_writing(
    connection: InfluxConnection, bucket: str, measurement: Measurement, reading: Tried
) -> Tried:
    """Write an empty request to a bucket, then an existing point; ``reading`` is the read test."""
    if reading.missing:
        return reading
    answer = _write(connection, bucket, "")
    status, text = answer.status, answer.text
    # 2.0 returns 400, "writing requires points", if it would accept lines
    if status not in (_NO_CONTENT, _BAD_REQUEST) or answer.is_page:
        right = False if status in (UNAUTHORIZED, FORBIDDEN, MISSING) else None
        missing = status == MISSING and _NO_ORGANIZATION not in text
        return Tried(right=right, status=status, text=text, missing=missing)
    if reading.right and connection.generation != 3:
        line = _find_line(connection, bucket, measurement)
        answer = _write(connection, bucket, line) if line else answer
        if line and not is_delivered(answer):
            remedy = find_remedy(answer)
            return Tried(right=None, status=answer.status, text=answer.text, remedy=remedy)
    return Tried(right=True)


def _write(connection: InfluxConnection, bucket: str, line: str) -> InfluxResponse:
    path, query = "/write", {"db": bucket, "precision": "ns"}
    if connection.generation != 1:
        path = "/api/v2/write"
        query = {"org": connection.config.org, "bucket": bucket, "precision": "ns"}
    return connection.request("POST", path, query, line.encode())


def _find_line(connection: InfluxConnection, bucket: str, measurement: Measurement) -> str:
    """Return one field of a point of the last hour as a line; empty if there is none."""
    field, name = measurement.always, quote_name(measurement.name)
    query = (
        f"SELECT {quote_name(field)} FROM {name} WHERE time > now() - 1h "  # noqa: S608 - quoted
        "GROUP BY * LIMIT 1 SLIMIT 1"
    )
    with suppress(StoreError, TypeError, ValueError):  # if nothing of Heptad is stored
        for series in Reader(connection, bucket).ask(query):
            tags = {tag: value for tag, value in series.tags.items() if value}
            for at, value in series.values:
                row = measurement.row(tags.items(), at, {field: value})
                if decode_series(row.series)[1] == tags:  # otherwise it would be another point
                    return encode_line(row)
    return ""

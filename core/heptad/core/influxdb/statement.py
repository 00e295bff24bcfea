"""InfluxQL statements about the server itself, which return small responses.

A statement is sent in the body of a request, never in the URL: servers and proxies log URLs.
"""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from heptad.core.influxdb.client import InfluxConnection, InfluxResponse, shorten
from heptad.core.influxdb.paging import Series
from heptad.core.store.api import StoreError

OK: Final = 200
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
MISSING: Final = 404
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class StatementError(StoreError):
    """An error response to a statement: its ``status``, and the server's ``text``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class _StatementResult(msgspec.Struct):
    series: list[Series] = []
    error: str = ""


class _StatementResponse(msgspec.Struct):
    results: list[_StatementResult]


_decode: Final = msgspec.json.Decoder(_StatementResponse).decode


def execute(
    connection: InfluxConnection, statement: str, database: str = ""
) -> list[dict[str, Any]]:
    """Return the rows of the response as dicts, with the series' name as ``measurement``.

    Raise StatementError or Unreachable.
    """
    body = urlencode({"db": database, "q": statement}).encode()
    answer = connection.request("POST", "/query", body=body, headers=_FORM)
    if answer.status != OK:
        raise StatementError(answer.status, answer.text)
    try:
        results = _decode(answer.body).results
    except msgspec.MsgspecError:
        raise foreign(answer) from None
    for result in results:
        if result.error:
            raise StatementError(answer.status, shorten(result.error))
    return [
        {"measurement": series.name, **dict(zip(series.columns, row, strict=False))}
        for result in results
        for series in result.series
        for row in series.values
    ]


def foreign(answer: InfluxResponse) -> StatementError:
    """Return the error, with its remedy, for a response that is not from InfluxDB."""
    return StatementError(
        answer.status,
        f"the response is not from InfluxDB ({answer.text[:100]!r}); check that `influxdb.url` "
        "is the URL of InfluxDB and not of a proxy's error page, and check `influxdb.version` "
        "if it is set",
    )

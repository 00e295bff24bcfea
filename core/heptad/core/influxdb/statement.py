"""One statement of InfluxQL about the server itself, and its small answer.

A statement is sent in the body of a request, never in a URL: a URL is in the logs of servers and
proxies.
"""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from heptad.core.influxdb.client import Answer, Connection, shorten
from heptad.core.influxdb.paging import Series
from heptad.core.store.api import StoreError

OK: Final = 200
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
MISSING: Final = 404
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Refused(StoreError):
    """The server answered, and not with what was asked for: ``status``, and its own ``text``."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class _Result(msgspec.Struct):
    series: list[Series] = []
    error: str = ""


class _Said(msgspec.Struct):
    results: list[_Result]


_decode: Final = msgspec.json.Decoder(_Said).decode


def execute(connection: Connection, statement: str, database: str = "") -> list[dict[str, Any]]:
    """The answer's rows, each by column, with its series' name as ``measurement``.

    Raises Refused, Unreachable.
    """
    body = urlencode({"db": database, "q": statement}).encode()
    answer = connection.request("POST", "/query", body=body, headers=_FORM)
    if answer.status != OK:
        raise Refused(answer.status, answer.text)
    try:
        results = _decode(answer.body).results
    except msgspec.MsgspecError:
        raise foreign(answer) from None
    for result in results:
        if result.error:
            raise Refused(answer.status, shorten(result.error))
    return [
        {"measurement": series.name, **dict(zip(series.columns, row, strict=False))}
        for result in results
        for series in result.series
        for row in series.values
    ]


def foreign(answer: Answer) -> Refused:
    """An answer that is none of InfluxDB's, as an error with the remedy."""
    return Refused(
        answer.status,
        f"no answer of InfluxDB's ({answer.text[:100]!r}); see that `influxdb.url` leads to it and "
        "not to a page of a proxy's, and `influxdb.version` where it is named",
    )

"""Query any version of InfluxDB: InfluxQL over /query; responses are streamed in chunks.

A response consists of lines of JSON (``chunked=true``), one per ``chunk_size`` rows; each is
decoded on arrival and released before the next. A time range is queried a day at a time, because
3.x rejects a query that touches more than 432 files of ten minutes each ("Query would exceed file
limit"). If a response is still too large (a server without ``chunked``, very long lines, a limit of
the server), the slice is halved and queried again.
"""

import re
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final
from urllib.parse import urlencode

import msgspec
import urllib3

from heptad.core.influxdb.client import InfluxConnection, InfluxResponse, shorten
from heptad.core.influxdb.influxql import in_time, quote_name, where_tags
from heptad.core.influxdb.paging import Series, TooLarge, read_pages
from heptad.core.influxdb.selection import CORE, Columns, Maker, Selection, select, select_known
from heptad.core.intervals import MINUTE
from heptad.core.store.api import StoreError, TagFilter
from heptad.core.store.line_protocol import decode_series
from heptad.core.store.measurements import STORED, TYPES, Measurement
from heptad.core.store.point import Identity, Point

ROWS: Final = 2000
"""Rows per chunk of a response."""
_STATEMENTS: Final = 100
_FEW: Final = 20
_CLOSE: Final = 60 * 10**9
"""Nanoseconds; points that are closer than this are read together."""
_MOST_BYTES: Final = 32 * 2**20
_BLOCK: Final = 64 * 1024
_TOO_LARGE: Final = re.compile("file limit|limit exceeded|max-select|query-timeout", re.IGNORECASE)
_MISSING: Final = re.compile(
    "not found|dbrp mapping|does not exist|retention policy not set", re.IGNORECASE
)
_FORBIDDEN: Final = re.compile("authoriz|authenticat|permission|forbidden", re.IGNORECASE)
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_OK: Final = 200
_ONE_TYPE: Final = 3
"""The version in which a column never changes its type."""
_KNOWN_FOR: Final = 10.0
_MOST_NAMES: Final = 1000


class _QueryResult(msgspec.Struct):
    series: list[Series] = []
    error: str = ""
    partial: bool = False


class _Line(msgspec.Struct):
    results: list[_QueryResult] = []
    error: str = ""


_decode: Final = msgspec.json.Decoder(_Line).decode


class NotAllowed(StoreError):
    """This host may not read the bucket, or possibly may not."""


class Reader:
    """Queries to one ``bucket``; they raise StoreError with the remedy, also within a response.

    ``most_bytes``: the maximum length of a line of a response; ``schema``: declared measurements of
    the bucket in addition to ``CORE``. Thread-safe.
    """

    def __init__(
        self,
        connection: InfluxConnection,
        bucket: str,
        *,
        rows: int = ROWS,
        most_bytes: int = _MOST_BYTES,
        schema: Mapping[str, Measurement] | None = None,
    ) -> None:
        self.bucket = bucket
        self._schema = {**CORE, **(schema or {})}
        self._connection = connection
        self._rows = rows
        self._most_bytes = most_bytes
        self._known: dict[str, tuple[Columns, float]] = {}

    def ask(self, query: str) -> Iterator[Series]:
        """Yield the results of statements, separated by semicolons, as they arrive."""
        told = {
            "db": self.bucket,
            "q": query,
            "epoch": "ns",
            "chunked": "true",
            "chunk_size": str(self._rows),
        }
        partial = False
        body = urlencode(told).encode()
        with self._connection.stream("POST", "/query", body=body, headers=_FORM) as response:
            if response.status != _OK:
                data = response.read(_BLOCK, decode_content=True)
                raise self._refusal(
                    InfluxResponse(response.status, response.headers, data).text, response
                )
            for line in self._lines(response):
                for result in self._parse(line):
                    yield from result.series
                    partial = result.partial or any(s.partial for s in result.series)
        if partial:
            raise TooLarge(f"{self._place}: the server truncated its response (max-row-limit)")

    def points(
        self,
        measurement: str,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        *,
        newest_first: bool = False,
        limit: int = 0,
        fields: Sequence[str] = (),
    ) -> Generator[Point, None, None]:
        """Yield the points with since <= time < until (ns) and these tags, in order of time.

        With ``fields``, only these fields, and only points that have one of them. ``limit`` is the
        maximum per slice of time that the server returns, for callers that need no more than that.
        """
        where = self._where(tags)
        if where is None:
            return
        order = " ORDER BY time DESC" if newest_first else ""
        if limit:
            order += f" LIMIT {limit}"
        selection = self._selection(measurement, fields)
        if selection is None:
            return

        def ask(begin: int, end: int) -> Iterator[Series]:
            name, times = quote_name(measurement), in_time(begin, end)
            return self.ask(
                f"SELECT {selection.text} FROM {name} WHERE {times}{where}{order}"  # noqa: S608 - quoted
            )

        def learn() -> Selection:
            self._known.pop(measurement, None)
            return select_known(fields, self.columns(measurement))

        make = Maker(measurement, selection, learn)
        for columns, row in read_pages(ask, since, until, newest_first=newest_first):
            yield make.point(columns, row)

    def pick(self, measurement: str, identities: Iterable[Identity]) -> Iterator[Point]:
        """Yield the points with exactly these series and times, in order of time.

        A query per point takes milliseconds, so if many points are close together, the whole time
        between them is read.
        """
        scattered: list[Identity] = []
        for run in _part(sorted(identities)):
            if len(run) < _FEW:
                scattered += run
                continue
            yield from self._pick_each(measurement, scattered)
            scattered = []
            wanted = {(time, frozenset(decode_series(series)[1].items())) for time, series in run}
            for point in self.points(measurement, run[0][0], run[-1][0] + 1):
                if (point.time, frozenset(point.tags.items())) in wanted:
                    yield point
        yield from self._pick_each(measurement, scattered)

    def _pick_each(self, measurement: str, identities: list[Identity]) -> Iterator[Point]:
        name, selection = quote_name(measurement), self._selection(measurement, ())
        if selection is None:
            return
        make = Maker(measurement, selection, lambda: selection)
        statements = []
        for at, series in identities:
            told = decode_series(series)[1]
            where = self._where(told)
            if where is not None:
                where += "".join(
                    [f" AND {self._tag(tag)} = ''" for tag in sorted(selection.tags - told.keys())]
                )
                statements.append(f"SELECT {selection.text} FROM {name} WHERE time = {at}{where}")  # noqa: S608 - quoted
        for start in range(0, len(statements), _STATEMENTS):
            for result in self.ask("; ".join(statements[start : start + _STATEMENTS])):
                yield from (make.point(result.columns, row) for row in result.values)

    def _tag(self, name: str) -> str:
        cast = "" if self._connection.generation == _ONE_TYPE else "::tag"
        return quote_name(name) + cast

    def _where(self, tags: TagFilter | None) -> str | None:
        return where_tags(tags or {}, cast=self._connection.generation != _ONE_TYPE)

    def _selection(self, measurement: str, fields: Sequence[str]) -> Selection | None:
        """Return what to select; None if the measurement cannot have it."""
        declared = self._schema.get(measurement)
        if declared is not None and self._connection.generation != _ONE_TYPE:
            return select(declared, fields, self.columns(measurement))
        known = self.columns(measurement)
        wanted = fields or (() if declared is None else declared.fields)
        there = [name for name in wanted if name in known.fields]
        return None if fields and not there else select_known(there, known)

    def count_minutes(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield the minutes (since the epoch) with points in [since, until) (ns), with counts."""
        where = self._where(tags)
        if where is None:
            return
        what = self._counted(measurement)
        name = quote_name(measurement)

        def ask(begin: int, end: int) -> Iterator[Series]:
            which = in_time(begin, end) + where
            return self.ask(
                f"SELECT {what} FROM {name} WHERE {which} GROUP BY time(1m) fill(none)"  # noqa: S608 - quoted
            )

        for _, row in read_pages(ask, since, until, unit=MINUTE):
            yield row[0] // MINUTE, max(number or 0 for number in row[1:])

    def _counted(self, measurement: str) -> str:
        """Return what to count: a field that every row of a measurement has, in all its types."""
        known, declared = self.columns(measurement), self._schema.get(measurement)
        if declared is None or self._connection.generation == _ONE_TYPE:
            # every event has a count; otherwise the field that most points have
            return 'count("count")' if "count" in known.fields else "count(*)"
        name = declared.always
        kinds = known.fields.get(name, set()) & STORED | {TYPES[declared.fields[name].type]}
        return ", ".join(f"count({quote_name(name)}::{kind})" for kind in sorted(kinds))

    def has(self, measurement: str, field: str) -> bool:
        """Return whether the points of a measurement may have a field."""
        declared = self._schema.get(measurement)
        known = self.columns(measurement).fields if declared is None else declared.fields
        return field in known

    def columns(self, measurement: str) -> Columns:
        """Return the columns of a measurement; cached for some seconds, because they may change."""
        known, at = self._known.get(measurement, (Columns(), -_KNOWN_FOR))
        if not known.fields or time.monotonic() - at >= _KNOWN_FOR:
            known = self._learn(measurement)
            self._known[measurement] = known, time.monotonic()
        return known

    def _learn(self, measurement: str) -> Columns:
        """Query the tags and the types of fields; of a declared measurement, only declared ones."""
        name, declared = quote_name(measurement), self._schema.get(measurement)
        tags: list[str] = []
        fields: dict[str, set[str]] = {}
        for result in self.ask(f"SHOW FIELD KEYS FROM {name}"):
            for field, kind, *_ in result.values:
                if len(fields) < _MOST_NAMES if declared is None else field in declared.fields:
                    fields.setdefault(str(field), set()).add(str(kind))
        if declared is None or self._connection.generation == _ONE_TYPE:
            for result in self.ask(f"SHOW TAG KEYS FROM {name}"):
                tags += [str(row[0]) for row in result.values[:_MOST_NAMES]]
        if declared is not None:
            tags = [tag for tag in tags if tag in declared.tags]
        return Columns(frozenset(tags), fields)

    @property
    def _place(self) -> str:
        return f"{self._connection.url}, `{self.bucket}`"

    def _lines(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        held = bytearray()
        for block in response.stream(_BLOCK, decode_content=True):
            first, *more = block.split(b"\n")
            held += first
            for part in more:
                yield bytes(held)
                held[:] = part
            if len(held) > self._most_bytes:
                raise TooLarge(
                    f"{self._place}: a line of the response is longer than {self._most_bytes} "
                    "bytes; check that no proxy changes the responses of InfluxDB"
                )
        yield bytes(held)

    def _parse(self, line: bytes) -> list[_QueryResult]:
        if not line.strip():
            return []
        try:
            said = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(
                f"{self._place}: the response is not from InfluxDB ({error}); check that "
                "`influxdb.url` is the URL of InfluxDB, and not of another server or of a "
                "proxy's error page"
            ) from error
        for problem in (said.error, *(result.error for result in said.results)):
            if problem:
                raise self._refusal(problem, None)
        return said.results

    def _refusal(self, said: str, response: urllib3.BaseHTTPResponse | None) -> StoreError:
        status = _OK if response is None else response.status
        told = f"{self._place}: {shorten(said)!r}" + (
            f" (status {status})" if status != _OK else ""
        )
        if _TOO_LARGE.search(said):
            return TooLarge(told)
        if status in (401, 403) or _FORBIDDEN.search(said):
            return NotAllowed(
                f"{told}; check that `influxdb.token` (1.x: `influxdb.username` and its "
                "password) is valid and may read this bucket; `heptad influxdb check` shows "
                "more"
            )
        if status == 404 or _MISSING.search(said):
            if self._connection.generation == 2:
                return NotAllowed(
                    f"{told}; 2.x returns this error if the bucket does not exist and if "
                    "`influxdb.token` may not read it; `heptad influxdb check` shows which"
                )
            return StoreError(f"{told}; `heptad influxdb setup` creates the buckets")
        if "timeout" in said or status in (408, 504):
            return StoreError(f"{told}; check that the server is not overloaded")
        return StoreError(f"{told}; `heptad influxdb check` shows the cause")


def _part(identities: list[Identity]) -> Iterator[list[Identity]]:
    """Yield runs of identities, in order of time, that are close together."""
    starts = [
        at
        for at in range(len(identities))
        if at == 0 or identities[at][0] - identities[at - 1][0] > _CLOSE
    ]
    for start, end in pairwise([*starts, len(identities)]):
        yield identities[start:end]

"""Reading from InfluxDB of any generation: InfluxQL over /query, streamed, bounded by the chunk.

An answer comes in lines of JSON (``chunked=true``), one for each ``chunk_size`` rows; each is
decoded as it comes and forgotten before the next. A range of time is asked for a day at a time:
3.x refuses a query that touches more than 432 of its files, of ten minutes each ("Query would
exceed file limit"). Where an answer is too large all the same (a server that does not know
``chunked``, very long lines, a limit of the server's) the slice is halved and asked for again.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import urllib3

from heptad.influxdb.connection import Answer, Connection, shorten
from heptad.influxdb.influxql import in_time, quote_name, where_tags
from heptad.influxdb.slices import Series, TooLarge, walk
from heptad.line_protocol import Value, decode_head
from heptad.spans import MINUTE
from heptad.store import Identity, Point, StoreError, Wanted

_ROWS: Final = 2000
_STATEMENTS: Final = 100
_MOST_BYTES: Final = 32 * 2**20
_BLOCK: Final = 64 * 1024
_TOO_LARGE: Final = re.compile("file limit|limit exceeded|max-select|query-timeout", re.IGNORECASE)
_MISSING: Final = re.compile("not found|dbrp mapping|does not exist", re.IGNORECASE)
_FORBIDDEN: Final = re.compile("authoriz|authenticat|permission|forbidden", re.IGNORECASE)
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_OK: Final = 200


class _Result(msgspec.Struct):
    series: list[Series] = []
    error: str = ""
    partial: bool = False


class _Line(msgspec.Struct):
    results: list[_Result] = []
    error: str = ""


_decode: Final = msgspec.json.Decoder(_Line).decode


class Columns(msgspec.Struct):
    """What is known of a measurement: its tags, and the types of its fields."""

    tags: frozenset[str] = frozenset()
    fields: dict[str, str] = {}

    def know(self, columns: list[str]) -> bool:
        """Whether each of them is known."""
        return all(c in self.tags or c in self.fields for c in columns if c != "time")


class Reader:
    """Questions to one ``bucket``; raises StoreError with the remedy, also amid an answer.

    ``most_bytes``: no line of an answer may be longer. May be used by several threads.
    """

    def __init__(
        self,
        connection: Connection,
        bucket: str,
        *,
        rows: int = _ROWS,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self.bucket = bucket
        self._connection = connection
        self._rows = rows
        self._most_bytes = most_bytes
        self._known: dict[str, Columns] = {}

    def ask(self, query: str) -> Iterator[Series]:
        """The answers to one statement, or to several with a semicolon between, as they come."""
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
                raise self._refusal(Answer(response.status, response.headers, data).text, response)
            for line in self._lines(response):
                for result in self._parse(line):
                    yield from result.series
                    partial = result.partial or any(s.partial for s in result.series)
        if partial:
            raise TooLarge(f"{self._place}: the server cut its answer off (max-row-limit)")

    def points(
        self,
        measurement: str,
        since: int,
        until: int,
        tags: Wanted | None = None,
        *,
        newest_first: bool = False,
        limit: int = 0,
        fields: Sequence[str] = (),
    ) -> Generator[Point, None, None]:
        """The points with since <= time < until (ns) and these tags, in order of time.

        With ``fields`` only these of their fields, and only points that have one of them.

        With ``limit`` the server gives so many of each slice of time at the most: for those who
        want no more than that.
        """
        where = where_tags(tags or {})
        if where is None:
            return
        order = " ORDER BY time DESC" if newest_first else ""
        if limit:
            order += f" LIMIT {limit}"

        what = "*"
        if fields:
            known = self.columns(measurement)
            told = [name for name in fields if name in known.fields]
            if not told:
                return
            what = ", ".join(map(quote_name, (*told, *sorted(known.tags))))

        def select(begin: int, end: int) -> Iterator[Series]:
            name, times = quote_name(measurement), in_time(begin, end)
            return self.ask(f"SELECT {what} FROM {name} WHERE {times}{where}{order}")  # noqa: S608 - quoted

        make = _Maker(measurement, lambda columns: self._learn(measurement, columns))
        for columns, row in walk(select, since, until, newest_first=newest_first):
            yield make.point(columns, row)

    def pick(self, measurement: str, identities: Iterable[Identity]) -> Iterator[Point]:
        """The points at these times of exactly these series, in order of time."""
        name = quote_name(measurement)
        tags = sorted(self.columns(measurement).tags)
        make = _Maker(measurement, lambda columns: self._learn(measurement, columns))
        statements = []
        for time, head in sorted(identities):
            told = decode_head(head)[1]
            where = where_tags(told)
            if where is not None:
                where += "".join(
                    [f" AND {quote_name(tag)} = ''" for tag in tags if tag not in told]
                )
                statements.append(f"SELECT * FROM {name} WHERE time = {time}{where}")  # noqa: S608 - quoted
        for at in range(0, len(statements), _STATEMENTS):
            for series in self.ask("; ".join(statements[at : at + _STATEMENTS])):
                yield from (make.point(series.columns, row) for row in series.values)

    def count_minutes(
        self, measurement: str, since: int, until: int, tags: Wanted | None = None
    ) -> Iterator[tuple[int, int]]:
        """The minutes (since the epoch) with points in [since, until) (ns): each, and how many."""
        where = where_tags(tags or {})
        if where is None:
            return
        # every event has a count; of others, the field that most points have
        what = '"count"' if "count" in self._learn(measurement, []).fields else "*"
        name = quote_name(measurement)

        def select(begin: int, end: int) -> Iterator[Series]:
            which = in_time(begin, end) + where
            return self.ask(
                f"SELECT count({what}) FROM {name} WHERE {which} GROUP BY time(1m) fill(none)"  # noqa: S608 - quoted
            )

        for _, row in walk(select, since, until, unit=MINUTE):
            yield row[0] // MINUTE, max(number or 0 for number in row[1:])

    def columns(self, measurement: str) -> Columns:
        """What is known of a measurement."""
        return self._learn(measurement, [])

    def _learn(self, measurement: str, columns: list[str]) -> Columns:
        known = self._known.get(measurement)
        if known is None or not known.fields or not known.know(columns):
            name = quote_name(measurement)
            tags = self.ask(f"SHOW TAG KEYS FROM {name}")
            fields = self.ask(f"SHOW FIELD KEYS FROM {name}")
            known = self._known[measurement] = Columns(
                frozenset(str(row[0]) for series in tags for row in series.values),
                {str(row[0]): str(row[1]) for series in fields for row in series.values},
            )
        return known

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
                    f"{self._place}: a line of the answer is longer than {self._most_bytes} bytes; "
                    "see that nothing between here and InfluxDB changes its answers"
                )
        yield bytes(held)

    def _parse(self, line: bytes) -> list[_Result]:
        if not line.strip():
            return []
        try:
            said = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(
                f"{self._place}: the answer is not InfluxDB's ({error}); see that `influxdb.url` "
                "leads to InfluxDB and not to another server or a page of a proxy's"
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
            return StoreError(
                f"{told}; see that `influxdb.token` (1.x: `influxdb.username` and its password) is "
                "right and may read this bucket; `heptad influxdb check` tells"
            )
        if status == 404 or _MISSING.search(said):
            return StoreError(f"{told}; `heptad influxdb setup` makes the buckets")
        if "timeout" in said or status in (408, 504):
            return StoreError(f"{told}; see that the server is not overloaded")
        return StoreError(f"{told}; `heptad influxdb check` says what is wrong")


class _Maker:
    """Makes points of rows. What is neither tag nor field to the server counts as a field."""

    def __init__(self, measurement: str, learn: Callable[[list[str]], Columns]) -> None:
        self._measurement = measurement
        self._learn = learn
        self._columns: list[str] | None = None
        self._tags: list[tuple[int, str]] = []
        self._fields: list[tuple[int, str, bool]] = []
        self._sets: dict[tuple[Any, ...], dict[str, str]] = {}

    def point(self, columns: list[str], row: list[Any]) -> Point:
        """One point; points with the same tags share the dict of them."""
        if columns is not self._columns:
            self._take_columns(columns)
        key = tuple([row[i] for i, _ in self._tags])
        tags = self._sets.get(key)
        if tags is None:
            if len(self._sets) >= 8192:
                self._sets.clear()
            tags = self._sets[key] = {name: row[i] for i, name in self._tags if row[i]}
        fields: dict[str, Value] = {}
        for i, name, is_float in self._fields:
            value = row[i]
            if value is not None:
                fields[name] = float(value) if is_float else value
        return Point(self._measurement, tags, fields, row[0])

    def _take_columns(self, columns: list[str]) -> None:
        if columns != self._columns:
            known = self._learn(columns)
            numbered = [(i, name) for i, name in enumerate(columns) if i]
            self._tags = [(i, name) for i, name in numbered if name in known.tags]
            self._fields = [
                (i, name, known.fields.get(name) == "float")
                for i, name in numbered
                if name not in known.tags
            ]
            self._sets.clear()
        self._columns = columns

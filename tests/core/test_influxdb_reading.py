"""Reading InfluxDB whatever the server does: bounded, in slices, every error with its remedy."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from heptad.core.influxdb.paging import DAY, Series, TooLarge, read_pages
from heptad.core.influxdb.query import Reader
from heptad.core.store.api import StoreError
from heptad.core.store.point import Point
from tests.support.influxdb import Influxd, connect
from tests.support.serving import serving

Answer = Callable[[str], Iterator[bytes]]


class Server(ThreadingHTTPServer):
    """Answers each query with what ``answer`` gives, a part at a time; remembers the queries."""

    daemon_threads = True
    answer: Answer
    status = 200
    queries: list[str]


class Handler(BaseHTTPRequestHandler):
    """See Server."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        query = parse_qs(body.decode())["q"][0]
        self.server.queries.append(query)
        self.send_response(self.server.status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        known = query.startswith("SHOW")
        try:
            for part in [b'{"results":[{}]}\n'] if known else self.server.answer(query):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if part else b"")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that says what a test wants."""
    server = Server(("127.0.0.1", 0), Handler)
    server.queries = []
    with serving(server):
        yield server


def line_of(*times: int, error: str = "", **more: Any) -> bytes:
    """A line of an answer: rows of these times."""
    series = {"name": "events", "columns": ["time", "n"], "values": [[t, 1] for t in times]} | more
    result = {"error": error} if error else {"series": [series]}
    return json.dumps({"results": [result]}).encode() + b"\n"


def read(server: Server, until: int = 10, most_bytes: int = 10_000) -> list[Point]:
    """The points of [0, until), as they are read from the server."""
    with connect(f"http://127.0.0.1:{server.server_port}", version="1", timeout=2.0) as connection:
        return list(Reader(connection, "b", most_bytes=most_bytes).points("events", 0, until))


def test_chunks_are_given_as_they_come(server: Server) -> None:
    """A row is there before the server has said the next one."""
    wait = threading.Event()

    def answer(query: str) -> Iterator[bytes]:
        yield line_of(1)
        assert wait.wait(10)
        yield line_of(2)

    server.answer = answer
    url = f"http://127.0.0.1:{server.server_port}"
    with connect(url, version="1") as connection:
        points = Reader(connection, "b").points("events", 0, 10)
        assert next(points).time == 1
        wait.set()
        assert [point.time for point in points] == [2]


def test_an_endless_line_ends(server: Server) -> None:
    """A server that never ends a line costs bounded memory, and ends with a clear error."""

    def answer(query: str) -> Iterator[bytes]:
        while True:
            yield b"x" * 5000

    server.answer = answer
    with pytest.raises(StoreError, match=r"longer than 10000 bytes.*cannot be split further"):
        read(server, until=DAY)
    assert len(server.queries) < 50


def test_a_server_that_knows_no_chunks(server: Server) -> None:
    """Where all comes in one line, less time is asked for, and all of it arrives in order."""

    def answer(query: str) -> Iterator[bytes]:
        since, until = (int(part) for part in query.split() if part.isdecimal())
        yield line_of(*range(-(-since // 1000) * 1000, until, 1000))

    server.answer = answer
    assert [point.time for point in read(server, until=2_000_000)] == [*range(0, 2_000_000, 1000)]


def test_an_answer_that_was_cut_off(server: Server) -> None:
    """`max-row-limit` cuts an answer off: it is asked for in smaller parts, nothing twice."""

    def answer(query: str) -> Iterator[bytes]:
        since, until = (int(part) for part in query.split() if part.isdecimal())
        times = [time for time in (5, 5, 5, 2000, 9000, 9000) if since <= time < until]
        yield line_of(*times[:3], partial=len(times) > 3)

    server.answer = answer
    assert [point.time for point in read(server, until=10_000)] == [5, 5, 5, 2000, 9000, 9000]


@pytest.mark.parametrize(
    ("said", "status", "remedy"),
    [
        (b'{"error": "database not found: b"}', 200, "heptad influxdb setup"),
        (b'{"results": [{"error": "database not found: b"}]}', 200, "heptad influxdb setup"),
        (b'{"code": "not found", "message": "no dbrp mapping found"}', 404, "influxdb setup"),
        (b'{"error": "unable to parse authentication credentials"}', 401, "may read this bucket"),
        (b'{"code": "unauthorized", "message": "unauthorized access"}', 401, "may read"),
        (b'{"results": [{"error": "not authorized to execute"}]}', 200, "may read this bucket"),
        (b"<html>Bad Gateway</html>", 502, "heptad influxdb check"),
        (b"<html>Log in here</html>", 200, "is the URL of InfluxDB"),
        (b'{"results": [{"error": "engine: timeout"}]}', 200, "not overloaded"),
        (b'{"results": ' + b"[" * 5000, 200, "not from InfluxDB"),
    ],
)
def test_errors_name_the_remedy(server: Server, said: bytes, status: int, remedy: str) -> None:
    """Also one that comes after some rows, in an answer that began with 200."""
    server.status = status
    for before in [b"", line_of(1)] if status == 200 else [b""]:
        server.answer = lambda query, before=before: iter([before, said])  # type: ignore[misc]
        with pytest.raises(StoreError, match=remedy) as caught:
            read(server)
        assert "`b`" in str(caught.value)


def test_a_limit_of_files_is_not_met() -> None:
    """A slice is a day at most where there are points, and a limit that is met all the same
    halves it."""
    asked: list[int] = []

    def select(begin: int, end: int) -> Iterator[Series]:
        asked.append(end - begin)
        times = [t for t in range(900 * DAY, 910 * DAY, DAY // 100) if begin <= t < end]
        if len(times) > 300:
            raise TooLarge("Query would exceed file limit")
        yield Series(["time"], values=[[t] for t in (times[::-1] if newest_first else times)])

    for newest_first in (False, True):
        asked.clear()
        found = [row[0] for _, row in read_pages(select, 0, 2000 * DAY, newest_first=newest_first)]
        assert sorted(found) == [*range(900 * DAY, 910 * DAY, DAY // 100)]
        assert found == sorted(found, reverse=newest_first)
        assert len(asked) < 60


def test_what_is_new_is_asked_for(influxd: Influxd) -> None:
    """A tag or a field that came after the first answer is known for what it is."""
    influxd.create("reading_new")
    with connect(influxd.url) as connection:
        reader = Reader(connection, "reading_new", rows=1)
        assert list(reader.points("m", 0, 100)) == []
        influxd.write("reading_new", ["m,a=1 x=1i 1"])
        assert list(reader.points("m", 0, 100)) == [Point("m", {"a": "1"}, {"x": 1}, 1)]
        influxd.write("reading_new", ["m,b=2 y=2 2"])
        assert list(reader.points("m", 2, 100)) == [Point("m", {"b": "2"}, {"y": 2.0}, 2)]
        newest = reader.points("m", 0, 100, newest_first=True)
        assert [point.time for point in newest] == [2, 1]
        assert list(reader.count_minutes("m", 0, 100)) == [(0, 1)]

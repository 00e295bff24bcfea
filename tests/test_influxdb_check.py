"""`heptad influxdb check` says ok only of what answered."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from heptad.commands.schema_page import BUCKETS
from heptad.influxdb.checkup import Result, check
from tests.influxdb import connect


class Page(BaseHTTPRequestHandler):
    """A proxy's page for every request, without a Date."""

    def do_GET(self) -> None:
        """Send the page."""
        body = b"<html>Please log in</html>"
        self.send_response_only(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy() -> Iterator[HTTPServer]:
    """A proxy before no InfluxDB."""
    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def results(port: int, version: str) -> list[Result]:
    """What a check says of the server at this port."""
    url = f"http://127.0.0.1:{port}"
    with connect(url, version=version, org="o", token="t", timeout="2s") as connection:
        return list(check(connection, BUCKETS))


@pytest.mark.parametrize("version", ["1", "2", "3", "auto"])
def test_no_server(proxy: HTTPServer, version: str) -> None:
    """Where nothing answers there is one fault, and nothing is ok."""
    proxy.socket.close()
    states = [result.state for result in results(proxy.server_port, version)]
    assert states == ["fault"]


@pytest.mark.parametrize("version", ["1", "2", "3", "auto"])
def test_page_of_a_proxy(proxy: HTTPServer, version: str) -> None:
    """A page with status 200 is no InfluxDB, and without a Date no clock was compared."""
    found = results(proxy.server_port, version)
    assert "ok" not in [result.state for result in found]
    assert found[-1].state == "fault"

"""A real InfluxDB for the tests: Debian's influxd 1.6 with its own configuration and data.

`nginx` puts Debian's nginx in front of it, which maps the paths of 2.x to the real engine;
`tests.support.faulty_proxy` injects faults between them.
"""

import json
import signal
import subprocess
import urllib.error
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from urllib3.util import make_headers

from heptad.core.config.influxdb import InfluxConfig
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.influxql import quote_text
from tests.support import needs
from tests.support.ports import reserve_port
from tests.support.real.sandbox import wait_until

INFLUXD = """
reporting-enabled = false
bind-address = "127.0.0.1:0"

[meta]
dir = "{folder}/meta"

[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
index-version = "inmem"
{data}

[monitor]
store-enabled = false

[subscriber]
enabled = false

[continuous_queries]
enabled = false

[retention]
check-interval = "24h"

[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
{http}
"""

# The endpoints of 2.x for buckets, mapped as an administrator would: no organization, no token.
NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_max_body_size {max_body};
    client_body_buffer_size 32m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /api/v2/write {{
            if ($arg_bucket = "") {{ return 404; }}
            rewrite ^ /write?db=$arg_bucket&precision=$arg_precision? break;
            proxy_set_header Authorization "";
            proxy_pass {upstream};
        }}
        location / {{
            proxy_set_header Authorization "";
            proxy_buffering off;
            proxy_pass {upstream};
        }}
    }}
}}
"""


D = TypeVar("D", bound="Daemon")


class Daemon:
    """A process that listens on ``port``, with its files in ``folder``; it can be restarted."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self.folder = folder
        self.command = command
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, path: str = "/ping") -> None:
        """Start, and wait until it responds to this path."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_until(lambda: self._answers(path), f"{self.command[0]}, see {self.folder}/log", 60)

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it at once (kill -9)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def _answers(self, path: str) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            with urlopen(f"{self.url}{path}", timeout=5):  # noqa: S310 - it is http
                return True
        except OSError:
            return False


class Influxd(Daemon):
    """influxd; ``data`` and ``http`` are lines for these sections of its configuration."""

    keys: ClassVar[Mapping[str, str]] = {}
    """Keys for `influxdb:` in addition to the URL; with an administrator's permissions."""
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, folder: Path, data: str = "", http: str = "") -> None:
        program = needs.influxdb_1()
        folder.mkdir(parents=True, exist_ok=True)
        port = reserve_port()
        config = folder / "influxdb.conf"
        config.write_text(INFLUXD.format(folder=folder, port=port, data=data, http=http))
        super().__init__(folder, [program, "-config", str(config)], port)

    def query(self, text: str, database: str = "") -> list[dict[str, Any]]:
        """Return the series of InfluxQL statements; AssertionError with the server's error."""
        body = urlencode({"q": text, "db": database, "epoch": "ns"}).encode()
        request = Request(f"{self.url}/query", data=body, headers=dict(self.headers))  # noqa: S310 - it is http
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                results = json.load(answer)["results"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        for result in results:
            assert "error" not in result, result["error"]
        return [series for result in results for series in result.get("series", [])]

    def rows(self, text: str, database: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dicts of columns and tags."""
        return [
            series.get("tags", {}) | dict(zip(series["columns"], values, strict=True))
            for series in self.query(text, database)
            for values in series["values"]
        ]

    def count(self, database: str, measurement: str = "events", field: str = "count") -> int:
        """Return the number of points with this field."""
        rows = self.rows(f'SELECT count("{field}") FROM "{measurement}"', database)  # noqa: S608
        return int(rows[0]["count"]) if rows else 0

    def create(self, *databases: str, keep: str = "INF") -> None:
        """Create databases whose retention policy keeps points for this long (`90d`)."""
        for name in databases:
            self.query(f'CREATE DATABASE "{name}" WITH DURATION {keep} NAME "autogen"')

    def drop(self, *databases: str) -> None:
        """Drop databases with their data."""
        for name in databases:
            self.query(f'DROP DATABASE "{name}"')

    def write(self, database: str, lines: Iterable[str]) -> None:
        """Write lines of line protocol; raise AssertionError with the server's error."""
        query = urlencode({"db": database, "precision": "ns"})
        data = "\n".join(lines).encode()
        request = Request(f"{self.url}/write?{query}", data=data, headers=dict(self.headers))  # noqa: S310
        try:
            with urlopen(request, timeout=60):  # noqa: S310
                pass
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error


class ClosedInfluxd(Influxd):
    """influxd with authentication and an administrator whose password needs quoting."""

    keys: ClassVar[Mapping[str, str]] = {"username": "admin", "password": "it's the \\admin\\'s"}
    headers: ClassVar[Mapping[str, str]] = make_headers(basic_auth=":".join(keys.values()))

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, http="auth-enabled = true")

    def start(self, path: str = "/ping") -> None:
        """Start, and create the administrator if it does not exist."""
        super().start(path)
        name, password = self.keys["username"], quote_text(self.keys["password"])
        with suppress(AssertionError):
            self.query(f"CREATE USER {name} WITH PASSWORD {password} WITH ALL PRIVILEGES")


class Nginx(Daemon):
    """nginx that responds like a 2.x in front of ``upstream``, the URL of an influxd."""

    def __init__(self, folder: Path, upstream: str, max_body: str = "100m") -> None:
        needs.program("nginx")
        folder.mkdir(parents=True, exist_ok=True)
        port = reserve_port()
        config = folder / "nginx.conf"
        text = NGINX.format(folder=folder, port=port, upstream=upstream, max_body=max_body)
        config.write_text(text)
        command = ["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")]
        super().__init__(folder, command, port)


@contextmanager
def running(daemon: D) -> Iterator[D]:
    """Start it, and kill it afterwards."""
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.kill()


@contextmanager
def connect(url: str, **keys: Any) -> Iterator[InfluxConnection]:
    """Open a connection with these keys of `influxdb:`; close it afterwards."""
    connection = InfluxConnection(InfluxConfig(url, **keys))
    try:
        yield connection
    finally:
        connection.close()

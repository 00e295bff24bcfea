"""A real InfluxDB 2 for the tests, of the version that tests/support/needs.py names."""

import json
import urllib.error
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from tests.support import needs
from tests.support.influxdb import Daemon, Influxd
from tests.support.ports import reserve_port

ORGANIZATION: Final = "heptad"
TOKEN: Final = "operator-token-of-the-tests"


class Influxd2(Influxd):
    """influxd 2, set up with an organization and the token of its operator; used like 1.6."""

    keys: ClassVar[Mapping[str, str]] = {"version": "2", "org": ORGANIZATION, "token": TOKEN}

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = reserve_port()
        command = [
            needs.influxdb_2(),
            "--reporting-disabled",
            *("--http-bind-address", f"127.0.0.1:{port}"),
            *("--bolt-path", str(folder / "influxd.bolt")),
            *("--sqlite-path", str(folder / "influxd.sqlite")),
            *("--engine-path", str(folder / "engine")),
            *("--log-level", "error"),
            *options,
        ]
        Daemon.__init__(self, folder, command, port)

    def start(self, path: str = "/health") -> None:
        """Start, and set it up where that was not done yet."""
        super().start(path)
        if self.call("GET", "/api/v2/setup")["allowed"]:
            first = {"username": "admin", "password": "of-the-tests", "bucket": "first"}
            self.call("POST", "/api/v2/setup", first | {"org": ORGANIZATION, "token": TOKEN})

    def call(self, method: str, path: str, body: object = None, token: str = TOKEN) -> Any:
        """What its API answers; AssertionError with the server's error."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        request = Request(f"{self.url}{path}", data=data, method=method, headers=headers)  # noqa: S310 - it is http
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        return json.loads(content) if content else None

    def query(self, text: str, database: str = "") -> list[dict[str, Any]]:
        """The series that these InfluxQL statements give; AssertionError with the server's error."""
        query = urlencode({"q": text, "db": database, "epoch": "ns"})
        results = self.call("POST", f"/query?{query}")["results"]
        for result in results:
            assert "error" not in result, result["error"]
        return [series for result in results for series in result.get("series", [])]

    def create(self, *databases: str, keep: str = "INF") -> None:
        """Buckets, which keep points this long (`90d`)."""
        organization = self.call("GET", f"/api/v2/orgs?org={ORGANIZATION}")["orgs"][0]["id"]
        seconds = 0 if keep == "INF" else int(keep.removesuffix("d")) * 86_400
        rules = [{"type": "expire", "everySeconds": seconds}] if seconds else []
        for name in databases:
            bucket = {"orgID": organization, "name": name, "retentionRules": rules}
            self.call("POST", "/api/v2/buckets", bucket)

    def drop(self, *databases: str) -> None:
        """Buckets with all that is in them."""
        for name in databases:
            for found in self.call("GET", f"/api/v2/buckets?name={quote(name)}")["buckets"]:
                self.call("DELETE", f"/api/v2/buckets/{found['id']}")

    def write(self, database: str, lines: Iterable[str]) -> None:
        """Write lines of line protocol; AssertionError with the server's error."""
        query = urlencode({"bucket": database, "org": ORGANIZATION, "precision": "ns"})
        self.call("POST", f"/api/v2/write?{query}", "\n".join(lines).encode())

"""A real InfluxDB 2 for the tests, in the version set in tests/support/needs.py."""

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
    """influxd 2 with an organization and an operator token; same interface as for 1.6."""

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
        """Start, and set it up if that was not done yet."""
        super().start(path)
        if self.call("GET", "/api/v2/setup")["allowed"]:
            first = {"username": "admin", "password": "of-the-tests", "bucket": "first"}
            self.call("POST", "/api/v2/setup", first | {"org": ORGANIZATION, "token": TOKEN})

    def call(self, method: str, path: str, body: object = None, token: str = TOKEN) -> Any:
        """Return the response of the API; raise AssertionError with the server's error."""
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
        """Return the series of InfluxQL statements; AssertionError with the server's error."""
        query = urlencode({"q": text, "db": database, "epoch": "ns"})
        results = self.call("POST", f"/query?{query}")["results"]
        for result in results:
            assert "error" not in result, result["error"]
        return [series for result in results for series in result.get("series", [])]

    def create(self, *databases: str, keep: str = "INF") -> None:
        """Create buckets that keep points for this long (`90d`)."""
        organization = self.call("GET", f"/api/v2/orgs?org={ORGANIZATION}")["orgs"][0]["id"]
        seconds = 0 if keep == "INF" else int(keep.removesuffix("d")) * 86_400
        rules = [{"type": "expire", "everySeconds": seconds}] if seconds else []
        for name in databases:
            bucket = {"orgID": organization, "name": name, "retentionRules": rules}
            self.call("POST", "/api/v2/buckets", bucket)

    def drop(self, *databases: str) -> None:
        """Delete buckets with their data."""
        for name in databases:
            for found in self.call("GET", f"/api/v2/buckets?name={quote(name)}")["buckets"]:
                self.call("DELETE", f"/api/v2/buckets/{found['id']}")

    def write(self, database: str, lines: Iterable[str]) -> None:
        """Write lines of line protocol; raise AssertionError with the server's error."""
        query = urlencode({"bucket": database, "org": ORGANIZATION, "precision": "ns"})
        self.call("POST", f"/api/v2/write?{query}", "\n".join(lines).encode())

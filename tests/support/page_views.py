"""The page on stores that a test fills: two files, or the buckets of a real InfluxDB."""

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from heptad.aggregator.web.fleet import FleetStores
from heptad.aggregator.web.page import Page
from heptad.aggregator.web.source import HostStores
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.event import Event
from heptad.core.http.server import HttpResponse
from heptad.core.store.api import LOOKED_UNTIL
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Row
from tests.support.aggregator_world import World
from tests.support.influxdb import Influxd


class Views:
    """Two stores with recent events, and the page on them."""

    def __init__(self, folder: Path) -> None:
        self.now = time.time_ns()
        self.world = World(folder)
        self.world.now = self.now
        self.problems: list[str] = []
        self.judged: int | None = None
        self.folder = folder
        self.page = Page(
            HostStores(folder / "events.db", folder / "reports.db"),
            "127.0.0.1",
            lambda: self.problems,
            lambda: self.judged,
        )

    def add(self, *events: Event) -> None:
        """Store events, as if they arrived now."""
        self.world.append(events)

    def look_until(self, until: int) -> None:
        """Record that the exporter has read its logs up to that time."""
        self.world.events.append([], {LOOKED_UNTIL: str(until).encode()})

    def answer(self, path: str, host: str = "127.0.0.1:9708", query: str = "") -> HttpResponse:
        """Return the response to a request."""
        environ = {"PATH_INFO": path, "HTTP_HOST": host, "QUERY_STRING": query}
        answer = self.page(environ)
        assert answer is not None
        return answer

    def ask(self, view: str, **parameters: object) -> dict[str, Any]:
        """Return the data of a view."""
        answer = self.answer(f"/api/{view}", query=urlencode(parameters))
        assert answer.status == "200 OK", answer.body
        data: dict[str, Any] = json.loads(answer.body)
        return data

    def found(self, **parameters: object) -> list[str]:
        """Return the users of the events that a search finds."""
        return [event["user"] for event in self.ask("events", **parameters)["events"]]


class FleetViews(Views):
    """The same on ``server``: the content of the two files is copied there before each request."""

    def __init__(self, folder: Path, server: Influxd) -> None:
        super().__init__(folder)
        self.server = server
        self.seconds = 0.0
        server.create("events", "reports", "heptad")
        stores = FleetStores(InfluxConfig(server.url), lambda: self.seconds)
        self.page = Page(stores, "127.0.0.1", lambda: self.problems, lambda: self.judged)

    def look_until(self, until: int) -> None:
        """Write a heartbeat of the current time that reports it."""
        fields = f"sequence=1i,passed={until}i,caught_up=true"
        self.server.write(
            "heptad", [f"heartbeat,host=web1,machine_id=00 {fields} {time.time_ns()}"]
        )

    def answer(self, path: str, host: str = "127.0.0.1:9708", query: str = "") -> HttpResponse:
        """Return the response to a request, ten seconds after the previous one."""
        copy_stores(self.folder, self.server)
        self.seconds += 10
        return super().answer(path, host, query)


def copy_stores(folder: Path, server: Influxd, names: Mapping[str, str] = {}) -> None:
    """Copy the two files of a directory to the buckets of these ``names``, or of their own."""
    for bucket in ("events", "reports"):
        with closing(sqlite3.connect(folder / f"{bucket}.db")) as db:
            rows = db.execute(
                "SELECT head, time, body, raw FROM points JOIN series ON series.id = points.series"
            ).fetchall()
        if rows:
            server.write(names.get(bucket, bucket), (line_of(Row(*row)) for row in rows))

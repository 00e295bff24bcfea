"""Send the queries of all panels and variables of the dashboards, as Grafana does."""

import bisect
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

from bench.dashboards.points import INTRUDER
from bench.dashboards.series import STEP, name_of
from tests.support.grafana import BOARDS, QUERIES, Query, panels_of, put_in, values_of, variables_of
from tests.support.influxdb import Daemon, Influxd

RANGES: Final = {"5m": 300, "24h": 86_400, "30d": 30 * 86_400}
_COLUMN: Final = 1600 / 24
"""Pixels, on a wide screen."""
_STEPS: Final = (
    *(1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400),
)
"""The steps in seconds to which Grafana rounds intervals; it rounds half way between two."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_ANNOTATION: Final = {"gridPos": {"w": 24}}
_TIMES: Final = 3


class Asked(NamedTuple):
    """The time of a response and the CPU time of the server, in ms; and the size of the result."""

    board: str
    panel: str
    range: str
    series: int
    values: int
    took: float
    cpu: float


class Servers(NamedTuple):
    """The servers; the version of InfluxDB, and the time (s) up to which there is data."""

    prometheus: Daemon
    influxd: Influxd
    version: str
    until: int

    def of(self, query: Query) -> Daemon:
        """Return the server for a query."""
        return self.prometheus if query.is_promql else self.influxd


def ask_all(servers: Servers, range_: str) -> Iterator[Asked]:
    """Send each query of each panel with the defaults; on Investigate, also after clicks.

    Prometheus queries are only sent with the first of the two versions of InfluxDB.
    """
    for query in QUERIES:
        if query.is_promql and not servers.version.startswith("1"):
            continue
        for what, chosen in _CLICKS.items() if query.board == "investigate" else [("", {})]:
            version = "" if query.is_promql else servers.version
            title = f"{query.panel} {query.target['refId']} {what} {version}"
            text, step = text_of(servers, query, range_, chosen)
            yield _measure(servers, query, " ".join(title.split()), range_, text, step)
    for board, content in BOARDS.items():
        for name, variable in variables_of(content).items():
            is_influx = (variable.get("datasource") or {}).get("type") == "influxdb"
            if variable["type"] == "query" and (is_influx or servers.version.startswith("1")):
                yield _ask_variable(servers, board, name, variable, range_)


_CLICKS: Final[dict[str, dict[str, str | list[str]]]] = {
    "": {},
    "(address)": {"address": INTRUDER},
    "(host)": {"host": [name_of(1)]},
    "(text)": {"text": "name77 "},
}


def text_of(
    servers: Servers, query: Query, range_: str, chosen: Mapping[str, str | list[str]]
) -> tuple[str, int]:
    """Return the query as it is sent, and its step in seconds."""
    panels = panels_of(BOARDS[query.board])
    panel = next((p for p in panels if query.panel == p["title"]), _ANNOTATION)
    seconds = RANGES[range_]
    step = _step_of(panel, seconds, STEP if query.is_promql else 10)
    values: dict[str, Any] = values_of(BOARDS[query.board], {**chosen})
    if query.board == "host":
        values |= {"node": name_of(0), "instance": "host-0000:9707"}
    since, until = servers.until - seconds, servers.until
    values |= {
        "__rate_interval": f"{max(step + STEP, 4 * STEP)}s",
        "__range": f"{seconds}s",
        "__interval": f"{step}s",
        "__from": str(since * 1000),
        "__to": str(until * 1000),
        "timeFilter": f"time >= {since * 1000}ms and time <= {until * 1000}ms",
    }
    return put_in(query.text, values), step


def _step_of(panel: Mapping[str, Any], seconds: int, least: int) -> int:
    points = panel.get("maxDataPoints") or panel["gridPos"]["w"] * _COLUMN
    wanted = seconds / points
    borders = [(low + high) / 2 for low, high in itertools.pairwise(_STEPS)]
    rounded = _STEPS[bisect.bisect(borders, wanted)]
    text = panel.get("interval") or "1s"
    return max(least, rounded, int(text[:-1]) * _UNITS[text[-1]])


def _measure(
    servers: Servers, query: Query, title: str, range_: str, text: str, step: int
) -> Asked:
    took: list[float] = []
    worked = _worked(servers.of(query))
    series: list[Any] = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        if query.is_promql:
            series = _ask_prometheus(servers, query, text, range_, step)
        else:
            bucket = query.target["datasource"]["uid"][2:].partition("_")[0]
            series = servers.influxd.query(text, bucket)
        took.append(1000 * (time.perf_counter() - begun))
    cpu = (_worked(servers.of(query)) - worked) / _TIMES
    values = sum(len(one.get("values", [1])) for one in series)
    return Asked(query.board, title, range_, len(series), values, statistics.median(took), cpu)


def _worked(server: Daemon) -> float:
    """Return the CPU time that the server has used, in ms."""
    process = server.process
    if process is None:
        return 0
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ask_prometheus(servers: Servers, query: Query, text: str, range_: str, step: int) -> list[Any]:
    until = servers.until
    if query.target.get("instant"):
        return list(_get(servers, "query", query=text, time=until)["result"])
    end = until // step * step
    span = {"start": end - RANGES[range_] // step * step, "end": end, "step": step}
    return list(_get(servers, "query_range", query=text, **span)["result"])


def _get(servers: Servers, path: str, **parameters: Any) -> Any:
    url = f"{servers.prometheus.url}/api/v1/{path}?{urlencode(parameters, doseq=True)}"
    with urlopen(url, timeout=120) as answer:  # noqa: S310 - it is http
        return json.load(answer)["data"]


def _ask_variable(
    servers: Servers, board: str, name: str, variable: dict[str, Any], range_: str
) -> Asked:
    took: list[float] = []
    found: list[Any] = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        if variable["datasource"]["type"] == "influxdb":
            found = servers.influxd.rows(variable["query"], "events")
        else:
            match, _, label = variable["query"]["query"][len("label_values(") : -1].rpartition(", ")
            values = values_of(BOARDS[board], {"node": name_of(0)} if board == "host" else {})
            span = {"start": servers.until - RANGES[range_], "end": servers.until}
            path = f"label/{label}/values"
            found = _get(servers, path, **{"match[]": put_in(match, values)}, **span)
        took.append(1000 * (time.perf_counter() - begun))
    median = statistics.median(took)
    return Asked(board, f"variable {name}", range_, len(found), len(found), median, 0)

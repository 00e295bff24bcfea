"""Every query of the dashboards is asked, of a real Prometheus and a real InfluxDB."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dashboard_world import HOST, HOUR, DashboardWorld
from tests.exposed import selectors_of
from tests.grafana import BOARDS, QUERIES, Query, put_in, values_of

every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
OF_A_HOST = [
    query
    for query in QUERIES
    if query.board == "host" and not re.search("heptad_|auth_events", query.text)
]
CHOSEN: dict[str, str | list[str]] = {"host": [HOST, "elsewhere"], "user": "", "address": ""}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardWorld]:
    """What has happened on a host, as everybody was told it."""
    with DashboardWorld(tmp_path_factory.mktemp("world")) as world:
        yield world


def ask(world: DashboardWorld, query: Query, part: str = "exporter", **chosen: Any) -> list[Any]:
    """What is answered to the query as Grafana sends it, for the last three hours.

    In rows and columns by InfluxDB, as numbers by Prometheus.
    """
    since, until = world.until - 3 * HOUR, world.until
    if query.board == "host":
        chosen["instance"] = f"127.0.0.1:{world.ports[part]}"
    values: dict[str, Any] = values_of(BOARDS[query.board], {**CHOSEN, **chosen})
    values |= {
        "__rate_interval": "5s",
        "__range": "120s",
        "__from": str(int(since * 1000)),
        "__to": str(int(until * 1000)),
        "timeFilter": f"time >= {int(since * 1000)}ms and time <= {int(until * 1000)}ms",
    }
    text = put_in(query.text, values, influxql=not query.is_promql)
    if not query.is_promql:
        bucket = query.target["datasource"]["uid"][2:].partition("_")[0]
        return world.influxd.rows(text, bucket)
    if query.target.get("instant"):
        return [float(series["value"][1]) for series in world.ask(text)]
    found = world.ask(text, start=until - 30, end=until, step=1)
    return [float(value) for series in found for _, value in series["values"]]


@every_query
def test_queries_return_something(world: DashboardWorld, query: Query) -> None:
    """No panel is empty where there is something to show."""
    found = ask(world, query)
    assert found
    assert not query.is_promql or not all(map(math.isnan, found))


@every_query
def test_metrics_of_queries_are_scraped(world: DashboardWorld, query: Query) -> None:
    """A number that is zero is zero because nothing happened, not because there is no metric."""
    if query.is_promql:
        for names, _ in selectors_of(query.text):
            for name in names:
                assert world.ask(f"count(last_over_time({name}[10m]))"), name


@pytest.mark.parametrize("query", OF_A_HOST, ids=lambda query: query.name)
def test_node_exporter_fills_the_host_dashboard(world: DashboardWorld, query: Query) -> None:
    """All panels but those about users, of which it tells nothing."""
    assert ask(world, query, "node")

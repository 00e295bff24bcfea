"""Every query of the dashboards is asked, of a real Prometheus and a real InfluxDB."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from heptad.aggregator.detection.current import current_row
from heptad.aggregator.detection.finding import Finding, Revision
from heptad.core.store.line_protocol import line_of
from tests.support.dashboard_world import DAY, HOST, HOUR, DashboardWorld
from tests.support.exposed import BUCKET_OF, MEASUREMENTS, selectors_of
from tests.support.grafana import (
    BOARDS,
    QUERIES,
    Query,
    columns_after,
    panels_of,
    put_in,
    rows_after,
    values_of,
    variables_of,
)
from tests.support.influxd_2 import Influxd2
from tests.support.real.sandbox import wait_until

every_query = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
HOSTILE = (
    *("'", '"', "\\", "/", "a/b", "$", "[", "(?i)", ";", "10.0.0.0/8", "2001:db8::/32"),
    "1/) ; DROP DATABASE events --",
    "1/) OR (time > 0",
)
"""Texts that a name in a log may be, and a link give to a dashboard."""
OF_A_HOST = [
    query
    for query in QUERIES
    if query.board == "host"
    and query.is_promql
    and not re.search("heptad_|auth_events", query.text)
]
CHOSEN: dict[str, str | list[str]] = {"host": [HOST, "elsewhere"], "node": HOST}


@pytest.fixture(scope="module")
def world(nine_hosts: DashboardWorld) -> DashboardWorld:
    """What has happened on nine hosts, as everybody was told it."""
    return nine_hosts


def text_of(
    world: DashboardWorld,
    query: Query,
    part: str = "exporter",
    *,
    since: float = 3 * HOUR,
    **chosen: Any,
) -> str:
    """The query as Grafana sends it, for the last seconds ``since``."""
    since, until = world.until - since, world.until
    if query.board == "host":
        chosen["instance"] = f"127.0.0.1:{world.ports[part]}"
    values: dict[str, Any] = values_of(BOARDS[query.board], {**CHOSEN, **chosen})
    values |= {
        "__rate_interval": "5s",
        "__range": "120s",
        "__interval": "5s",
        "__from": str(int(since * 1000)),
        "__to": str(int(until * 1000)),
        "timeFilter": f"time >= {int(since * 1000)}ms and time <= {int(until * 1000)}ms",
    }
    return put_in(query.text, values)


def ask(
    world: DashboardWorld,
    query: Query,
    part: str = "exporter",
    *,
    since: float = 3 * HOUR,
    database: str = "",
    raw: bool = False,
    **chosen: Any,
) -> list[Any]:
    """What is answered to the query as Grafana sends it, for the last seconds ``since``.

    In rows and columns by InfluxDB, as numbers by Prometheus, or ``raw`` with their labels.
    """
    text = text_of(world, query, part, since=since, **chosen)
    until = world.until
    if not query.is_promql:
        bucket = query.target["datasource"]["uid"][2:].partition("_")[0]
        return world.influxd.rows(text, database or bucket)
    if query.target.get("instant"):
        series = world.ask(text)
        return series if raw else [float(one["value"][1]) for one in series]
    found = world.ask(text, start=until - 30, end=until, step=1)
    if raw:
        return found
    return [float(value) for series in found for _, value in series["values"]]


ABSENT = ("What is wrong", "Firing alerts", "Evidence of the finding", "Circuit breaker")
"""Panels with nothing to show in this world, or only after a click."""


@every_query
def test_queries_return_something(world: DashboardWorld, query: Query) -> None:
    """No panel is empty where there is something to show."""
    found = ask(world, query)
    assert found or query.panel in ABSENT
    assert not (found and query.is_promql) or not all(map(math.isnan, found))


@every_query
def test_metrics_of_queries_are_scraped(world: DashboardWorld, query: Query) -> None:
    """A number that is zero is zero because nothing happened, not because there is no metric."""
    if query.is_promql:
        for names, _ in selectors_of(query.text):
            for name in set(names) - {"ALERTS"}:
                assert world.ask(f"count(last_over_time({name}[10m]))"), name


@every_query
def test_legends_name_labels_that_are_answered(world: DashboardWorld, query: Query) -> None:
    """What a legend names is a label of some series, or a tag by which the answer is grouped."""
    if not query.is_promql:
        tags = re.findall(r"\$tag_(\w+)", query.target.get("alias", ""))
        (*_, groups) = query.text.rpartition(" GROUP BY ")
        assert all(f'"{tag}"' in groups for tag in tags)
        return
    labels = set(re.findall(r"\{\{(\w+)\}\}", query.target["legendFormat"]))
    if labels and query.panel not in ABSENT:
        found = ask(world, query, raw=True)
        assert labels <= {label for one in found for label in one["metric"]}


def named(board: str, panel: str, ref: str = "A") -> Query:
    """A query of a panel."""
    known = ((one.board, one.panel, one.target["refId"]) for one in QUERIES)
    return QUERIES[list(known).index((board, panel, ref))]


@pytest.mark.parametrize("query", OF_A_HOST, ids=lambda query: query.name)
def test_node_exporter_fills_the_host_dashboard(world: DashboardWorld, query: Query) -> None:
    """All panels but those about users, of which it tells nothing."""
    assert ask(world, query, "node")


def test_reports_are_read_by_their_last_revision(world: DashboardWorld) -> None:
    """What came late is counted, and counted once: the sums are those of the events.

    The host's log told of some of them after the report of their window was written.
    """
    logins = world.influxd.rows(
        """SELECT "count" FROM "events"
        WHERE "action" = 'login' AND "outcome" = 'failure' AND "source_ip" =~ /./""",
        "events",
    )

    def compare() -> bool:
        found = ask(world, named("logins", "Addresses that failed most"), since=3 * DAY)
        counted: Counter[int] = Counter()
        for row in found:
            counted[row["time"]] += row["count"]
        expected = {
            hour: sum(one["count"] for one in logins if 0 <= one["time"] - hour < HOUR * 10**9)
            for hour in counted
        }
        return found != [] and counted == expected

    wait_until(compare, "reports of an hour that count every failure", 30)
    revisions = 'SELECT max("revision") FROM "report_attempts" GROUP BY "window"'
    last = {row["window"]: row["max"] for row in world.influxd.rows(revisions, "reports")}
    assert last["1h"] >= 1


def test_what_goes_on_is_found_though_it_began_before_the_range(world: DashboardWorld) -> None:
    """An attack of hours is shown to whoever looks at the last minutes."""
    at = int(world.until * 10**9)
    finding = Finding(
        rule="brute_force",
        subject="203.0.113.7",
        first=at - 10 * HOUR * 10**9,
        last=at,
        day=1,
        severity="high",
        sentence="it goes on",
        count=1,
        hosts=(HOST,),
    )
    world.influxd.create("ongoing")
    row = current_row(Revision(finding, 0), replaces=True)
    world.influxd.write("ongoing", [line_of(row)])
    found = ask(world, named("now", "Look at these first"), database="ongoing")
    assert [row["What"] for row in found] == ["it goes on"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"user": "ALIC"}, {"alice"}),
        ({"user": "alice", "program": ["sudo"]}, {"alice"}),
        ({"address": "203.0.113."}, {"bob", "root"}),
        ({"user": "nobody"}, set()),
        ({"host": ["elsewhere"]}, set()),
        ({"host": ["web.1", ".*", "a|web-1", "\\"]}, set()),
        ({"user": "a.ice"}, set()),
        *(({"user": text}, set()) for text in HOSTILE),
        # a terminal, which is an address where there is no other, has a slash
        *(({"address": text}, set()) for text in HOSTILE if text != "/"),
    ],
)
def test_events_are_filtered(
    world: DashboardWorld, chosen: dict[str, Any], expected: set[str]
) -> None:
    """By a part of a name or an address, and by what is chosen; any text is only a text."""
    found = ask(world, named("investigate", "Events"), **chosen)
    users = {row["User"] for row in found if not str(row["User"]).startswith("~")}
    assert users == expected


def test_without_a_filter_events_without_a_user_are_shown_too(world: DashboardWorld) -> None:
    """A gap has no user, and is not left out."""
    found = ask(world, named("investigate", "Events"))
    assert any(row["What"] == "gap" and row["User"] is None for row in found)
    assert len(found) == min(1000, len(found))
    assert [row["time"] for row in found] == sorted((r["time"] for r in found), reverse=True)


def test_a_click_on_a_finding_shows_its_events(world: DashboardWorld) -> None:
    """The link of each finding leads to exactly its events, in a range that has all of them."""
    listed = [row for row in ask(world, named("now", "Look at these first")) if row["level"]]
    assert listed
    evidence = named("investigate", "Evidence of the finding")
    for row in listed:
        since = world.until - row["since"] / 1000
        found = ask(world, evidence, since=since, finding=row["id"])
        assert sum(one["Times"] for one in found) == row["Events"], row["What"]
        assert all(row["since"] <= one["time"] / 10**6 <= row["until"] for one in found)


def test_a_click_on_a_name_shows_what_is_about_it(world: DashboardWorld) -> None:
    """An address or a user of a finding: all panels of Investigate are narrowed to it."""
    listed = [row for row in ask(world, named("now", "Look at these first")) if row["level"]]
    events = named("investigate", "Events")
    for name in ("address", "user"):
        for value in {row[name] for row in listed if row[name]}:
            found = ask(world, events, since=5 * DAY, **{name: value})
            assert found, (name, value)
            assert all(value in str(row) for row in found)


@pytest.mark.parametrize("name", BOARDS)
def test_variables_have_values(world: DashboardWorld, name: str) -> None:
    """Each list of values to choose from holds something."""
    for variable in variables_of(BOARDS[name]).values():
        if variable["type"] != "query":
            continue
        if variable["datasource"]["type"] == "influxdb":
            assert world.influxd.rows(variable["query"], "events")
        else:
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert found
            metrics = found[1].replace("$job", ".+").replace("$node", ".+")
            assert world.ask(f"count by ({found[2]}) (last_over_time({metrics}[10m]))")


def test_hosts_are_hosts(world: DashboardWorld) -> None:
    """The table of hosts has those with an exporter, by the name that their events carry."""
    found = ask(world, named("hosts", "Hosts, the worst first", "name"), raw=True)
    exporter = f"127.0.0.1:{world.ports['exporter']}"
    assert [(one["metric"]["instance"], one["metric"]["host"]) for one in found] == [
        (exporter, HOST)
    ]


@pytest.mark.parametrize("name", BOARDS)
def test_columns_are_there(world: DashboardWorld, name: str) -> None:
    """What tables hide, rename, colour and sort by are fields of what is answered."""
    for panel in panels_of(BOARDS[name]):
        if panel["type"] != "table":
            continue
        if panel["title"] in ABSENT:
            continue
        columns = {"Time"}
        for target in panel["targets"]:
            query = Query(name, panel["title"], "table", target)
            columns |= columns_of(world, query)
        shown = columns_after(columns, panel["transformations"])
        overrides = [one["matcher"] for one in panel["fieldConfig"]["overrides"]]
        named = {one["options"] for one in overrides if one["id"] == "byName"}
        assert {one["displayName"] for one in panel["options"]["sortBy"]} <= shown
        assert named <= shown, panel["title"]
        links = set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel)))
        assert links <= shown


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_tables_keep_rows(world: DashboardWorld, query: Query) -> None:
    """What Grafana leaves out of an answer is not all of it."""
    if query.kind == "table" and not query.is_promql and query.panel not in ABSENT:
        (panel,) = (p for p in panels_of(BOARDS[query.board]) if p["title"] == query.panel)
        assert rows_after(ask(world, query), panel["transformations"])


@pytest.fixture(scope="module")
def second(world: DashboardWorld, influxd_2: Influxd2) -> Iterator[dict[str, str]]:
    """The same rows in InfluxDB 2: bucket of the world → bucket there."""
    buckets = {"events": "d_events", "reports": "d_reports"}
    influxd_2.create(*buckets.values())
    for measurement, bucket in BUCKET_OF.items():
        if bucket in buckets:
            influxd_2.write(buckets[bucket], list(lines_in(world, measurement, bucket)))
    yield buckets
    influxd_2.drop(*buckets.values())


def lines_in(world: DashboardWorld, measurement: str, bucket: str) -> Iterator[str]:
    """All rows of a measurement as line protocol."""
    declared = MEASUREMENTS[measurement]
    found = f'SELECT * FROM "{measurement}" GROUP BY *'  # noqa: S608 - a name of Heptad's
    for series in world.influxd.query(found, bucket):
        tags = sorted((name, value) for name, value in series.get("tags", {}).items() if value)
        for values in series["values"]:
            row = dict(zip(series["columns"], values, strict=True))
            fields = {n: row[n] for n in declared.fields if row.get(n) is not None}
            yield line_of(declared.row(tags, row["time"], fields))


@every_query
def test_influxdb_2_gives_the_same_answers(
    world: DashboardWorld, second: dict[str, str], influxd_2: Influxd2, query: Query
) -> None:
    """What a panel asks of 1.6 it may ask of 2.7."""
    if not query.is_promql:
        bucket = query.target["datasource"]["uid"][2:].partition("_")[0]
        text = text_of(world, query)
        assert influxd_2.rows(text, second[bucket]) == world.influxd.rows(text, bucket)


def columns_of(world: DashboardWorld, query: Query) -> set[str]:
    """The fields of a frame that the data source makes of the answer."""
    found = ask(world, query, raw=True)
    assert found
    if query.is_promql:
        asked = sum((one.board, one.panel) == (query.board, query.panel) for one in QUERIES)
        value = f"Value #{query.target['refId']}" if asked > 1 else "Value"
        return {*(name for one in found for name in one["metric"]), value}
    return {name for row in found for name in row} - {"time"}

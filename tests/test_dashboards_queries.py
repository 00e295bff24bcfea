"""Every query of the dashboards is asked, of a real Prometheus and a real InfluxDB."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from aggregator.finding import FINDINGS
from aggregator.reports import REPORTS, WINDOWS, measurement_of
from heptad.influxdb.lines import line_of
from tests.dashboard_world import DAY, HOST, HOUR, DashboardWorld
from tests.exposed import selectors_of
from tests.grafana import (
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
from tests.real.sandbox import wait_until

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
    if query.board == "host" and not re.search("heptad_|auth_events", query.text)
]
CHOSEN: dict[str, str | list[str]] = {"host": [HOST, "elsewhere"], "user": "", "address": ""}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardWorld]:
    """What has happened on a host, as everybody was told it."""
    with DashboardWorld(tmp_path_factory.mktemp("world")) as world:
        yield world


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
    since, until = world.until - since, world.until
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
    text = put_in(query.text, values)
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


@every_query
def test_legends_name_labels_that_are_answered(world: DashboardWorld, query: Query) -> None:
    """What a legend names is a label of some series, or a tag by which the answer is grouped."""
    if not query.is_promql:
        tags = re.findall(r"\$tag_(\w+)", query.target.get("alias", ""))
        (*_, groups) = query.text.rpartition(" GROUP BY ")
        assert all(f'"{tag}"' in groups for tag in tags)
        return
    labels = set(re.findall(r"\{\{(\w+)\}\}", query.target["legendFormat"]))
    if labels:
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


@pytest.mark.parametrize("window", WINDOWS)
def test_reports_are_read_by_their_last_revision(world: DashboardWorld, window: str) -> None:
    """What came late is counted, and counted once: the sums are those of the events.

    The host's log told of some of them after the report of their window was written.
    """
    logins = world.influxd.rows(
        """SELECT "count" FROM "events" WHERE "action" = 'login'""", "events"
    )
    length = WINDOWS[window]

    def compare() -> bool:
        found = ask(
            world, named("authentication", "Attempts by host"), since=3 * DAY, window=window
        )
        expected = [
            sum(one["count"] for one in logins if 0 <= one["time"] - row["time"] < length)
            for row in found
        ]
        return found != [] and [row["attempts"] for row in found] == expected

    wait_until(compare, f"reports of {window} that count every login", 30)
    revisions = 'SELECT max("revision") FROM "report_attempts" GROUP BY "window"'
    last = {row["window"]: row["max"] for row in world.influxd.rows(revisions, "reports")}
    assert last[window] >= 1


def test_a_row_is_read_as_a_whole(world: DashboardWorld) -> None:
    """Nothing of an older revision stands beside what the last one says."""
    measurement = measurement_of(next(r for r in REPORTS if r.name == "report_privilege"))
    tags = {"host": HOST, "program": "sudo", "outcome": "failure", "rank": "01", "window": "5m"}
    begin = int(world.until - HOUR) // 300 * 300 * 10**9
    common = {"count": 1, "events": 2}
    revisions = [
        {**common, "user": "eve", "reason": "not_in_sudoers", "object": "/bin/sh", "revision": 0},
        {**common, "user": "bob", "revision": 1},
    ]
    rows = [measurement.row(tags.items(), begin + row["revision"], row) for row in revisions]  # type: ignore[arg-type,operator]
    world.influxd.create("revised")
    world.influxd.write("revised", [line_of(row) for row in rows])
    query = named("findings", "Who was refused")
    assert ask(world, query, database="revised") == [
        {
            "time": begin,
            **{name: tags[name] for name in ("host", "program", "outcome", "rank")},
            "user": "bob",
            "target_user": None,
            "object": None,
            "reason": None,
            "count": 1,
        }
    ]


def test_the_first_row_of_a_finding_is_its_last_revision(world: DashboardWorld) -> None:
    """Grafana keeps that one of each rule, subject and first event."""
    query = named("findings", "Attacks: brute force, spraying, sweeps")
    kept: dict[tuple[str, str, int], int] = {}
    for row in ask(world, query, since=5 * DAY):
        kept.setdefault((row["rule"], row["subject"], round(row["first"])), row["count"])
    last: dict[tuple[str, str, int], tuple[int, int]] = {}
    for row in world.influxd.rows('SELECT * FROM "findings"', "reports"):
        key = (row["rule"], row["subject"], round(row["first"] / 10**6))
        last[key] = max(last.get(key, (-1, 0)), (row["revision"], row["count"]))
    assert kept
    assert kept == {key: last[key][1] for key in kept}
    assert any(number for number, _ in last.values())


def test_what_goes_on_is_found_though_it_began_before_the_range(world: DashboardWorld) -> None:
    """An attack of hours is shown to whoever looks at the last minutes."""
    finding = next(iter(world.influxd.rows('SELECT * FROM "findings"', "reports")))
    begin, end = int(world.until * 10**9) - 10 * HOUR * 10**9, int(world.until * 10**9)
    fields = {name: finding[name] for name in FINDINGS.fields if finding.get(name) is not None}
    fields |= {"first": begin, "last": end, "state": "current"}
    row = FINDINGS.row({"rule": "brute_force", "severity": "high"}.items(), begin, fields)
    world.influxd.create("ongoing")
    world.influxd.write("ongoing", [line_of(row)])
    assert ask(world, named("findings", "High: look at these now"), database="ongoing")


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
        *(({"address": text}, set()) for text in HOSTILE),
    ],
)
def test_events_are_filtered(
    world: DashboardWorld, chosen: dict[str, Any], expected: set[str]
) -> None:
    """By a part of a name or an address, and by what is chosen; any text is only a text."""
    found = ask(world, named("authentication", "Events: who did what, when and where"), **chosen)
    users = {row["user"] for row in found if not str(row["user"]).startswith("~")}
    assert users == expected


def test_without_a_filter_events_without_a_user_are_shown_too(world: DashboardWorld) -> None:
    """A gap has no user, and is not left out."""
    found = ask(world, named("authentication", "Events: who did what, when and where"))
    assert any(row["action"] == "gap" and row["user"] is None for row in found)
    assert len(found) == min(500, len(found))
    assert [row["time"] for row in found] == sorted((r["time"] for r in found), reverse=True)


def test_a_click_on_a_finding_shows_its_events(world: DashboardWorld) -> None:
    """Whoever or whatever a finding is about, one of the links of its cell leads to events."""
    panel = next(p for p in panels_of(BOARDS["findings"]) if p["title"].startswith("High:"))
    variables = re.findall(r"var-(\w+)=\$\{__value", json.dumps(panel))
    events = named("authentication", "Events: who did what, when and where")
    findings = world.influxd.rows('SELECT "rule", "subject", "count" FROM "findings"', "reports")
    subjects = {(row["rule"], row["subject"]) for row in findings}
    assert "brute_force" in {rule for rule, _ in subjects}
    for rule, subject in subjects:
        clicks: list[dict[str, Any]] = [
            {name: [subject] if name == "host" else subject} for name in variables
        ]
        assert any(ask(world, events, since=5 * DAY, **click) for click in clicks), (rule, subject)


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
            metrics = found[1].replace("$job", ".+")
            assert world.ask(f"count by ({found[2]}) (last_over_time({metrics}[10m]))")


def test_hosts_are_hosts(world: DashboardWorld) -> None:
    """The table of hosts leaves out what Prometheus scrapes beside, and the aggregator."""
    query = named("fleet", "Hosts, the worst first", "up")
    text = put_in(query.text, {"job": {"all": ".+"}, "instance": {"all": ".+"}, "__range": "1h"})
    found = {series["metric"]["instance"] for series in world.ask(text)}
    assert found == {f"127.0.0.1:{world.ports[part]}" for part in ("exporter", "node")}


@pytest.mark.parametrize("name", BOARDS)
def test_columns_are_there(world: DashboardWorld, name: str) -> None:
    """What tables hide, rename, colour and sort by are fields of what is answered."""
    for panel in panels_of(BOARDS[name]):
        if panel["type"] != "table":
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
    if query.kind == "table" and not query.is_promql:
        (panel,) = (p for p in panels_of(BOARDS[query.board]) if p["title"] == query.panel)
        assert rows_after(ask(world, query), panel["transformations"])


def columns_of(world: DashboardWorld, query: Query) -> set[str]:
    """The fields of a frame that the data source makes of the answer."""
    found = ask(world, query, raw=True)
    assert found
    if query.is_promql:
        return {
            *(name for one in found for name in one["metric"]),
            f"Value #{query.target['refId']}",
        }
    return {name for row in found for name in row} - {"time"}

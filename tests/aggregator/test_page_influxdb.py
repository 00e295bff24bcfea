"""The page on a fleet's InfluxDB: as the aggregator serves it, and what only happens there."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.aggregator.app import Aggregator
from heptad.aggregator.detection.finding import Finding, Revision
from heptad.aggregator.web.fleet import FleetStores
from heptad.aggregator.web.page import Page
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config
from heptad.core.config.types import Duration
from heptad.core.store.line_protocol import encode_line
from tests.aggregator.test_influxdb import config, server, write
from tests.aggregator.test_service import fetch
from tests.aggregator.test_service import running as running_aggregator
from tests.support.aggregator_world import DAY, MINUTE, SECOND, login
from tests.support.faulty_proxy import HANG, HTML, RESET, Fault, FaultyProxy
from tests.support.influxdb import Influxd
from tests.support.page_views import FleetViews
from tests.support.waiting import until

__all__ = ["config", "server"]  # fixtures

VIEWS = ("events", "series", "top", "findings", "health")


@pytest.fixture
def views(tmp_path: Path, server: Influxd) -> Iterator[FleetViews]:
    """Empty buckets, and the page on them."""
    server.drop("events", "reports", "heptad")
    views = FleetViews(tmp_path, server)
    with views.world:
        yield views


def test_the_aggregator_serves_it(config: Config, server: Influxd) -> None:
    """Every view answers from the buckets; while the server is away with the reason (503)."""
    write(server, "192.0.2.1")
    beat = "sequence=1i,passed=0i,behind=0i,caught_up=true,clock_offset=90.0"
    server.write("heptad", [f"heartbeat,host=web1,machine_id=m {beat} {time.time_ns()}"])

    def ask(aggregator: Aggregator, view: str) -> dict[str, object]:
        status, text = fetch(aggregator, f"/api/{view}")
        assert status == 200, text
        data: dict[str, object] = json.loads(text)
        return data

    with running_aggregator(config) as aggregator:
        assert "<title>Heptad</title>" in fetch(aggregator, "/")[1]
        until(lambda: ask(aggregator, "findings")["number"] == 1)
        found = json.loads(fetch(aggregator, "/api/events?host=web1&address=192.0.2.1")[1])
        assert [event["source_ip"] for event in found["events"]] == ["192.0.2.1"] * 4
        assert ask(aggregator, "events?host=web%27%20OR%20%27%27%3D%27")["events"] == []
        assert sum(json.loads(fetch(aggregator, "/api/series")[1])["failures"]) == 4
        assert ask(aggregator, "top")["failures"] == 4
        health = json.loads(fetch(aggregator, "/api/health")[1])
        assert [source["host"] for source in health["sources"]] == ["web1"]
        until(lambda: "clock is off" in str(ask(aggregator, "health")["problems"]))
        assert not {"lines", "not_understood", "gaps", "size"} & health.keys()
        server.kill()
        for view in VIEWS:
            status, text = fetch(aggregator, f"/api/{view}")
            assert status == 503
            assert "check that the server is running" in json.loads(text)["error"]
        server.start()
        for view in VIEWS:
            ask(aggregator, view)


@pytest.mark.parametrize(
    "fault, words",
    [
        (HANG, "timeout"),
        (RESET, "check that the server is running"),
        (HTML, "not from InfluxDB"),
        (Fault(status=401, body=b'{"error": "no"}'), "`influxdb.token`"),
        (Fault(trickle=0.02), "timeout"),
    ],
)
def test_a_server_that_does_not_answer(
    server: Influxd, fault: Fault, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each view says in a sentence why it cannot be read, and never hangs."""
    monkeypatch.setattr("heptad.aggregator.web.fleet._ANSWERED_WITHIN", 0.5)
    with FaultyProxy(server.url) as proxy:
        proxy.plan = lambda path, _: fault if path.startswith("/query") else None
        config = InfluxConfig(proxy.url, timeout=Duration("300ms"))
        page = Page(FleetStores(config), "127.0.0.1", list)
        for view in VIEWS:
            begun = time.monotonic()
            answer = page({"PATH_INFO": f"/api/{view}", "HTTP_HOST": "localhost"})
            assert answer is not None
            assert answer.status == "503 Service Unavailable"
            assert words in json.loads(answer.body)["error"]
            assert time.monotonic() - begun < 5


def test_the_pages_own_limit_has_its_own_remedy(
    server: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the page waits no longer, nobody is told to raise a time-out that changes nothing."""
    monkeypatch.setattr("heptad.aggregator.web.fleet._ANSWERED_WITHIN", 0.3)
    with FaultyProxy(server.url) as proxy:
        proxy.plan = lambda path, _: HANG if path.startswith("/query") else None
        page = Page(FleetStores(InfluxConfig(proxy.url)), "127.0.0.1", list)
        for view in VIEWS:
            answer = page({"PATH_INFO": f"/api/{view}", "HTTP_HOST": "localhost"})
            assert answer is not None
            error = json.loads(answer.body)["error"]
            assert "choose a shorter range" in error
            assert "influxdb.timeout" not in error


@pytest.mark.parametrize(("view", "rule"), [("findings", "sweep"), ("sessions", "session")])
@pytest.mark.parametrize("slow", ["hangs", "is slow"])
def test_what_is_found_is_shown_as_far_as_time_allows(
    server: Influxd, monkeypatch: pytest.MonkeyPatch, slow: str, view: str, rule: str
) -> None:
    """The newest are there, and the answer says how far back it goes."""
    monkeypatch.setattr("heptad.aggregator.web.fleet._ANSWERED_WITHIN", 0.5)
    if slow == "is slow":
        monkeypatch.setattr("heptad.aggregator.web.findings._SECONDS", 0.0)
    now = time.time_ns()
    for days in range(4):
        at = now - days * DAY
        finding = Finding(
            rule=rule,
            subject=f"192.0.2.{days}",
            first=at,
            last=at,
            day=at // DAY,
            severity="low",
            sentence="One sweep",
            count=1,
            end="logout" if rule == "session" else "",
        )
        server.write("reports", [encode_line(Revision(finding, 1).row())])
    old = str((now - 2 * DAY) // DAY * DAY)
    with FaultyProxy(server.url) as proxy:
        if slow == "hangs":
            proxy.plan = lambda _, body: HANG if old in body.decode() else None
        page = Page(FleetStores(InfluxConfig(proxy.url)), "127.0.0.1", list)
        query = {"PATH_INFO": f"/api/{view}", "QUERY_STRING": "since=4d", "HTTP_HOST": "localhost"}
        answer = page(query)
    assert answer is not None
    told = json.loads(answer.body)
    assert answer.status == "200 OK", told
    assert 1 <= told["number"] < 4
    assert told["from"] <= told[view][-1]["first" if view == "findings" else "begin"]
    page = Page(FleetStores(InfluxConfig(server.url)), "127.0.0.1", list)
    monkeypatch.setattr("heptad.aggregator.web.findings._SECONDS", 60.0)
    monkeypatch.setattr("heptad.aggregator.web.fleet._ANSWERED_WITHIN", 60.0)
    whole = page(query)
    assert whole is not None
    assert (json.loads(whole.body)["number"], json.loads(whole.body)["from"]) == (4, None)


def test_what_makes_no_sense_is_not_shown(views: FleetViews) -> None:
    """A point that no exporter writes, or of a time far ahead, costs no other event its place."""
    now = views.now
    views.add(login(now, user="real"), login(now + 3 * DAY, user="future"))
    views.server.write(
        "events",
        [
            f'events,host=a user="tagless",count=1i {now + 1}',
            f'events,host=a,source=b,program=c,action=login,outcome=failure user="x" {now + 2}',
            f"events,host=a,source=b,program=c,action=login,outcome=failure odd=1.5 {now + 3}",
        ],
    )
    found = [event.get("user") for event in views.ask("events")["events"]]
    assert found == ["real"]
    assert views.ask("top")["failures"] == 1
    assert sum(views.ask("series", until="2100-01-01T00:00:00Z")["failures"]) >= 1


def test_following_after_nobody_watched(views: FleetViews) -> None:
    """Where nobody watched for long, and for another run's position, it is said that some miss."""
    views.add(login(views.now - 5 * MINUTE, user="first"))
    position = views.ask("events")["position"]
    assert position < 2**53
    views.add(login(views.now, user="missed"))
    views.seconds += 3600
    data = views.ask("events", after=position)
    assert (data["events"], data["skipped"]) == ([], True)
    views.add(login(views.now + SECOND, user="new"))
    data = views.ask("events", after=data["position"])
    assert ([event["user"] for event in data["events"]], data["skipped"]) == (["new"], False)
    assert views.ask("events", after=1)["skipped"] is True


def test_following_many(views: FleetViews, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too many came to know them all, what is new is followed all the same."""
    monkeypatch.setattr("heptad.core.influxdb.tail._KNOWN", 5)
    views.add(*(login(views.now - n * SECOND, user=f"u{n}") for n in range(200)))
    position = views.ask("events")["position"]
    views.add(login(time.time_ns() + 2 * SECOND, user="new"))
    data = views.ask("events", after=position)
    assert [event["user"] for event in data["events"]] == ["new"]


def test_sources_that_are_silent(views: FleetViews) -> None:
    """A source that gave nothing for some days is still among the sources, one of weeks is not."""
    views.add(*(login(views.now - n * DAY, host=f"h{n}") for n in (0, 3, 6, 20)))
    assert [source["host"] for source in views.ask("health")["sources"]] == ["h0", "h3", "h6"]

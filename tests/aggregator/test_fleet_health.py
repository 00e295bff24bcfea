"""What keeps hosts from being heard is the first thing in the report, for a fleet and for one host."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.reports import REPORTED
from heptad.aggregator.stores import InfluxStores
from heptad.aggregator.summary.text import build_summary, to_text
from heptad.aggregator.web.health import describe_health
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config
from heptad.core.stores import open_events, open_reports
from heptad.core.validation import Intake
from tests.support.feed import Bench, line
from tests.support.influxdb import Influxd

BUCKETS = ("events", "reports", "heptad")
SECOND = 10**9
MINUTE = 60 * SECOND


@pytest.fixture
def server(influxd: Influxd) -> Iterator[Influxd]:
    """A real InfluxDB with empty buckets whose shards are days."""
    for bucket in BUCKETS:
        influxd.create(bucket, keep="90d")
    yield influxd
    influxd.drop(*BUCKETS)


def beat(server: Influxd, host: str, age: int = 0, fields: str = "") -> None:
    """The heartbeat of a host, so many ns old."""
    series = f"heartbeat,host={host},machine_id={host.encode().hex():0>32}"
    known = 'sequence=1i,caught_up=true,behind=0i,clock_offset=0.0,passed=1i,spans="[]"'
    server.write("heptad", [f"{series} {known}{fields} {time.time_ns() - age}"])


def read_first(server: Influxd) -> str:
    """The first section of `heptad report`."""
    config, now = Config(influxdb=InfluxConfig(server.url)), time.time_ns()
    with ExitStack() as stack:
        intake = Intake(REPORTED)
        events, findings = (of(config, stack, intake) for of in (open_events, open_reports))
        assert events is not None
        return to_text(build_summary(events, findings, now - 60 * MINUTE, now)).split(
            "What happened"
        )[0]


def held(time: int, stored: str = "float") -> str:
    """What a heartbeat says of held points."""
    group = f'[[\\"events\\",\\"count\\",\\"integer\\",\\"{stored}\\",{time},9]]'
    return f',held="{group}"'


def test_hosts_that_are_not_heard(server: Influxd) -> None:
    """Deaf and silent hosts are named; one that was deaf long ago or is well is not."""
    beat(server, "web-1")
    beat(server, "web-2", 2 * MINUTE, ",deaf=true")
    beat(server, "web-2", MINUTE, ",deaf=true")
    beat(server, "web-3", 2 * MINUTE, ",deaf=true")
    beat(server, "web-3", MINUTE)
    beat(server, "web-4", 600 * SECOND)
    first = read_first(server)
    assert "- hosts with a source that is deaf or cannot be read: web-2; `heptad report" in first
    assert "- exporters that are silent: web-4; check that they are running" in first
    assert "web-1" not in first
    assert "web-3" not in first


def test_hosts_that_hold_events(server: Influxd) -> None:
    """Hosts with held points are named, with the field and the shard; a false claim is not told."""
    now = time.time_ns()
    server.write("events", [f"events,host=evil count=1.5 {now}"])
    beat(server, "web-1", 0, held(now))
    beat(server, "web-2", 0, held(now))
    beat(server, "web-3", 0, held(now, "string"))
    beat(server, "web-4")
    first = read_first(server)
    assert "`count` of `events` is sent as integer and stored as float" in first
    assert "its point says that it is from host 'evil', which is not verified" in first
    assert "Hosts that hold points: web-1 and web-2" in first
    assert "string" not in first


def test_a_fleet_without_heartbeats(server: Influxd) -> None:
    """Where the heartbeats cannot be read the report says that it does not know."""
    server.drop("heptad")
    server.write("events", [f'events,host=a count=1i,raw="x" {time.time_ns()}'])
    first = read_first(server)
    server.create("heptad", keep="90d")
    assert "cannot determine which hosts are deaf" in first


def test_the_page_names_the_hosts(server: Influxd) -> None:
    """The aggregator's own problems name the same hosts."""
    beat(server, "web-1")
    beat(server, "web-2", 0, ",deaf=true")
    stores = InfluxStores(InfluxConfig(server.url), Intake(REPORTED))
    stores.open_events()
    stores.events.arrived("events", "", 10)
    metrics = AggregatorMetrics([])
    stores.tend(metrics)
    (problem,) = stores.problems()
    stores.close()
    assert "cannot be read: web-2;" in problem


def test_problems_of_one_host_are_in_its_store(tmp_path: Path) -> None:
    """A source that cannot be read, and what is held, are in the report and on the page of others."""
    bench = Bench(tmp_path / "events.db")
    bench.start([[line("12:00:00")]])
    pipeline, feed = bench.pipelines[-1], bench.feeds[0]
    feed.problem = "journalctl is not installed: install systemd"
    refused = ["delivery: InfluxDB refuses 3 points, which are held"]
    pipeline.others = lambda: refused
    bench.run()
    wanted = ["source feed0: journalctl is not installed: install systemd", *refused]
    assert describe_health(bench.store, None, [], None)["problems"] == wanted
    # the exporter in the same process says it more exactly
    live = ["source feed0: another text"]
    assert describe_health(bench.store, None, live, None)["problems"] == [*live, *refused]
    report = build_summary(bench.store, None, 0, 2**62)
    assert report.unheard == wanted
    assert f"- {wanted[0]}" in to_text(report).split("What happened")[0]
    # a restart keeps it until it is looked again, and what is over is gone
    feed.problem = None
    refused.clear()
    bench.start_feeds(bench.feeds)
    assert build_summary(bench.store, None, 0, 2**62).unheard == wanted
    for _ in range(2):  # the second commits what the first found
        bench.run()
    assert build_summary(bench.store, None, 0, 2**62).unheard == []
    bench.stop()

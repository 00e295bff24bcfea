"""The aggregator as it runs on InfluxDB: outages, kills of the server, and what commands show."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from heptad.core.config.schema import Config, load_config
from heptad.core.event import Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from tests.aggregator.test_service import fetch
from tests.aggregator.test_service import running as running_aggregator
from tests.support.aggregator_world import login
from tests.support.influxdb import Influxd, running
from tests.support.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Influxd]:
    """A server of the test's own, with the three buckets."""
    with running(Influxd(tmp_path / "influxd")) as server:
        server.create("events", "reports", "heptad")
        yield server


@pytest.fixture
def config(tmp_path: Path, server: Influxd) -> Config:
    """An aggregator on that server."""
    settings = {
        "influxdb": {"url": server.url, "timeout": "2s"},
        "aggregator": {
            "listen": "127.0.0.1:0",
            "poll": "10ms",
            "store": {"path": str(tmp_path / "none.db")},
            "findings": {"brute_force": {"attempts": 4, "span": "3m"}},
        },
    }
    (tmp_path / "heptad.yaml").write_text(yaml.safe_dump(settings))
    return load_config(tmp_path / "heptad.yaml")


def write(server: Influxd, address: str) -> None:
    """An attack arrives."""
    now = time.time_ns()
    events: list[Event] = [login(now + n, address) for n in range(4)]
    server.write("events", [line_of(row_of_event(event)) for event in events])


def subjects(server: Influxd) -> set[str]:
    """Whom the findings in the bucket are about."""
    return {row["subject"] for row in server.rows("SELECT subject FROM findings", "reports")}


def test_goes_on_by_itself_after_an_outage(config: Config, server: Influxd, tmp_path: Path) -> None:
    """While the server is away /healthz and metrics say so, and answer; then it goes on."""
    # what was there before the aggregator's first start is found, and not counted
    counted = 'heptad_findings_total{rule="brute_force",severity="low"} 1.0'
    write(server, "192.0.2.1")
    with running_aggregator(config) as aggregator:
        until(lambda: "192.0.2.1" in subjects(server))
        server.kill()
        until(lambda: "heptad_aggregator_events_failing 1.0" in fetch(aggregator, "/metrics")[1])
        status, told = fetch(aggregator, "/healthz")
        assert status == 503
        assert "check that the server is running" in told
        server.start()
        write(server, "192.0.2.2")
        until(
            lambda: "192.0.2.2" in subjects(server),
        )
        until(lambda: fetch(aggregator, "/healthz")[0] == 200)
        until(lambda: counted in fetch(aggregator, "/metrics")[1])
    assert not (tmp_path / "none.db").exists()
    # what was counted is known to the next one
    with running_aggregator(config) as aggregator:
        until(lambda: counted in fetch(aggregator, "/metrics")[1])


def test_starts_without_a_server(config: Config, server: Influxd) -> None:
    """It serves its metrics, and begins when the server is there; counters do not jump."""
    server.stop()
    with running_aggregator(config) as aggregator:
        until(lambda: "heptad_aggregator_events_failing 1.0" in fetch(aggregator, "/metrics")[1])
        assert "heptad_findings_total{" not in fetch(aggregator, "/metrics")[1]
        server.start()
        write(server, "192.0.2.1")
        until(lambda: "192.0.2.1" in subjects(server))
        until(lambda: fetch(aggregator, "/healthz")[0] == 200)


@pytest.mark.parametrize("bucket", ["events", "reports", "heptad"])
def test_a_missing_bucket_is_told(config: Config, server: Influxd, bucket: str) -> None:
    """Which bucket it is, and what makes it."""
    server.drop(bucket)
    write_to = server if bucket != "events" else None
    if write_to:
        write(write_to, "192.0.2.1")
    with running_aggregator(config) as aggregator:
        until(lambda: fetch(aggregator, "/healthz")[0] == 503)
        until(lambda: f"`{bucket}`" in fetch(aggregator, "/healthz")[1])


def test_commands_read_the_fleet(config: Config, server: Influxd, tmp_path: Path) -> None:
    """`heptad aggregator --once`, `report` and `events` work on InfluxDB."""
    write(server, "192.0.2.1")
    server.write(
        "events", [f'not_understood,host=a,program=sshd,source=x raw="what" {time.time_ns()}']
    )
    file = str(tmp_path / "heptad.yaml")

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "heptad", *command, "--config", file],
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("aggregator", "--once")
    told = json.loads(run("report", "--format", "json"))
    assert [finding["subject"] for finding in told["findings"]] == ["192.0.2.1"]
    assert told["not_understood"] == [{"program": "sshd", "lines": 1, "samples": ["what"]}]
    assert run("events", "--since", "1h", "--format", "jsonl").count("192.0.2.1") == 4


def test_it_tells_where_things_are(config: Config, server: Influxd, tmp_path: Path) -> None:
    """The first words name the bucket, the metrics and the page, and no file that is not used."""
    command = [sys.executable, "-m", "heptad", "aggregator", "--config"]
    with subprocess.Popen(
        [*command, str(tmp_path / "heptad.yaml")], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "starting aggregator" in line)
        process.terminate()
    assert f'store="{server.url}, `reports`"' in told
    assert "/metrics" in told
    assert "page=http" in told
    assert "none.db" not in told

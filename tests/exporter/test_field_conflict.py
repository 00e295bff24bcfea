"""One foreign point gives a field another type for a whole shard: real events wait, and arrive."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.reports import REPORTED
from heptad.aggregator.stores import InfluxStores
from heptad.core.config.influxdb import DeliveryConfig, InfluxConfig
from heptad.core.config.types import Duration
from heptad.core.store.outbox import read_rejections
from heptad.core.validation import Intake
from heptad.exporter.app import Exporter
from tests.exporter.test_delivery import World
from tests.support.influxd_2 import ORGANIZATION, Influxd2
from tests.support.influxdb import Influxd
from tests.support.real.sandbox import wait_until

BUCKETS = ("events", "reports", "heptad")
DAY = 24 * 3600 * 10**9
NOON = 1_795_176_000 * 10**9
"""2026-11-20T12:00Z, the time of the World's lines."""
SHARD = "shard 2026-11-20T00:00Z to 2026-11-21T00:00Z"


@pytest.fixture(params=["influxd", "influxd_2"])
def server(request: pytest.FixtureRequest) -> Iterator[Influxd]:
    """A real InfluxDB 1.6.7 or 2.7.12 with empty buckets whose shards are days."""
    server: Influxd = request.getfixturevalue(request.param)
    for bucket in BUCKETS:
        server.create(bucket, keep="90d")
    yield server
    server.drop(*BUCKETS)


@pytest.fixture
def world(tmp_path: Path, server: Influxd) -> World:
    """A host that delivers there."""
    world = World(tmp_path, server)
    keys: dict[str, Any] = dict(server.keys) if isinstance(server, Influxd2) else {}
    world.config.influxdb = InfluxConfig(
        server.url, delivery=DeliveryConfig(flush_interval=Duration("100ms"), max_lines=64), **keys
    )
    return world


def poison(server: Influxd, field: str = "count=1.5", day: int = 0) -> None:
    """What whoever may write can do: one point at the end of a day, before the real ones."""
    server.write("events", [f"events,host=evil\\ one {field} {NOON + DAY // 3 + day * DAY}"])


def counted(server: Influxd) -> list[int]:
    """How often each real event is there."""
    rows = server.rows('SELECT "count", "user" FROM events', "events")
    users = [row["user"] for row in rows if isinstance(row["user"], str)]
    return sorted(users.count(user) for user in set(users))


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("count=1.5", "`count` of `events` is sent as integer and stored as float"),
        ("count=2", "`count` of `events` is sent as integer and stored as float"),
        ('count="1"', "`count` of `events` is sent as integer and stored as string"),
        ("raw=7i", "`raw` of `events` is sent as string and stored as integer"),
        ("user=true", "`user` of `events` is sent as string and stored as boolean"),
    ],
)
def test_events_of_a_poisoned_day_arrive_once(
    world: World, server: Influxd, field: str, told: str
) -> None:
    """200 events wait with a sentence that names all of it; after a drop each is there once."""
    poison(server, field)
    world.write(200)
    exporter = world.run()
    (problem,) = exporter.problems()
    assert "rejects 200 points, which are held" in problem
    assert told in problem
    assert SHARD in problem
    assert "says that it is from host 'evil one', which is not verified" in problem
    assert counted(server) == []
    again = world.run()
    assert again.problems() == exporter.problems()
    drop(server)
    assert world.run().problems() == []
    assert counted(server) == [1] * 200
    world.run()
    assert counted(server) == [1] * 200


def test_other_days_and_what_has_no_such_field_go_on(world: World, server: Influxd) -> None:
    """Only the events of the poisoned shard wait, whatever else is in the batch."""
    poison(server)
    for day in range(18, 24):
        append(
            world,
            f"2026-11-{day}T12:00:00Z gate sshd[{day}]: Failed password for u{day} from 192.0.2.1 "
            "port 22 ssh2\n"
            f"2026-11-{day}T12:00:00Z gate sshd[{day}]: a line that no rule knows\n",
        )
    (problem,) = world.run().problems()
    assert "rejects 1 points" in problem
    assert world.users() == ["u18", "u19", "u21", "u22", "u23"]
    assert len(server.rows("SELECT raw FROM not_understood", "events")) == 6


def test_two_fields_in_two_shards(world: World, server: Influxd) -> None:
    """Each conflict is told with its own shard, and one that is gone frees its own events."""
    poison(server)
    poison(server, "raw=1i", day=1)
    for day in (20, 21, 22):
        for n in range(10, 60):
            append(
                world,
                f"2026-11-{day}T12:00:00Z gate sshd[{n}]: Failed password for u{day}{n} from "
                "192.0.2.1 port 22 ssh2\n",
            )
    (problem,) = world.run().problems()
    assert "rejects 100 points" in problem
    assert f"`count` of `events` is sent as integer and stored as float ({SHARD}" in problem
    assert "stored as integer (shard 2026-11-21T00:00Z to 2026-11-22T00:00Z" in problem
    assert len(world.users()) == 50
    free(server, 1)
    (problem,) = world.run().problems()
    assert "rejects 50 points" in problem
    assert len(world.users()) == 100
    free(server, 0)
    assert world.run().problems() == []
    assert counted(server) == [1] * 150


def test_what_an_older_version_gave_up(world: World, server: Influxd) -> None:
    """Events that were refused for a type before such were held are delivered once it is gone."""
    poison(server)
    world.write(20)
    world.run()
    reason = (
        'partial write: field type conflict: input field "count" on measurement "events" is type '
        "integer, already exists as type float dropped=20"
    )
    with closing(sqlite3.connect(world.state / "events.db")) as db:
        db.execute("INSERT INTO rejected SELECT id, at, ? FROM held WHERE id > 2", (reason,))
        other = "partial write: max-values-per-tag limit exceeded (100001/100000) dropped=2"
        db.execute("INSERT INTO rejected SELECT id, at, ? FROM held WHERE id <= 2", (other,))
        db.execute("DELETE FROM held")
        db.commit()
    (problem,) = world.run().problems()
    assert "rejects 18 points, which are held" in problem
    drop(server)
    assert world.run().problems() == []
    assert counted(server) == [1] * 18
    assert [one.reason for one in read_rejections(world.state / "events.db")] == [other] * 2


def append(world: World, text: str) -> None:
    """What a daemon logs."""
    with world.log.open("a") as log:
        log.write(text)


def drop(server: Influxd) -> None:
    """Delete all events."""
    if isinstance(server, Influxd2):
        delete(server, "2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
    else:
        server.query('DROP MEASUREMENT "events"', "events")


def delete(server: Influxd2, start: str, stop: str) -> None:
    """Delete the events of a time."""
    body = {"start": start, "stop": stop, "predicate": '_measurement="events"'}
    server.call("POST", f"/api/v2/delete?org={ORGANIZATION}&bucket=events", body)


def free(server: Influxd, day: int) -> None:
    """Delete what is in one day, as the runbook says."""
    since = NOON - DAY // 2 + day * DAY
    start, stop = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 10**9)) for at in (since, since + DAY)
    )
    if isinstance(server, Influxd2):
        delete(server, start, stop)
        return
    for series in server.query("SHOW SHARDS"):
        for row in series.get("values", []):
            shard = dict(zip(series["columns"], row, strict=True))
            if (shard["database"], shard["start_time"]) == ("events", start):
                server.query(f"DROP SHARD {shard['id']}")


def test_a_running_exporter_tells_and_delivers(
    world: World, server: Influxd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port tells it at once, and the events arrive without a restart."""
    monkeypatch.setattr("heptad.exporter.delivery.held.EVERY", 0.2)
    poison(server)
    world.write(20)
    exporter = Exporter(world.config)
    stop = threading.Event()
    threads = [threading.Thread(target=part, args=(stop,)) for part in exporter.workers().values()]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: exporter.problems() != [], "a problem")
        assert exporter.server is not None
        with urlopen(f"{exporter.server.url}/metrics", timeout=10) as answer:  # noqa: S310 - it is http
            metrics = answer.read().decode()
        assert (
            'heptad_delivery_held_events{claimed_host="evil one",field="count",'
            'measurement="events",sent="integer",shard_end="2026-11-21T00:00Z",'
            'shard_start="2026-11-20T00:00Z",stored="float"} 20.0'
        ) in metrics
        free(server, 0)
        wait_until(lambda: world.users() == world.expected(), "the events")
        wait_until(lambda: exporter.problems() == [], "no problem")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert counted(server) == [1] * 20


def test_the_aggregator_names_it_too(world: World, server: Influxd) -> None:
    """From heartbeats, after a look of its own: it may read where an exporter may not."""
    poison(server)
    world.write(7)
    world.run()
    assert world.config.influxdb is not None
    stores = InfluxStores(world.config.influxdb, Intake(REPORTED))
    stores.open_events()
    metrics = AggregatorMetrics([])
    stores.events.arrived("events", "", 10)
    stores.tend(metrics)
    (problem,) = [one for one in stores.problems() if "rejects" in one]
    assert "`count` of `events` is sent as integer and stored as float" in problem
    assert (
        f"{SHARD}; its point says that it is from host 'evil one', which is not verified" in problem
    )
    stores.close()


@pytest.mark.parametrize(
    "told",
    [
        '[["events","count","integer","string",1795176000000000000,9]]',
        '[["events","count","integer","float",1795176000000000000,9]]',
        '[["events","count","integer","float",1795089600000000000,9]]',
        '[["events","nothing","integer","float",1795176000000000000,9]]',
        '[["events","count","integer","x",1795176000000000000,9]]',
        '[["events","count","integer","float",-1,9]]',
        "[1]",
        "x",
    ],
)
def test_a_forged_heartbeat_accuses_nobody(world: World, server: Influxd, told: str) -> None:
    """What it says is held is not believed where the server has no such point."""
    server.write("events", [f'events,host=web-1 count=1i,raw="x" {NOON}'])
    text = told.replace('"', '\\"')
    fields = f'sequence=1i,caught_up=true,behind=0i,clock_offset=0.0,spans="[]",held="{text}"'
    series = f"heartbeat,host=evil,machine_id={'e' * 32}"
    server.write("heptad", [f"{series} {fields} {time.time_ns()}"])
    assert world.config.influxdb is not None
    stores = InfluxStores(world.config.influxdb, Intake(REPORTED))
    stores.open_events()
    stores.events.arrived("events", "", 10)
    stores.tend(AggregatorMetrics([]))
    assert not [one for one in stores.problems() if "rejects" in one]
    stores.close()

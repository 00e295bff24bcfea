"""An exporter and a real InfluxDB: begun late, lost and found again, told where it stopped."""

import base64
import shutil
import threading
import zlib
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from heptad.core.config.influxdb import DeliveryConfig, InfluxConfig
from heptad.core.config.schema import Config, FileSourceConfig, StoreConfig
from heptad.core.config.types import Duration, Listen
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.query import Reader
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.app import Exporter
from heptad.exporter.delivery.delivery_state import find_machine_id, find_machine_key, read_position
from heptad.exporter.delivery.encryption import KEY_BYTES
from tests.exporter.test_forwarder import Patient
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.influxdb import Influxd
from tests.support.real.sandbox import wait_until


def line(number: int) -> str:
    """A wrong password of a user of that number; all within one second."""
    return (
        f"2026-11-20T12:00:00Z gate sshd[{number}]: Failed password for u{number} from 192.0.2.1 "
        "port 22 ssh2\n"
    )


class World:
    """A host with a log, its state, and a server."""

    def __init__(self, folder: Path, influxd: Influxd) -> None:
        self.influxd = influxd
        self.log = folder / "auth.log"
        self.state = folder / "state"
        self.written = 0
        self.config = Config(
            host="gate",
            sources=[FileSourceConfig(name="auth", paths=[str(self.log)], timezone=UTC)],
            store=StoreConfig(path=str(self.state / "events.db")),
            influxdb=InfluxConfig(
                influxd.url, delivery=DeliveryConfig(flush_interval=Duration("100ms"), max_lines=3)
            ),
        )
        self.config.exporter.listen = Listen("127.0.0.1:0")
        self.root = folder / "host"
        self.config.exporter.host_root = str(self.root)
        self.be("f" * 32)

    def be(self, machine: str) -> None:
        """Continue as the machine with this id; without one if it is empty."""
        (self.root / "etc").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/machine-id").write_text(machine)

    def write(self, count: int) -> None:
        """Log lines."""
        with self.log.open("a") as log:
            for _ in range(count):
                self.written += 1
                log.write(line(self.written))

    def rotate(self) -> None:
        """As logrotate does."""
        self.log.rename(self.log.with_name("auth.log.1"))
        self.log.touch()

    def run(self, stop: threading.Event | None = None) -> Exporter:
        """Read and deliver what is there."""
        exporter = Exporter(self.config, once=True, serve=False)
        exporter.run(stop or Patient())
        return exporter

    def users(self) -> list[str]:
        """The users in the bucket."""
        rows = self.influxd.rows('SELECT "user" FROM events', "events")
        return sorted((str(row["user"]) for row in rows), key=lambda user: int(user[1:]))

    def expected(self) -> list[str]:
        """The users that were written."""
        return [f"u{n}" for n in range(1, self.written + 1)]


@pytest.fixture
def world(tmp_path: Path, influxd: Influxd) -> Iterator[World]:
    """A host and empty buckets."""
    databases = ("events", "reports", "heptad")
    influxd.create(*databases)
    yield World(tmp_path, influxd)
    influxd.drop(*databases)


def test_a_lost_store_is_gone_on_from(world: World) -> None:
    """A new exporter goes on where the lost one stopped, also where the log was rotated since."""
    world.write(10)
    world.run()
    assert world.users() == world.expected()
    shutil.rmtree(world.state)
    world.write(5)
    world.rotate()
    world.write(5)
    world.run()
    assert world.users() == world.expected()
    with LocalStore(world.state / "events.db") as store:
        assert len(list(store.read("events", 0, 2**62))) == 10  # what was delivered is not read


def test_a_server_that_keeps_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writes are acknowledged and not kept, the next heartbeat says so, until they are."""
    monkeypatch.setattr("heptad.exporter.delivery.heartbeat.EVERY", 0.1)
    monkeypatch.setattr("heptad.exporter.delivery.heartbeat._SETTLED", 0.0)
    swallows = threading.Event()
    swallows.set()
    world.write(3)
    with FaultyProxy(world.influxd.url) as proxy:
        proxy.plan = lambda path, _: (
            Fault(status=204) if "/write" in path and swallows.is_set() else None
        )
        world.config.influxdb = InfluxConfig(proxy.url)
        exporter = Exporter(world.config, serve=False)
        delivery, stop = exporter.delivery, threading.Event()
        assert delivery is not None
        running = threading.Thread(target=delivery.run, args=(stop,))
        running.start()
        try:
            told = "is not stored, so events may be lost"
            wait_until(lambda: told in str(delivery.problems()), told)
            # the metric follows the problem in the delivery's own thread
            wait_until(lambda: value_of(exporter, "heptad_delivery_up") == 0, "down")
            swallows.clear()
            wait_until(lambda: not delivery.problems(), "no problem any more")
            wait_until(lambda: value_of(exporter, "heptad_delivery_up") == 1, "up")
        finally:
            stop.set()
            running.join()
            exporter.close()


def value_of(exporter: Exporter, name: str) -> float:
    """The value of a metric without labels."""
    found = (family.samples for family in exporter.metrics.collect() if family.name == name)
    return float(next(found)[0].value)


def test_what_the_position_did_not_tell_is_written_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines delivered after the last heartbeat are read again and get the identities they had."""
    world.write(10)
    world.run()
    monkeypatch.setattr(
        "heptad.exporter.delivery.forwarder.Forwarder._send_heartbeat", lambda _: True
    )
    world.write(10)
    world.run()
    monkeypatch.undo()
    shutil.rmtree(world.state)
    world.write(3)
    world.run()
    assert world.users() == world.expected()
    with LocalStore(world.state / "events.db") as store:
        assert len(list(store.read("events", 0, 2**62))) == 13


def test_another_machine_of_the_same_name_begins_by_itself(world: World) -> None:
    """A position belongs to name and machine: what another one read is not passed over."""
    world.write(3)
    world.run()
    shutil.rmtree(world.state)
    world.be("0" * 32)
    world.run()
    with LocalStore(world.state / "events.db") as store:
        assert len(list(store.read("events", 0, 2**62))) == 3


def test_a_privacy_key_lost_with_its_store_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines read again have the identities that they had; only their hashed names are others."""

    def write(numbers: range) -> None:
        with world.log.open("a") as log:
            log.writelines(line(n).replace(" for ", " for invalid user ") for n in numbers)

    def names() -> dict[int, str]:
        rows = world.influxd.rows('SELECT "user" FROM events', "events")
        return {int(row["time"]): str(row["user"]) for row in rows}

    write(range(10))
    world.run()
    monkeypatch.setattr(
        "heptad.exporter.delivery.forwarder.Forwarder._send_heartbeat", lambda _: True
    )
    write(range(10, 20))
    world.run()
    monkeypatch.undo()
    before = names()
    shutil.rmtree(world.state)
    world.run()
    after = names()
    assert len(before) == 20
    assert after.keys() == before.keys()
    assert sum(after[time] != before[time] for time in after) == 10
    assert all(name.startswith("~") for name in after.values())


def test_two_machines_of_one_name_at_one_moment(world: World) -> None:
    """What two machines log under one host name in one second is all there, true to the second."""
    world.write(50)
    for machine in ("0" * 32, "1" * 32):
        world.be(machine)
        world.run()
        shutil.rmtree(world.state)
    assert world.users() == sorted(2 * world.expected(), key=lambda user: int(user[1:]))
    times = {int(row["time"]) for row in world.influxd.rows('SELECT "user" FROM events', "events")}
    assert len(times) == 100
    assert max(times) - min(times) < 10**6
    assert min(times) // 10**6 == 1795176000_000


def test_a_position_tells_others_nothing(world: World) -> None:
    """What a log begins with is masked in events, and is not in the bucket by way of a position."""
    world.config.privacy.commands = "program"
    sudo = "sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/echo topsecret"
    world.log.write_text(f"2026-11-20T12:00:00Z gate {sudo}\n")
    world.run()
    [row] = world.influxd.rows("SELECT position FROM heartbeat WHERE position != ''", "heptad")
    key = find_machine_key(world.root)
    assert key is not None
    read_position(row["position"], key)
    told = base64.b64decode(row["position"])
    for start in range(len(told)):
        with pytest.raises(zlib.error):
            zlib.decompress(told[start:])
    with pytest.raises(ValueError, match="another machine"):
        read_position(row["position"], b"o" * KEY_BYTES)


def test_a_host_without_a_machine_id_leaves_no_position(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """What could be sealed only with what all know is not told; a new store begins anew."""
    world.be("")
    world.write(5)
    world.run()
    told = [getattr(record, "problem", "") for record in caplog.records]
    assert any("systemd-machine-id-setup" in problem for problem in told)
    [row] = world.influxd.rows("SELECT * FROM heartbeat", "heptad")
    assert "position" not in row
    shutil.rmtree(world.state)
    world.write(5)
    world.run()
    assert world.users() == world.expected()


def test_nothing_is_read_before_the_server_has_answered(world: World) -> None:
    """A new store waits for the server, says so (a metric, too), and begins once it is there."""
    world.write(3)
    world.influxd.stop()
    exporter = Exporter(world.config)
    assert exporter.server is not None
    stop = threading.Event()
    threads = [threading.Thread(target=part, args=(stop,)) for part in exporter.workers().values()]
    for thread in threads:
        thread.start()
    try:
        wait_until(exporter.problems, "a problem", 30)
        assert "logs are not read until" in exporter.problems()[0]
        told = {metric.name: metric.samples for metric in exporter.metrics.collect()}
        assert [sample.value for sample in told["heptad_delivery_up"]] == [0]
        assert exporter.store.newest_position() == 0
        world.influxd.start()
        wait_until(lambda: world.users() == world.expected(), "delivery", 60)
        wait_until(lambda: not exporter.problems(), "health", 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_hostile_text_arrives_as_it_was(world: World) -> None:
    """Quotes, backslashes, control characters and what looks like an escape come back the same."""
    names = ['a"b', "a\\b", "a\\nb", "\\", 'x\\"', "tab\there", "a,b=c d", "\u202eevil", "ü" * 500]
    with world.log.open("a") as log:
        for number, name in enumerate(names):
            log.write(line(number).replace(f"u{number} ", f"{name} ", 1))
    exporter = Exporter(world.config, once=True, serve=False)
    exporter.run(Patient())
    with LocalStore(world.state / "events.db") as store:
        kept = {p.time: p for p in store.read("events", 0, 2**62)}
    reader = Reader(InfluxConnection(InfluxConfig(world.influxd.url)), "events")
    there = {p.time: p for p in reader.points("events", 0, 2**62)}
    assert len(kept) == len(names)
    assert there == kept


def test_once_tells_what_could_not_be_delivered(world: World) -> None:
    """`--once` does not wait for a server that is away; the next run delivers."""
    world.write(3)
    world.run()
    world.write(3)
    world.influxd.stop()
    exporter = world.run()
    assert "Connection refused" in exporter.problems()[0]
    world.influxd.start()
    assert world.run().problems() == []
    assert world.users() == world.expected()


def test_once_with_a_new_store_does_not_wait(world: World) -> None:
    """Where nobody tells a new store where to go on, `--once` reads nothing, says so and ends."""
    world.write(3)
    world.influxd.stop()
    exporter = world.run()
    assert "logs are not read until" in exporter.problems()[0]
    world.influxd.start()
    assert world.run().problems() == []
    assert world.users() == world.expected()


def test_once_has_caught_up(world: World) -> None:
    """The heartbeat at the end of `--once` tells that all is delivered up to now."""
    world.write(3)
    world.run()
    beats = world.influxd.rows("SELECT caught_up, passed FROM heartbeat", "heptad")
    assert beats[-1]["caught_up"] is True


def test_the_machine_id_is_not_told(tmp_path: Path) -> None:
    """The id in heartbeats follows from /etc/machine-id, differs for each, and is not it."""
    ids = set()
    for name in ("a", "b"):
        for where in ("etc", "var/lib/dbus"):
            path = tmp_path / name / where / "machine-id"
            path.parent.mkdir(parents=True)
            path.write_text(name * 32 + "\n")
        told = find_machine_id(tmp_path / name)
        (tmp_path / name / "etc/machine-id").unlink()
        assert told == find_machine_id(tmp_path / name)
        assert name * 32 not in told
        ids.add(told)
    assert len(ids) == 2
    assert len(find_machine_id(tmp_path / "none")) == 32


def test_once_sends_one_heartbeat_a_minute(world: World) -> None:
    """Run every few seconds by cron, `--once` tells of itself once a minute, and at its end."""
    for _ in range(3):
        world.write(5)
        world.run()
    beats = world.influxd.rows("SELECT behind, caught_up FROM heartbeat", "heptad")
    assert [(beat["behind"], beat["caught_up"]) for beat in beats] == [(0, True)]
    assert world.users() == world.expected()

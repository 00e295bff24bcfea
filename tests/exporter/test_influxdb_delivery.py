"""Delivery and reading with each real generation of InfluxDB, each role with its own secret."""

import argparse
import threading
import time
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path

import pytest
import yaml

from heptad.cli.commands.exporter import run_resend
from heptad.core.config.influxdb import DeliveryConfig
from heptad.core.config.schema import Config, FileSourceConfig, StoreConfig
from heptad.core.store.api import StoreError
from heptad.core.store.event_row import MEASUREMENT, events_of_points
from heptad.core.stores import open_events
from heptad.core.validation import Intake
from heptad.exporter.app import Exporter
from tests.exporter.test_forwarder import Patient
from tests.support.site import Site


class Host:
    """A host with a log, which delivers to a site with the exporter's own secret."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.log = folder / "auth.log"
        self.log.touch()
        self.written = 0
        self.config = Config(
            host="gate",
            sources=[FileSourceConfig(name="auth", paths=[str(self.log)], timezone=UTC)],
            store=StoreConfig(path=str(folder / "events.db")),
            influxdb=site.configure("exporter", delivery=DeliveryConfig(max_lines=3)),
        )
        self.file = folder / "heptad.yaml"
        keys = {"url": site.url, "buckets": {"events": site.buckets.events}}
        self.file.write_text(
            yaml.safe_dump({"store": {"path": self.config.store.path}, "influxdb": keys})
        )

    def write(self, count: int) -> None:
        """Log wrong passwords of new users, of this moment."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self.log.open("a") as log:
            for _ in range(count):
                self.written += 1
                log.write(
                    f"{stamp} gate sshd[{self.written}]: Failed password for u{self.written} "
                    "from 192.0.2.1 port 22 ssh2\n"
                )

    def deliver(self) -> list[str]:
        """Deliver what there is; the problems."""
        exporter = Exporter(self.config, once=True, serve=False)
        exporter.run(Patient())
        return exporter.problems()

    def users(self) -> list[str]:
        """The users in the bucket, as the server has them."""
        rows = self.site.server.rows(f'SELECT "user" FROM {MEASUREMENT}', self.site.buckets.events)  # noqa: S608
        return sorted((str(row["user"]) for row in rows), key=lambda user: int(user[1:]))

    def read(self, role: str) -> list[str]:
        """What `heptad events` shows a role; raises StoreError."""
        self.config.influxdb = self.site.configure(role)
        with ExitStack() as stack:
            intake = Intake()
            points = open_events(self.config, stack, intake).read(MEASUREMENT, 0, 2**62)
            return [str(event.user) for event in events_of_points(points, intake)]

    def expected(self, since: int = 1) -> list[str]:
        """The users that were written from the nth on."""
        return [f"u{n}" for n in range(since, self.written + 1)]


@pytest.fixture
def host(tmp_path: Path, site: Site) -> Host:
    """A host, and a prepared server."""
    site.setup()
    return Host(tmp_path, site)


def test_each_event_is_there_once(host: Host) -> None:
    """What was delivered is read by the aggregator and by Grafana, each event once."""
    for _ in range(2):
        host.write(10)
        assert host.deliver() == []
    assert host.users() == host.expected()
    for role in ("aggregator", "grafana"):
        assert sorted(host.read(role)) == sorted(host.expected())


def test_an_exporter_may_not_read(host: Host) -> None:
    """It is told so, with what it can read instead, and not that a bucket is missing."""
    host.write(1)
    assert host.deliver() == []
    with pytest.raises(StoreError) as caught:
        host.read("exporter")
    said = str(caught.value)
    assert "may only write. Use --local to read the store of this host" in said
    assert "`heptad influxdb check` shows" in said
    assert "setup` creates" not in said


def test_a_bucket_that_is_not_there_is_told(host: Host) -> None:
    """Delivery says which bucket, keeps everything, and goes on once it is there."""
    host.site.server.drop(host.site.buckets.events)
    host.write(5)
    (problem,) = host.deliver()
    assert f"the bucket `{host.site.buckets.events}` exists" in problem
    host.site.setup()
    assert host.deliver() == []
    assert host.users() == host.expected()


def test_what_was_lost_is_delivered_once_more(host: Host) -> None:
    """After buckets were deleted, one run of setup and one command bring every event back."""
    host.write(10)
    assert host.deliver() == []
    host.site.server.drop(*host.site.buckets.names())
    host.site.setup()
    host.write(5)
    assert host.deliver() == []
    assert host.users() == host.expected(11)
    assert run_resend(argparse.Namespace(config=host.file)) == 0
    assert host.deliver() == []
    assert host.users() == host.expected()
    assert host.deliver() == []
    assert host.users() == host.expected()


def test_a_secret_that_is_renewed_is_used(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that runs is refused with its old secret, and takes up the new one itself."""
    monkeypatch.setattr("heptad.exporter.delivery.forwarder._FIRST_HOLD", 0.2)
    exporter = Exporter(host.config, serve=False)
    parts = exporter.workers()
    stop = threading.Event()
    threads = [threading.Thread(target=part, args=(stop,)) for part in parts.values()]
    for thread in threads:
        thread.start()
    try:
        host.site.setup(renew=True)
        host.write(5)
        until = time.monotonic() + 60
        while host.users() != host.expected() and time.monotonic() < until:
            stop.wait(0.2)
        assert host.users() == host.expected()
    finally:
        stop.set()
        for thread in threads:
            thread.join()

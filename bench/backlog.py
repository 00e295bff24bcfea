"""A backlog on a real InfluxDB 2: its processing time, and how long a live attack waits for it.

``python -m bench.backlog [EVENTS]`` first processes the events of one host in order, with a running
aggregator. Then another host delivers as many events of the same three days, late, while a third
one is attacked live.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from heptad.aggregator.app import Aggregator
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config, FileSourceConfig, StoreConfig
from heptad.core.config.types import Duration
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.app import Exporter
from tests.support.influxd_2 import ORGANIZATION, TOKEN, Influxd2
from tests.support.influxdb import running

EVENTS: Final = 500_000
DAYS: Final = 3
ATTEMPTS: Final = 60
_PATIENCE: Final = 1800.0


def lines_of(host: str, number: int, begin: datetime) -> Iterator[str]:
    """Yield ``number`` lines over the days before ``begin``, with addresses that retry."""
    step = timedelta(days=DAYS) / number
    for n in range(number):
        stamp = (begin - timedelta(days=DAYS, hours=1) + n * step).isoformat()
        address = f"198.51.{n // 500 % 250}.{n // 100 % 5}"
        port = n % 60_000
        yield f"{stamp} {host} sshd[{n}]: Failed password for root from {address} port {port} ssh2"


def export(folder: Path, url: str, host: str, lines: Iterator[str]) -> None:
    """Read these lines with an exporter, and deliver all events."""
    (folder / host).mkdir()
    log = folder / host / "auth.log"
    log.write_text("\n".join(lines) + "\n")
    with LocalStore(folder / host / "events.db", write=True, outbox=True) as store:
        store.append([], {"first_start": b"0"})  # so that nothing counts as history
    config = Config(
        host=host,
        store=StoreConfig(path=str(folder / host / "events.db")),
        sources=[FileSourceConfig(name="auth", paths=[str(log)])],
        influxdb=connect(url),
    )
    Exporter(config, once=True, serve=False).run(threading.Event())


def connect(url: str) -> InfluxConfig:
    """Return the InfluxDB settings that all of them use."""
    return InfluxConfig(url, version="2", org=ORGANIZATION, token=TOKEN, timeout=Duration("60s"))


def wait_until_caught_up(aggregator: Aggregator, begun: float) -> float:
    """Return the seconds since ``begun`` until everything that has arrived by now is processed."""
    asked = time.monotonic()
    while time.monotonic() - asked < _PATIENCE:
        if (
            time.monotonic() - aggregator.metrics.behind() > asked + 15
        ):  # heartbeats are read every 10 s
            return time.monotonic() - begun - 15
        time.sleep(0.1)
    raise TimeoutError("the backlog was not processed in time")


def wait_for_attack(server: Influxd2, begun: float) -> float:
    """Return the seconds until there is a finding about the attack."""
    while time.monotonic() - begun < _PATIENCE:
        rows = server.rows("SELECT subject FROM findings WHERE subject = '203.0.113.99'", "reports")
        if rows:
            return time.monotonic() - begun
        time.sleep(0.1)
    raise TimeoutError("there was no finding about the attack in time")


def main(number: int = EVENTS) -> None:
    with tempfile.TemporaryDirectory() as name, running(Influxd2(Path(name) / "influxd")) as server:
        folder, stop = Path(name), threading.Event()
        server.create("events", "reports", "heptad")
        aggregator = Aggregator(Config(host="bench", influxdb=connect(server.url)), serve=False)
        thread = threading.Thread(target=aggregator.run, args=(stop,))
        thread.start()
        try:
            begun = time.monotonic()
            export(folder, server.url, "gate", lines_of("gate", number, datetime.now(UTC)))
            ordered = wait_until_caught_up(aggregator, begun)
            print(f"{number} events in order: delivered and processed in {ordered:.1f} s")
            begun = time.monotonic()
            export(folder, server.url, "late", lines_of("late", number, datetime.now(UTC)))
            now = datetime.now(UTC).isoformat()
            attack = (
                f"{now} web sshd[{n}]: Failed password for root from 203.0.113.99 port {n} ssh2"
                for n in range(1, ATTEMPTS + 1)
            )
            export(folder, server.url, "web", attack)
            attacked = time.monotonic()
            print(f"live attack: a finding after {wait_for_attack(server, attacked):.1f} s")
            took = wait_until_caught_up(aggregator, begun)
            print(f"{number} late events: in {took:.1f} s ({took / ordered:.2f}×)")
        finally:
            stop.set()
            thread.join()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

"""Delivery into a real InfluxDB beside a bare loop; what an outage costs; memory over a backlog.

``python -m bench.delivery`` runs all of it; with the name of a part and a folder it does that
part, in a process of its own.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time as clock
from pathlib import Path
from typing import Final

import msgspec
import psutil

from bench.findings import fill
from bench.throughput import repeat
from exporter.forwarder import ACCOUNT
from exporter.heartbeat import Account
from exporter.service import Exporter
from heptad.config import Config, FileSourceConfig, StoreConfig
from heptad.influxdb.connection import Connection
from heptad.influxdb.writing import InfluxSink
from heptad.influxdb_config import InfluxConfig, RetentionConfig
from heptad.store.local import LocalStore
from heptad.store.outbox import Outbox
from tests.influxdb import Influxd

EVENTS: Final = 300_000
BACKLOG: Final = 2_000_000
ROUNDS: Final = 3
_NO_CONTENT: Final = 204
_NOWHERE: Final = "http://127.0.0.1:1"
_BUCKETS: Final = ("events", "reports", "heptad")


def configure(folder: Path, url: str | None, *logs: str) -> Config:
    """An exporter of ``logs`` that delivers to ``url``; events of any age are delivered."""
    source = FileSourceConfig(name="bench", paths=list(logs) or [str(folder / "none.log")])
    config = Config(
        host="bench", sources=[source], store=StoreConfig(path=str(folder / "events.db"))
    )
    config.store.max_size = "4GiB"
    if url is not None:
        config.influxdb = InfluxConfig(url, retention=RetentionConfig(events="36500d"))
    return config


def deliver(folder: Path, url: str) -> None:
    """Deliver the store in ``folder``; print seconds, and resident MB early, last and at most."""
    exporter = Exporter(configure(folder, url), once=True, serve=False)
    forwarder = exporter.delivery and exporter.delivery.begin(threading.Event())
    if forwarder is None:
        sys.exit("nothing delivers")
    sizes: list[float] = []
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(sizes, stop))
    watch.start()
    begun = clock.perf_counter()
    if not forwarder.drain(threading.Event()):
        sys.exit("; ".join(forwarder.problems()))
    took = clock.perf_counter() - begun
    stop.set()
    watch.join()
    early = sizes[min(len(sizes) - 1, len(sizes) // 10)]
    print(took, early, sizes[-1], max(sizes))


def _watch(sizes: list[float], stop: threading.Event) -> None:
    process = psutil.Process()
    while not stop.wait(0.2):
        sizes.append(process.memory_info().rss / 2**20)


def post(folder: Path, url: str) -> None:
    """Post the same, encoded and gzipped before the clock starts, one request after the other."""
    sink = InfluxSink(Connection(InfluxConfig(url)), "events")
    outbox, position, parcels = Outbox(folder / "events.db"), 0, []
    while (chunk := outbox.take(position, 5000, 2**20, -(2**63))).ids:
        parcel = sink.pack(chunk.lines)
        parcels.append(msgspec.structs.replace(parcel, lines=()))
        position = chunk.position
    connection = Connection(InfluxConfig(url))
    query, headers = {"db": "events", "precision": "ns"}, {"Content-Encoding": "gzip"}
    begun = clock.perf_counter()
    for parcel in parcels:
        answer = connection.request("POST", "/write", query, parcel.data, headers)
        if answer.status != _NO_CONTENT:
            sys.exit(answer.message)
    print(clock.perf_counter() - begun)


def read(folder: Path, url: str) -> None:
    """Read the log in ``folder`` while the server is away, or with none (``none``)."""
    with LocalStore(folder / "events.db", write=True) as store:
        # so that it has not to ask the server first, and the lines count as new ones
        account = msgspec.json.encode(Account())
        store.append([], {"first_start": b"0", ACCOUNT: account})
    config = configure(folder, None if url == "none" else url, str(folder / "auth.log"))
    exporter = Exporter(config, serve=False)
    stop = threading.Event()
    threads = [threading.Thread(target=part, args=(stop,)) for part in exporter.parts().values()]
    begun = clock.perf_counter()
    for thread in threads:
        thread.start()
    lines = 0.0
    while lines < EVENTS:
        clock.sleep(0.02)
        totals = exporter.metrics.totals()
        lines = sum(v for (name, _), v in totals.items() if name == "heptad_lines_total")
    print(clock.perf_counter() - begun)
    stop.set()
    for thread in threads:
        thread.join()


def _run(part: str, folder: Path, url: str) -> list[float]:
    command = [sys.executable, "-m", "bench.delivery", part, str(folder), url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(word) for word in done.stdout.split()]


def _begin(folder: Path, influxd: Influxd, events: int) -> None:
    for path in folder.glob("events.db*"):
        path.unlink()
    influxd.drop(*_BUCKETS)
    influxd.create(*_BUCKETS)
    fill(events, folder)


def compare(folder: Path, influxd: Influxd) -> None:
    """Catch-up beside the bare loop, in turn."""
    ours, bare = [], []
    for _ in range(ROUNDS):
        _begin(folder, influxd, EVENTS)
        ours.append(EVENTS / _run("deliver", folder, influxd.url)[0])
        _begin(folder, influxd, EVENTS)
        bare.append(EVENTS / _run("post", folder, influxd.url)[0])
    one, other = statistics.median(ours), statistics.median(bare)
    print(
        f"delivery: {one:,.0f} events/s, bare loop {other:,.0f}: {one / other:.0%} (at least 80%)"
    )


def tell_outage(folder: Path, log: Path) -> None:
    """What reading costs while InfluxDB is away, beside reading without one, in turn."""
    times: dict[str, list[float]] = {"none": [], _NOWHERE: []}
    repeat(log, EVENTS, folder / "auth.log")
    for _ in range(ROUNDS):
        for url, found in times.items():
            for path in folder.glob("events.db*"):
                path.unlink()
            found.append(_run("read", folder, url)[0])
    alone, outage = (statistics.median(found) for found in times.values())
    print(
        f"outage: {EVENTS / outage:,.0f} lines/s read, {EVENTS / alone:,.0f} without InfluxDB: "
        f"{outage / alone - 1:+.0%} time (at most +10%)"
    )


def tell_memory(folder: Path, influxd: Influxd) -> None:
    """Resident memory while a large backlog is delivered."""
    _begin(folder, influxd, BACKLOG)
    took, early, last, most = _run("deliver", folder, influxd.url)
    print(
        f"backlog: {BACKLOG:,} events in {took:.0f} s; resident {early:.0f} MB after a tenth of "
        f"the time, {last:.0f} MB at the end, {most:.0f} MB at most (70 MB)"
    )


def main(data: Path | None = None) -> None:
    """Everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        influxd = Influxd(folder / "influxd")
        influxd.start()
        try:
            compare(folder, influxd)
            tell_memory(folder, influxd)
            if data is not None:
                tell_outage(folder, data / "loghub-openssh-2k.log")
        finally:
            influxd.stop()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        parts = {"deliver": deliver, "post": post, "read": read}
        parts[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
    else:
        main(Path(sys.argv[1]) if len(sys.argv) == 2 else None)

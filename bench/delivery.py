"""Delivery to a real InfluxDB compared with a bare loop; cost of an outage; memory of a backlog.

``python -m bench.delivery FOLDER``, with the directory of the real logs, runs everything.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import psutil

from bench.findings import fill
from bench.throughput import repeat
from tests.support import needs
from tests.support.influxd_2 import Influxd2
from tests.support.influxdb import Influxd, running

EVENTS: Final = 300_000
BACKLOG: Final = 2_000_000
ROUNDS: Final = 3
_NOWHERE: Final = "http://127.0.0.1:1"
_BUCKETS: Final = ("events", "reports", "heptad")


def _run(
    part: str, folder: Path, url: str, keys: Mapping[str, str] = MappingProxyType({})
) -> list[float]:
    told = json.dumps(dict(keys))
    command = [sys.executable, "-m", "bench.delivering", part, str(folder), url, told]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(word) for word in done.stdout.split()]


def _begin(folder: Path, influxd: Influxd, events: int) -> None:
    for path in folder.glob("events.db*"):
        path.unlink()
    influxd.drop(*_BUCKETS)
    influxd.create(*_BUCKETS)
    fill(events, folder)


class Run(NamedTuple):
    """One run: time in seconds, and CPU time here and in the server."""

    seconds: float
    here: float
    there: float
    resident: float = 0.0


def _measure(part: str, folder: Path, influxd: Influxd) -> Run:
    _begin(folder, influxd, EVENTS)
    server = psutil.Process(influxd.process.pid if influxd.process else None)
    before = sum(server.cpu_times()[:2])
    seconds, here, *sizes = _run(part, folder, influxd.url, influxd.keys)
    return Run(seconds, here, sum(server.cpu_times()[:2]) - before, sizes[-1] if sizes else 0.0)


def compare(name: str, folder: Path, influxd: Influxd) -> None:
    """Compare catching up with the bare loop, in alternation."""
    runs: dict[str, list[Run]] = {"deliver": [], "post": []}
    for _ in range(ROUNDS):
        for part, done in runs.items():
            done.append(_measure(part, folder, influxd))
    ours, bare = (
        Run(*(statistics.median(values) for values in zip(*done, strict=True)))
        for done in runs.values()
    )
    print(
        f"delivery to {name}: {EVENTS / ours.seconds:,.0f} events/s, bare loop "
        f"{EVENTS / bare.seconds:,.0f}: {bare.seconds / ours.seconds:.0%} (at least 80%); "
        f"resident {ours.resident:.0f} MB\n"
        f"  processor, µs an event: exporter {1e6 * ours.here / EVENTS:.1f} and InfluxDB "
        f"{1e6 * ours.there / EVENTS:.1f}, bare loop {1e6 * bare.here / EVENTS:.1f} and InfluxDB "
        f"{1e6 * bare.there / EVENTS:.1f}"
    )


def tell_outage(folder: Path, log: Path) -> None:
    """Compare reading while InfluxDB is down with reading without one, in alternation."""
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
    """Print the resident memory while a large backlog is delivered."""
    _begin(folder, influxd, BACKLOG)
    took, _, early, last, most = _run("deliver", folder, influxd.url)
    print(
        f"backlog: {BACKLOG:,} events in {took:.0f} s; resident {early:.0f} MB after a tenth of "
        f"the time, {last:.0f} MB at the end, {most:.0f} MB at most (70 MB)"
    )


def main(data: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(Influxd2(folder / "influxd-2")) as influxd_2:
            compare(f"InfluxDB {needs.INFLUXDB_2}", folder, influxd_2)
        with running(Influxd(folder / "influxd")) as influxd:
            compare(f"InfluxDB {needs.INFLUXDB_1}", folder, influxd)
            tell_memory(folder, influxd)
            if data is not None:
                tell_outage(folder, data / "loghub-openssh-2k.log")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else None)

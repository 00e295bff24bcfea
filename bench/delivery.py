"""Delivery into a real InfluxDB beside a bare loop; what an outage costs; memory over a backlog.

``python -m bench.delivery FOLDER``, with the folder of the real logs, runs all of it.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.findings import fill
from bench.throughput import repeat
from tests.influxdb import Influxd

EVENTS: Final = 300_000
BACKLOG: Final = 2_000_000
ROUNDS: Final = 3
_NO_CONTENT: Final = 204
_NOWHERE: Final = "http://127.0.0.1:1"
_BUCKETS: Final = ("events", "reports", "heptad")


def _run(part: str, folder: Path, url: str) -> list[float]:
    command = [sys.executable, "-m", "bench.delivering", part, str(folder), url]
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
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else None)

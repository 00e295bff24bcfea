"""All findings and reports for 10⁴, 10⁵ and 10⁶ events of a real influxd: time and peak memory.

``python -m bench.influxdb_reading`` runs each size in its own process, so that the peak is its own.
The events are a day of those of ``bench.findings``, moved to the present.
"""

import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.findings import SIZES, make_events
from heptad.aggregator.app import Aggregator
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config
from heptad.core.config.types import Duration
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from tests.support.influxdb import Influxd, running

_DAY = 86_400 * 10**9
_BUCKETS = ("events", "reports", "heptad")


def fill(server: Influxd, number: int) -> None:
    """Write a day of events that ends an hour ago."""
    begin = time.time_ns() // _DAY * _DAY - _DAY
    server.drop(*_BUCKETS)
    server.create(*_BUCKETS)
    lines: list[str] = []
    for place, event in enumerate(make_events(number)):
        event.time = begin + place * _DAY // number
        lines.append(line_of(row_of_event(event)))
        if len(lines) == 10_000:
            server.write("events", lines)
            lines = []
    if lines:
        server.write("events", lines)


def run(number: int, url: str) -> None:
    """Process the existing events."""
    config = Config(host="bench", influxdb=InfluxConfig(url, timeout=Duration("60s")))
    begun = time.perf_counter()
    aggregator = Aggregator(config, once=True, serve=False)
    aggregator.run(threading.Event())
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = f"{number:>9} {took:>8.1f} s {took / number * 1e6:>8.1f} µs/event {peak:>6.0f} MB"
    print(told, flush=True)


def main() -> None:
    """Run every size in its own process."""
    print("findings and reports from InfluxDB: events, seconds, each, peak memory", flush=True)
    with tempfile.TemporaryDirectory() as folder, running(Influxd(Path(folder))) as server:
        for number in SIZES:
            fill(server, number)
            command = [sys.executable, "-m", "bench.influxdb_reading", str(number), server.url]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(int(sys.argv[1]), sys.argv[2])
    else:
        main()

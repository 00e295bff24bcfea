"""Time until all views of the page are loaded, with a million events in either store.

It creates each store (30 days of events), lets the aggregator process it, and opens the page in
Chromium, each time with an empty cache.
"""

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.scrape import free_port, running
from heptad.core.event import Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from tests.support.influxdb import Influxd
from tests.support.influxdb import running as running_influxd

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
UNTIL_LOADED = """() => new Promise((done) => {
  const look = () => document.body.dataset.loaded ? done() : requestAnimationFrame(look);
  look();
})"""
"""Playwright's own wait polls only every half second at the end."""
DAYS = 30
LOGIN = ("sshd", "login", "failure", "password", "bad_credential")
KINDS = {
    LOGIN: 50,
    ("sshd", "login", "failure", "none", "invalid_user"): 25,
    ("sshd", "disconnect", "unknown", "", "disconnected"): 10,
    ("sshd", "login", "success", "publickey", ""): 5,
    ("sudo", "privilege", "success", "", ""): 5,
    ("sshd", "session_open", "success", "", ""): 5,
}


def events(number: int, now: int) -> Iterator[Event]:
    """Yield events evenly over the days before ``now`` (ns); some users are frequent."""
    chance = random.Random(1)  # noqa: S311 - reproducible
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=number)
    step = DAYS * 86_400 * 10**9 // number
    for n, (program, action, outcome, method, reason) in enumerate(kinds):
        address = f"203.0.113.{int(chance.paretovariate(0.5)) % 256}"
        yield Event(
            time=now - (number - n) * step,
            host=f"web-{n % 3}",
            source="auth",
            program=program,
            action=action,
            outcome=outcome,
            method=method,
            reason=reason,
            user=f"user{int(chance.paretovariate(0.3)) % 3000}",
            source_ip=address,
            raw=f"Nov 24 10:00:00 web-1 {program}[{n % 4000}]: a line that mentions {address}",
        )


def batches(number: int) -> Iterator[list[Row]]:
    """Yield the rows of ``number`` events in batches."""
    made = events(number, time.time_ns())
    while rows := [row_of_event(event) for event in islice(made, 10_000)]:
        yield rows


def fill_files(folder: Path, number: int) -> str:
    """Create a store in a file; return the configuration for it."""
    with LocalStore(folder / "events.db", write=True) as store:
        for rows in batches(number):
            store.append(rows)
    return f"store: {{path: {folder}/events.db}}\n"


def fill_influxdb(server: Influxd, number: int) -> str:
    """Fill the buckets of InfluxDB; return the configuration for it."""
    server.create("events", "reports", "heptad")
    for rows in batches(number):
        server.write("events", map(line_of, rows))
    return f"influxdb: {{url: '{server.url}'}}\n"


def work_off(folder: Path, keys: str) -> Path:
    """Let the aggregator compute everything; return the configuration that serves the page."""
    config = folder / "heptad.yaml"
    config.write_text(
        f"log: {{level: error}}\n{keys}aggregator:\n  listen: 127.0.0.1:{free_port()}\n"
        f"  store: {{path: {folder}/reports.db}}\n"
    )
    subprocess.run(
        [sys.executable, "-m", "heptad", "aggregator", "--once", "--config", str(config)],
        check=True,
    )
    return config


def views(url: str, times: int) -> Iterator[float]:
    """Yield the seconds from the request to the last view, each in its own browser context."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for _ in range(times):
            context = browser.new_context()
            page = context.new_page()
            began = time.perf_counter()
            page.goto(url)
            page.evaluate(UNTIL_LOADED)
            yield time.perf_counter() - began
            context.close()
        browser.close()


def main(number: int = 1_000_000) -> None:
    """Measure both stores, and skip what is not installed."""
    if shutil.which("chromium") is None:
        print("page: skipped, chromium is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        measure("SQLite", number, work_off(Path(name), fill_files(Path(name), number)))
    if shutil.which("influxd") is None:
        print("page on InfluxDB: skipped, influxd is not installed")
        return
    with tempfile.TemporaryDirectory() as name, running_influxd(Influxd(Path(name))) as server:
        measure("InfluxDB", number, work_off(Path(name), fill_influxdb(server, number)))


def measure(store: str, number: int, config: Path) -> None:
    """Serve the page, open it ten times, and print the median and maximum."""
    port = int(config.read_text().split("127.0.0.1:")[-1].split("\n")[0])
    command = [sys.executable, "-m", "heptad", "aggregator", "--config", str(config)]
    with running(command, port):
        seconds = list(views(f"http://127.0.0.1:{port}/", 10))
    median, longest = statistics.median(seconds), max(seconds)
    print(
        f"page: all views of {number:,} events in {store} "
        f"after {median:.2f} s (longest {longest:.2f})"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

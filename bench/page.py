"""How long the page takes until every view of it is there, on a store of a million events.

Makes the store (30 days of it), lets the aggregator work it off, and opens the page in Chromium,
each time with nothing kept from before.
"""

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.scrape import free_port, running

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
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


def events(number: int, now: int) -> Iterator[object]:
    """Events, evenly over the days before ``now`` (ns); a few addresses and names are frequent."""
    from heptad.event import Event  # noqa: PLC0415

    chance = random.Random(1)  # noqa: S311 - repeatable
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
            raw=f"Nov 24 10:00:00 web-1 {program}[{n % 4000}]: a line that tells of {address}",
        )


def fill(folder: Path, number: int) -> Path:
    """A store of events, worked off; the configuration that serves it."""
    from heptad.event_row import row_of_event  # noqa: PLC0415
    from heptad.store.local import LocalStore  # noqa: PLC0415

    with LocalStore(folder / "events.db", write=True) as store:
        rows = []
        for event in events(number, time.time_ns()):
            rows.append(row_of_event(event))  # type: ignore[arg-type]
            if len(rows) == 20_000:
                store.append(rows)
                rows = []
        store.append(rows)
    config = folder / "heptad.yaml"
    config.write_text(
        f"log: {{level: error}}\nstore: {{path: {folder}/events.db}}\n"
        f"aggregator:\n  listen: 127.0.0.1:{free_port()}\n"
        f"  store: {{path: {folder}/reports.db}}\n"
    )
    subprocess.run(
        [sys.executable, "-m", "heptad", "aggregator", "--once", "--config", str(config)],
        check=True,
    )
    return config


def views(url: str, times: int) -> Iterator[float]:
    """Seconds from asking for the page to its last view, each in a browser context of its own."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for _ in range(times):
            context = browser.new_context()
            page = context.new_page()
            began = time.perf_counter()
            page.goto(url)
            page.wait_for_selector("body[data-loaded]")
            yield time.perf_counter() - began
            context.close()
        browser.close()


def main(number: int = 1_000_000) -> None:
    """Print the median and the longest of some first views."""
    if shutil.which("chromium") is None:
        print("page: left out, chromium is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        config = fill(Path(name), number)
        port = int(config.read_text().split("127.0.0.1:")[1].split("\n")[0])
        command = [sys.executable, "-m", "heptad", "aggregator", "--config", str(config)]
        with running(command, port):
            seconds = list(views(f"http://127.0.0.1:{port}/", 10))
    median = statistics.median(seconds)
    print(f"page: all views of {number:,} events after {median:.2f} s (longest {max(seconds):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

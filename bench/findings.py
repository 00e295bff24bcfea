"""All findings and reports over stores of 10⁴, 10⁵ and 10⁶ events: seconds and peak memory.

``python -m bench.findings`` runs them all; with a number and a folder it is one of them, in a
process of its own, so that its peak is its own.
"""

import random
import resource
import subprocess
import sys
import tempfile
import threading
import time as clock
from collections.abc import Iterator
from pathlib import Path

from aggregator.service import Aggregator
from heptad.config import Config, StoreConfig
from heptad.event import Event
from heptad.event_row import row_of_event
from heptad.store.local import LocalStore

SIZES = (10_000, 100_000, 1_000_000)
_DAYS = 14
_BEGIN = 1_700_000_000 * 10**9
_SHARES = {
    ("login", "failure"): 80,
    ("login", "success"): 5,
    ("session_open", "success"): 5,
    ("session_close", "success"): 5,
    ("privilege", "success"): 4,
    ("account_modify", "success"): 1,
}


def make_events(number: int) -> Iterator[Event]:
    """Two weeks of three hosts: many failed logins of few addresses, few of many."""
    chance = random.Random(7)  # noqa: S311 - repeatable
    kinds = chance.choices(list(_SHARES), list(_SHARES.values()), k=number)
    for n, (action, outcome) in enumerate(kinds):
        own = outcome == "success"
        address = min(int(chance.paretovariate(0.4)), 20_000)
        user = f"user{chance.randrange(50)}" if own else f"name{chance.randrange(2000)}"
        host = f"host{chance.randrange(3)}"
        network = "198.51" if own else "203.0"
        yield Event(
            time=_BEGIN + n * (_DAYS * 86_400 * 10**9 // number),
            host=host,
            source="auth",
            program="sudo" if action == "privilege" else "sshd",
            action=action,
            outcome=outcome,
            method="password" if action == "login" else "",
            user=user,
            source_ip=f"{network}.{address // 250}.{address % 250}",
            target_user="root" if action == "privilege" else None,
            pid=1000 + chance.randrange(5000),
        )


def run(number: int, folder: Path) -> None:
    """One size: work off a store of so many events."""
    config = Config(host="bench", store=StoreConfig(path=str(folder / "events.db")))
    config.aggregator.store = StoreConfig(path=str(folder / "reports.db"), max_age="3650d")
    with LocalStore(folder / "events.db", write=True) as store:
        rows = []
        for event in make_events(number):
            rows.append(row_of_event(event))
            if len(rows) == 10_000:
                store.append(rows)
                rows = []
        store.append(rows, {"first_start": b"0"})
    begun = clock.perf_counter()
    aggregator = Aggregator(config, once=True, serve=False)
    aggregator.run(threading.Event())
    took = clock.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    findings = sum(
        value
        for (name, _), value in aggregator.metrics.totals().items()
        if name == "heptad_findings_total"
    )
    print(
        f"{number:>9} {took:>8.1f} s {took / number * 1e6:>8.1f} µs/event {peak:>6.0f} MB", end=""
    )
    print(f" {findings:>8.0f} findings")


def main() -> None:
    """Every size in a process of its own."""
    print("findings and reports: events, seconds, each, peak memory", flush=True)
    for number in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "bench.findings", str(number), folder]
            print(
                subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout,
                end="",
            )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(int(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()

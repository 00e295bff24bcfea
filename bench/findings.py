"""All findings and reports for stores of 10⁴, 10⁵ and 10⁶ events: time and peak memory.

``python -m bench.findings`` runs all sizes; with a number and the directory of a store, it
processes that one, in its own process, so that the peak is its own.
"""

import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import convert
from msgspec.structs import replace

from heptad.aggregator.app import Aggregator
from heptad.core.config.schema import Config, StoreConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.sqlite import LocalStore

SIZES = (10_000, 100_000, 1_000_000)
_DAYS = 14
_BEGIN = 1_700_000_000 * 10**9


def make_events(number: int) -> Iterator[Event]:
    """Yield two weeks of events of three hosts, similar to public logs.

    Four of five events are failed logins. Half of them are from a few addresses with many attempts,
    the rest from hundreds; half try root, half names without an account. The others are sessions of
    fifty users who use sudo.
    """
    chance = random.Random(7)  # noqa: S311 - reproducible
    step = _DAYS * 86_400 * 10**9 // number
    others: list[Event] = []
    for n in range(number):
        time, host = _BEGIN + n * step, f"host{chance.randrange(3)}"
        if others:
            yield replace(others.pop(0), time=time)
        elif chance.random() < 0.94:
            address = min(int(chance.paretovariate(0.4)), 20_000)
            known = chance.random() < 0.5
            yield Event(
                time=time,
                host=host,
                source="auth",
                program="sshd",
                action="login",
                outcome="failure",
                method="password",
                reason="bad_credential" if known else "invalid_user",
                user="root" if known else f"name{chance.randrange(2000)}",
                source_ip=f"203.0.{address // 250}.{address % 250}",
                pid=1000 + n % 30_000,
            )
        else:
            first, *others = _make_session(chance, host, 1000 + n % 30_000)
            yield replace(first, time=time)


def _make_session(chance: random.Random, host: str, pid: int) -> list[Event]:
    own = {"time": 0, "host": host, "source": "auth", "outcome": "success", "pid": pid}
    own["user"] = f"user{chance.randrange(50)}"
    address = f"198.51.100.{chance.randrange(20)}"
    login = {"program": "sshd", "action": "login", "method": "publickey", "source_ip": address}
    sudo = {"program": "sudo", "action": "privilege", "target_user": "root", "object": "/bin/ls"}
    parts = (
        login,
        {"program": "sshd", "action": "session_open"},
        sudo,
        {"program": "sshd", "action": "session_close"},
    )
    return [convert({**own, **part}, Event) for part in parts]


def fill(number: int, folder: Path) -> None:
    """Create the store of events."""
    with LocalStore(folder / "events.db", write=True) as store:
        rows = []
        for event in make_events(number):
            rows.append(row_of_event(event))
            if len(rows) == 10_000:
                store.append(rows)
                rows = []
        store.append(rows, {"first_start": b"0"})


def run(number: int, folder: Path) -> None:
    """Process the existing store of ``number`` events."""
    config = Config(host="bench", store=StoreConfig(path=str(folder / "events.db")))
    config.aggregator.store = StoreConfig(
        path=str(folder / "reports.db"), max_age=Duration("3650d")
    )
    begun = time.perf_counter()
    aggregator = Aggregator(config, once=True, serve=False)
    aggregator.run(threading.Event())
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    findings = sum(
        value
        for (name, _), value in aggregator.metrics.totals().items()
        if name == "heptad_findings_total"
    )
    print(
        f"{number:>9} {took:>8.1f} s {took / number * 1e6:>8.1f} µs/event {peak:>6.0f} MB", end=""
    )
    print(f" {findings:>8.0f} findings, {findings / number * 1e6:.0f} for each 10⁶ events")


def main() -> None:
    """Run every size in its own process."""
    print("findings and reports: events, seconds, each, peak memory", flush=True)
    for number in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            fill(number, Path(folder))
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

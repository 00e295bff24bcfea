"""The cost of an attack: 600,000 failures from 10⁵ addresses in six hours.

It is compared with the cost of as many other events. ``python -m bench.flood [LINES]`` lets
exporter and aggregator process a log of each kind, requests the report and every view of the page,
and prints time, peak memory and findings.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from bench.scrape import free_port, running

LINES: Final = 600_000
_EACH: Final = 6
_HOURS: Final = 6
_VIEWS: Final = (
    "events",
    "series",
    "top",
    "findings",
    "sessions",
    "health",
    "events?outcome=failure",
)


def attack(number: int) -> Iterator[str]:
    """Yield failed logins; every address fails six times, in random order."""
    chance = random.Random(7)  # noqa: S311 - reproducible
    addresses = [n // _EACH for n in range(number)]
    chance.shuffle(addresses)
    for n in addresses:
        address = f"198.{18 + n // 65536}.{n // 256 % 256}.{n % 256}"
        user = f"name{chance.randrange(2000)}"
        yield f"sshd[{n}]: Failed password for invalid user {user} from {address} port 4711 ssh2"


def ordinary(number: int) -> Iterator[str]:
    """Yield logins of fifty users by key, and their use of sudo."""
    chance = random.Random(7)  # noqa: S311 - reproducible
    for n in range(number // 4):
        user, address = f"user{chance.randrange(50)}", f"203.0.113.{chance.randrange(50)}"
        yield f"sshd[{n}]: Accepted publickey for {user} from {address} port 4711 ssh2"
        opened = f"session opened for user {user}(uid=1000) by (uid=0)"
        yield f"sshd[{n}]: pam_unix(sshd:session): {opened}"
        yield f"sudo[{n}]: {user} : TTY=pts/1 ; PWD=/home ; USER=root ; COMMAND=/usr/bin/ls"
        yield f"sshd[{n}]: pam_unix(sshd:session): session closed for user {user}"


def prepare(folder: Path, messages: list[str]) -> Path:
    """Write a log of these messages over the last hours; return its configuration."""
    begin = datetime.now(UTC) - timedelta(hours=_HOURS)
    step = timedelta(hours=_HOURS) / len(messages)
    with (folder / "auth.log").open("w") as log:
        for n, message in enumerate(messages):
            log.write(f"{(begin + n * step).isoformat()} bench {message}\n")
    config = folder / "heptad.yaml"
    config.write_text(
        f"log: {{level: error}}\nstore: {{path: {folder}/events.db}}\n"
        f"sources: [{{name: auth, type: file, paths: [{folder}/auth.log]}}]\n"
        f"aggregator:\n  listen: 127.0.0.1:{free_port()}\n"
        f"  store: {{path: {folder}/reports.db}}\n"
    )
    return config


def run(*arguments: str) -> tuple[float, float, bytes]:
    """Return the time in seconds, peak memory in MB, and the output."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "heptad", *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None  # noqa: S101 - for the type
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} failed")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024, printed


def ask_page(config: Path) -> Iterator[tuple[str, float]]:
    """Yield each request of the page for the last 24 hours, with the longest of five times."""
    port = int(config.read_text().split("127.0.0.1:")[1].split("\n")[0])
    command = [sys.executable, "-m", "heptad", "aggregator", "--config", str(config)]
    with running(command, port):
        found = json.load(urlopen(f"http://127.0.0.1:{port}/api/findings?since=24h"))
        own = [f"evidence?finding={found['findings'][0]['id']}"] if found["findings"] else []
        for view in (*_VIEWS, *own):
            mark = "&" if "?" in view else "?"
            url = f"http://127.0.0.1:{port}/api/{view}{mark}since=24h"
            times = []
            for _ in range(5):
                begun = time.perf_counter()
                urlopen(url).read()
                times.append(time.perf_counter() - begun)
            yield view.split("=")[0], max(times)


def measure(name: str, messages: list[str]) -> float:
    """Print the cost of one log; return the median of five times of its report, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(Path(folder), messages)
        for part in ("exporter", "aggregator"):
            seconds, peak, _ = run(part, "--once", "--config", str(config))
            print(f"flood, {name}: {part} {seconds:.1f} s, {peak:.0f} MB", flush=True)
        reports = [run("report", "--format", "json", "--config", str(config)) for _ in range(5)]
        told = json.loads(reports[0][2])
        seconds = statistics.median(report[0] for report in reports)
        print(
            f"flood, {name}: report {seconds:.2f} s, {max(r[1] for r in reports):.0f} MB, "
            f"{told['total']} events, {len(told['findings'])} findings",
            flush=True,
        )
        for view, longest in ask_page(config):
            print(f"flood, {name}: page {view} {longest:.2f} s", flush=True)
    return seconds


def main(number: int = LINES) -> None:
    """Measure both logs, and print the ratio of their reports."""
    own = measure("ordinary", list(ordinary(number)))
    flooded = measure("attack", list(attack(number)))
    print(f"flood: the report of the attack takes {flooded / own:.2f} × that of other events")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

"""An exporter that tails one file: idle CPU and memory, and the latency of a line."""

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import yaml

PORT: Final = 19707
IDLE_SECONDS: Final = 30
LINES: Final = 100
_COUNTER: Final = (
    b'auth_events_total{action="login",method="password",outcome="failure",program="sshd"}'
)


@contextmanager
def tailing(folder: Path) -> Iterator[tuple[psutil.Process, Path]]:
    """Run an exporter; yield its process and the log that it tails."""
    log = folder / "auth.log"
    log.touch()
    config = folder / "heptad.yaml"
    content = {
        "store": {"path": str(folder / "events.db")},
        "exporter": {"listen": f"127.0.0.1:{PORT}"},
        "sources": [{"type": "file", "name": "auth", "paths": [str(log)]}],
    }
    config.write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "heptad", "exporter", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(0)
            time.sleep(1)  # lines in the second of the first start are history: not counted
            yield psutil.Process(process.pid), log
        finally:
            process.terminate()


def counted() -> float | None:
    """Return the failed logins on /metrics; None while the exporter does not respond."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5) as answer:
            lines = answer.read().splitlines()
    except OSError:
        return None
    return next((float(line.split()[-1]) for line in lines if line.startswith(_COUNTER)), None)


def wait_for(number: int) -> float:
    """Return the time at which the counter reached ``number``; raise TimeoutError after 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = time.perf_counter()
        value = counted()
        if value is not None and value >= number:
            return asked
        time.sleep(0.001)
    raise TimeoutError(f"the counter did not reach {number}")


def measure_latency(log: Path) -> list[float]:
    """Return the seconds from each written line to the request that shows it in the counter."""
    found = []
    with log.open("a", buffering=1) as file:
        for number in range(1, LINES + 1):
            stamp = time.strftime("%b %e %H:%M:%S")
            line = f"Failed password for root from 192.0.2.1 port {1000 + number} ssh2"
            written = time.perf_counter()
            file.write(f"{stamp} bench sshd[{number}]: {line}\n")
            found.append(max(0.0, wait_for(number) - written))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, tailing(Path(folder)) as (process, log):
        latencies = measure_latency(log)
        before, begun = process.cpu_times(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        after, seconds = process.cpu_times(), time.monotonic() - begun
        memory = process.memory_info().rss
    used = after.user + after.system - before.user - before.system
    print("an exporter that tails one file")
    print(f"  idle CPU        {100 * used / seconds:.2f} % of one core (at most 0.5)")
    print(f"  resident memory {memory / 2**20:.0f} MiB (at most 60, aim 40)")
    print(f"  line to counter {1000 * statistics.median(latencies):.0f} ms median, "
          f"{1000 * max(latencies):.0f} ms worst of {LINES} (median at most 100)")  # fmt: skip


if __name__ == "__main__":
    main()

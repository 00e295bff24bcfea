"""The time from the log line that completes a brute force to the finding on /metrics.

A real ``heptad up`` reads a log. An address fails once less than the rule's threshold; after a
pause, its last line is written. The time is measured from there to the scrape of the aggregator
that shows the finding. It includes everything in between: file notification, reading, commit, and
the aggregator's poll, computation and commit.
"""

import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import yaml

from bench.scrape import fetch, free_port, running
from heptad.core.config.findings import BruteForceConfig

PATTERNS: Final = 20
AT_MOST: Final = 2.0
"""Target of the median in seconds."""
_METRIC: Final = b'heptad_findings_total{rule="brute_force",'
_GOLDEN: Final = 0.618
"""Its multiples modulo 1 are evenly distributed, so no pause aligns with a polling interval."""


def configure(folder: Path) -> tuple[Path, Path, int]:
    """Return the configuration, its log, and the aggregator's port."""
    log, config, port = folder / "auth.log", folder / "heptad.yaml", free_port()
    log.touch()
    content = {
        "store": {"path": str(folder / "events.db")},
        "exporter": {"listen": f"127.0.0.1:{free_port()}"},
        "aggregator": {
            "listen": f"127.0.0.1:{port}",
            "store": {"path": str(folder / "reports.db")},
        },
        "sources": [{"type": "file", "name": "auth", "paths": [str(log)]}],
    }
    config.write_text(yaml.safe_dump(content))
    return config, log, port


def fail(log: TextIO, address: str, times: int) -> None:
    """Append failed logins from an address."""
    for _ in range(times):
        stamp = datetime.now(UTC).isoformat()
        log.write(f"{stamp} bench sshd[7]: Failed password for root from {address} port 7 ssh2\n")
    log.flush()


def count_found(port: int) -> float:
    """Return the number of findings of the rule so far, of any severity."""
    lines = fetch(port).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(_METRIC))


def wait_for(port: int, number: int) -> float:
    """Return the time of the first request that shows this number; TimeoutError after 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = time.perf_counter()
        if count_found(port) >= number:
            return asked
        time.sleep(0.01)
    raise TimeoutError(f"there were no {number} findings")


def measure(log: Path, port: int) -> list[float]:
    """Return the seconds from each completing line to the scrape that shows the finding."""
    seconds = []
    with log.open("a") as file:
        for number in range(1, PATTERNS + 1):
            address = f"192.0.2.{number}"
            fail(file, address, BruteForceConfig().attempts - 1)
            time.sleep(number * _GOLDEN % 1)
            written = time.perf_counter()
            fail(file, address, 1)
            seconds.append(wait_for(port, number) - written)
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        config, log, port = configure(Path(name))
        command = [sys.executable, "-m", "heptad", "up", "--config", str(config)]
        with running(command, port):
            seconds = measure(log, port)
    print(f"line to finding: {statistics.median(seconds):.2f} s median, {max(seconds):.2f} s "
          f"longest of {PATTERNS} (median at most {AT_MOST:g})")  # fmt: skip


if __name__ == "__main__":
    main()

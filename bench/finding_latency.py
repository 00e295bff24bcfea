"""How soon a finding is on /metrics: from the log line that completes a brute force.

A real ``heptad up`` reads a log of its own. An address fails once less than the rule's threshold,
some time goes by, and its last line is written: the time runs from there to the scrape of the
aggregator that shows the finding. It holds all there is between: the file is noticed, the line
read and committed, the aggregator looks, judges and commits.
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
"""The median to reach, in seconds."""
_METRIC: Final = b'heptad_findings_total{rule="brute_force",'
_GOLDEN: Final = 0.618
"""Its multiples, modulo 1, are spread evenly: no pause keeps step with a program's own interval."""


def configure(folder: Path) -> tuple[Path, Path, int]:
    """The configuration, the log that it reads, and the aggregator's port."""
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
    """That many failed logins from an address."""
    for _ in range(times):
        stamp = datetime.now(UTC).isoformat()
        log.write(f"{stamp} bench sshd[7]: Failed password for root from {address} port 7 ssh2\n")
    log.flush()


def count_found(port: int) -> float:
    """The findings of the rule so far, of any severity."""
    lines = fetch(port).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(_METRIC))


def wait_for(port: int, number: int) -> float:
    """The moment at which so many were asked for and there; TimeoutError after 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = time.perf_counter()
        if count_found(port) >= number:
            return asked
        time.sleep(0.01)
    raise TimeoutError(f"there were no {number} findings")


def measure(log: Path, port: int) -> list[float]:
    """Seconds from each line that completes a pattern to the scrape that shows the finding."""
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
    """Print the median and the longest."""
    with tempfile.TemporaryDirectory() as name:
        config, log, port = configure(Path(name))
        command = [sys.executable, "-m", "heptad", "up", "--config", str(config)]
        with running(command, port):
            seconds = measure(log, port)
    print(f"line to finding: {statistics.median(seconds):.2f} s median, {max(seconds):.2f} s "
          f"longest of {PATTERNS} (median at most {AT_MOST:g})")  # fmt: skip


if __name__ == "__main__":
    main()

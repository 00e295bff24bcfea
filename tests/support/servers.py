"""``make test-servers``: tests that take too long for each run, on servers that it builds.

Each part runs to its end whatever the result of the others. A part without a required program
fails; none is skipped.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from tests.support import needs

NEWEST: Final = {"HEPTAD_INFLUXDB_1": "1.13.2", "HEPTAD_INFLUXDB_2": "2.9.1"}
SUITE: Final = (
    *(f"tests/cli/test_influxdb_{name}.py" for name in ("setup", "setup_1", "setup_2")),
    *(f"tests/cli/test_influxdb_{name}.py" for name in ("check", "roles")),
    "tests/exporter/test_influxdb_delivery.py",
    "tests/core/test_influxdb_reading.py",
    "tests/core/test_store_protocol.py",
)
_PYTEST: Final = ("pytest", "-q")


class Part(NamedTuple):
    """A module to run with its arguments, and its environment variables."""

    name: str
    module: tuple[str, ...]
    environment: Mapping[str, str] = {}


def list_parts() -> list[Part]:
    """Return all parts, in order."""
    suite = (*_PYTEST, *SUITE)
    faults = {"TORTURE_FAULTS": os.environ.get("TORTURE_FAULTS", "2000")}
    kills = "tests/system/test_torture_influxdb.py::test_kills_on_2"
    return [
        Part(f"suite on InfluxDB {' and '.join(NEWEST.values())}", suite, NEWEST),
        Part(
            "compose: failures, attack, down and up", (*_PYTEST, "tests/provisioning/test_stack.py")
        ),
        Part("beside Telegraf", ("bench.telegraf",)),
        Part("dashboards with 10 and 1,000 hosts", ("bench.dashboards",)),
        Part(
            f"{faults['TORTURE_FAULTS']} kills of InfluxDB 2, exporter and aggregator",
            (*_PYTEST, "-s", "-o", "faulthandler_timeout=7200", kills),
            faults,
        ),
    ]


def tell(text: str) -> None:
    """Print a line, and flush."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(part: Part) -> tuple[int, str]:
    """Return the exit status of a part, and the last line of its output."""
    environment = {**os.environ, "CI": "true", **part.environment}
    command = [sys.executable, "-u", "-m", *part.module]
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or ():
            tell(line.rstrip("\n"))
            last = line.strip("= \n") or last
    return process.returncode, last


def main() -> int:
    """Run the parts, and print their results; return 1 if one failed."""
    wanted = [f"influxd-{version}" for version in NEWEST.values()]
    for name in (*wanted, f"influxd-{needs.INFLUXDB_2}", "telegraf-1.36.4"):
        tell(f"building {name}, if that was not done before")
        needs.built(name)
    told, failed = [], False
    for part in list_parts():
        tell(f"\n=== {part.name}")
        begun = time.monotonic()
        status, last = run(part)
        failed = failed or status != 0
        took = int(time.monotonic() - begun)
        outcome = "passed" if status == 0 else "FAILED"
        told.append(f"{took // 60:4}:{took % 60:02}  {outcome}  {part.name}: {last}")
    tell("\n".join(("\nminutes of each part:", *told)))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Rotation under load: torture runs with fixed seeds beside busy processes.

A failed run keeps its directory: the log and its rotated files, the store, the operations on the
log (`steps`), and the system calls of every killed exporter (`calls-…`), all with timestamps of one
clock, so that a failure can become a case of tests/exporter/test_source_races.py.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SEEDS: Final = range(1, int(os.environ.get("TORTURE_RUNS") or 20) + 1)
BUSY: Final = 4


def run(seed: int) -> bool:
    """Run one seed; return whether nothing was lost or duplicated."""
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{seed}-"))
    command = [sys.executable, "-m", "pytest", "-q", "-s", f"--basetemp={folder}/run"]
    environment = os.environ | {"TORTURE_SEED": str(seed), "TORTURE_CALLS": "1"}
    done = subprocess.run([*command, "tests/system/test_torture.py"], env=environment, check=False)
    if done.returncode == 0:
        shutil.rmtree(folder)
    else:
        print(f"seed {seed} failed; its folder is kept: {folder}", flush=True)  # noqa: T201
    return done.returncode == 0


def main() -> int:
    """Run all seeds; return the number of failures."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        return sum(not run(seed) for seed in SEEDS)
    finally:
        for process in busy:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(min(main(), 1))

"""Instructions per line: the whole path (read, parse, commit, count) and `heptad parse`.

``python -m bench.instructions [REVISION]`` counts them with valgrind's cachegrind, which does not
depend on the load of the machine; with a git revision, it is compared with that. The first lines of
a log are read once and four times; the difference excludes the cost of the start.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.throughput import LOGS

SAMPLE: Final = Path(__file__).parents[1] / "cli" / "heptad" / "cli" / "sample_log" / "auth.log"
ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (".", "core", "exporter", "aggregator", "cli")
"""Directories of the modules, including those of revisions with all of them at the top."""
LINES: Final = 1500
MORE: Final = 3
VALGRIND: Final = (
    "valgrind",
    "--tool=cachegrind",
    "--cache-sim=no",
    "--cachegrind-out-file=/dev/null",
)


def count(code: Path, program: list[str], folder: Path, *, valgrind: bool = True) -> int:
    """Return the instructions of a Python program with this code; 0 without ``valgrind``."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(code / folder) for folder in FOLDERS),
        "PYTHONHASHSEED": "0",
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    python = [sys.executable, "-P", "-m"]
    done = subprocess.run(
        [*(VALGRIND if valgrind else ()), *python, *program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    found = re.search(r"I +refs: +([\d,]+)", done.stderr)
    if done.returncode != 0 or (valgrind and found is None):
        raise SystemExit(f"{' '.join(program)} failed:\n{done.stderr[-2000:]}")
    return int(found[1].replace(",", "")) if found else 0


def count_a_line(code: Path, program: str, log: Path) -> float:
    """Return the instructions per line of this log."""
    lines = log.read_bytes().splitlines(keepends=True)
    few = (lines * (1 + LINES // len(lines)))[:LINES]
    counted: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # the first run is not counted; it writes the bytecode of all imports
        for place, times in enumerate((1, 1, 1 + MORE)):
            path = folder / f"{times}.log"
            path.write_bytes(b"".join(few * times))
            store = folder / f"{place}.db"
            command = {
                "parse": ["heptad", "parse", "--summary", str(path)],
                "ingest": ["bench.ingest", str(path), str(store)],
            }
            counted.append(count(code, command[program], folder, valgrind=place > 0))
    return (counted[2] - counted[1]) / (MORE * LINES)


@contextmanager
def check_out(revision: str) -> Iterator[Path]:
    """Check out a revision in a temporary directory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", folder, revision], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def compare(logs: list[Path], before: Path | None) -> None:
    """Print the result for each log and program."""
    for log in logs:
        for program in ("ingest", "parse"):
            now = count_a_line(ROOT, program, log)
            told = f"{log.name:<30} {program:<7} {now:>9,.0f} instructions a line"
            if before is not None:
                then = count_a_line(before, program, log)
                told += f", before {then:>9,.0f}: {now / then:.3f}×"
            print(told, flush=True)


def main(revision: str | None = None) -> None:
    """Measure the sample, and the real logs if they exist."""
    data = Path(os.environ.get("HEPTAD_SHARED_DATA", "../shared/data"))
    logs = [SAMPLE, *(data / name for name in LOGS if (data / name).is_file())]
    if revision is None:
        compare(logs, None)
        return
    with check_out(revision) as before:
        compare(logs, before)


if __name__ == "__main__":
    main(*sys.argv[1:2])

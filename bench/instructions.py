"""Instructions a line: the whole path (read, parse, commit, count) and `heptad parse`.

``python -m bench.instructions [REVISION]`` counts them with valgrind's cachegrind, which does not
depend on how busy the machine is; with a revision of git beside those of its code. The first
lines of a log are read once and four times over; the difference is what they cost without the
start.
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
"""Where modules are, also in revisions that had them all at the top."""
LINES: Final = 1500
MORE: Final = 3
VALGRIND: Final = (
    "valgrind",
    "--tool=cachegrind",
    "--cache-sim=no",
    "--cachegrind-out-file=/dev/null",
)


def count(code: Path, program: list[str], folder: Path, *, valgrind: bool = True) -> int:
    """Instructions of a Python program that runs with the code in this checkout; else 0."""
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
    """Instructions that a line of this log costs."""
    lines = log.read_bytes().splitlines(keepends=True)
    few = (lines * (1 + LINES // len(lines)))[:LINES]
    counted: list[int] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # the first run, which is not counted, writes the bytecode of all that is imported
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
    """The code of a revision, in a folder of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", folder, revision], check=True)
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", folder], check=True)


def compare(logs: list[Path], before: Path | None) -> None:
    """Print a line a log and program."""
    for log in logs:
        for program in ("ingest", "parse"):
            now = count_a_line(ROOT, program, log)
            told = f"{log.name:<30} {program:<7} {now:>9,.0f} instructions a line"
            if before is not None:
                then = count_a_line(before, program, log)
                told += f", before {then:>9,.0f}: {now / then:.3f}×"
            print(told, flush=True)


def main(revision: str | None = None) -> None:
    """Count on the sample, and on the real logs where they are."""
    data = Path(os.environ.get("HEPTAD_SHARED_DATA", "../shared/data"))
    logs = [SAMPLE, *(data / name for name in LOGS if (data / name).is_file())]
    if revision is None:
        compare(logs, None)
        return
    with check_out(revision) as before:
        compare(logs, before)


if __name__ == "__main__":
    main(*sys.argv[1:2])

"""Lines per second compared with mtail and fail2ban-regex, on the same file, in turn."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

LINES: Final = 500_000
FAIL2BAN_LINES: Final = 50_000
ROUNDS: Final = 5
LOGS: Final = ("elastic-examples-auth.log", "loghub-openssh-2k.log")
_HERE: Final = Path(__file__).parent


def repeat(log: Path, lines: int, target: Path) -> None:
    """Repeat ``log`` until there are ``lines`` lines."""
    once = log.read_bytes().splitlines(keepends=True)
    with target.open("wb") as file:
        for number in range(0, lines, len(once)):
            file.writelines(once[: lines - number])


def clock(command: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a command takes; it must succeed."""
    begun = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    return time.perf_counter() - begun


def keep_bytecode(folder: Path) -> dict[str, str]:
    """Return an environment in which Python compiles modules once, as in an installation."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def rates(folder: Path, log: Path, rounds: int) -> dict[str, list[float]]:
    """Return the lines per second of each program, one value per round; the programs take turns."""
    whole, part, store = folder / "whole.log", folder / "part.log", folder / "store.db"
    repeat(log, LINES, whole)
    repeat(log, FAIL2BAN_LINES, part)
    python = [sys.executable, "-m"]
    commands = {
        "ingest": ([*python, "bench.ingest", str(whole), str(store)], LINES),
        "parse": ([*python, "heptad", "parse", "--summary", str(whole)], LINES),
    }
    if shutil.which("mtail"):
        for name in ("mtail", "mtail-nested"):
            mtail = ["mtail", "--progs", str(_HERE / name), "--logs", str(whole), "--one_shot"]
            commands[name] = (mtail, LINES)
    if shutil.which("fail2ban-regex"):
        commands["fail2ban"] = (["fail2ban-regex", str(part), "sshd"], FAIL2BAN_LINES)
    environment = keep_bytecode(folder / "bytecode")
    found: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, (command, lines) in commands.items():
            for leftover in folder.glob("store.db*"):
                leftover.unlink()
            rate = lines / clock(command, environment)
            if number:  # the first round warms all caches
                found[name].append(rate)
    return found


def main(data: Path, rounds: int = ROUNDS) -> None:
    """Print rates and ratios for each log of ``data``."""
    for name in LOGS:
        with tempfile.TemporaryDirectory() as folder:
            found = rates(Path(folder), data / name, rounds)
        print(f"{name}, repeated to {LINES} lines, median of {rounds} rounds")
        for program, values in found.items():
            print(f"  {program:<12} {statistics.median(values):>9,.0f} lines/s")
        for ours, other, target in (
            ("ingest", "mtail", "1.5, aim 2.5"),
            ("ingest", "mtail-nested", "-"),
            ("ingest", "fail2ban", "6"),
            ("parse", "mtail", "2, aim 3"),
            ("parse", "mtail-nested", "-"),
        ):
            if other in found:
                pairs = zip(found[ours], found[other], strict=True)
                ratio = statistics.median(a / b for a, b in pairs)
                print(f"  {ours}/{other} {ratio:.2f}× (at least: {target})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)

"""The exporter is killed at random moments while lines are written and files rotate.

Nothing may be lost, nothing taken twice, and the counters must agree with the events.
"""

import gzip
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time as clock
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from exporter import service
from exporter.parsers.engine import load_rulebook
from exporter.sources import log as source_log
from heptad.config import load_config
from heptad.store.local import LocalStore

KILLS: Final = 200
CONFIG: Final = """
host: tortured
log: {{level: error}}
store: {{path: {folder}/state/events.db}}
sources:
  - {{type: file, name: auth, paths: [{folder}/auth.log], timezone: UTC}}
"""
KEEP: Final = 40


def start_exporters(config: Path) -> None:
    """For every line of standard input start an exporter; its process id goes to standard output.

    What all of them need is loaded before, so that a start is cheap and more of them can be
    killed. A rotated file is let go after two seconds, so that this happens too.
    """
    patch = pytest.MonkeyPatch()
    rulebook = load_rulebook()
    patch.setattr(service, "load_rulebook", lambda _: rulebook)
    patch.setattr(source_log, "SETTLE", 2 * 10**9)
    logging.basicConfig(level=logging.WARNING)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run_exporter(config)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        os.waitpid(child, 0)


def run_exporter(config: Path, *, once: bool = False) -> None:
    """What `heptad exporter` runs, without its port."""
    service.Exporter(load_config(config), once=once, serve=False).run(threading.Event())


class Writer:
    """Writes numbered lines and rotates, as a daemon and logrotate do, and loses none itself."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / "auth.log"
        self.lines = 0
        self.rotations = Counter[str]()
        self._chance = random.Random(seed)
        self._rotated: list[Path] = []
        self._stop = threading.Event()
        self._file = self._open()
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            os.close(self._file)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _run(self) -> None:
        kinds = [self._rename, self._copy_and_truncate, self._pack]
        while not self._stop.is_set():
            for _ in range(self._chance.randint(1, 60)):
                self._write(self._chance.randint(1, 40))
                self._stop.wait(self._chance.random() * 0.02)
            self._chance.choice(kinds)()
            self._delete_oldest()

    def _write(self, count: int) -> None:
        """Lines in one write, or the last of them in two."""
        stamp = f"{datetime.now(UTC):%b %e %H:%M:%S}"
        text = ""
        for _ in range(count):
            self.lines += 1
            text += (
                f"{stamp} tortured sshd[{1000 + self.lines % 5000}]: Failed password for "
                f"u{self.lines} from 192.0.2.1 port {1024 + self.lines % 60_000} ssh2\n"
            )
        data = text.encode()
        cut = len(data) - self._chance.choice([0, 0, 1, 30])
        os.write(self._file, data[:cut])
        if data[cut:]:
            clock.sleep(0.001)
            os.write(self._file, data[cut:])

    def _next_name(self) -> Path:
        return self.path.with_name(f"auth.log-{20260301 + self.rotations.total()}")

    def _rename(self) -> None:
        """The daemon goes on in the renamed file until it is told."""
        rotated = self._next_name()
        self.path.rename(rotated)
        for _ in range(self._chance.randint(0, 4)):
            self._write(self._chance.randint(1, 10))
            clock.sleep(0.005)
        self._reopen()
        self._count("rename", rotated)

    def _reopen(self) -> None:
        os.close(self._file)
        self._file = self._open()

    def _copy_and_truncate(self) -> None:
        rotated = self._next_name()
        shutil.copyfile(self.path, rotated)
        os.ftruncate(self._file, 0)
        self._count("copytruncate", rotated)

    def _pack(self) -> None:
        self._rename()
        self.rotations["rename"] -= 1
        plain = self._rotated.pop()
        packed = plain.with_name(plain.name + ".gz")
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        shutil.copystat(plain, packed)
        plain.unlink()
        self._count("compress", packed)

    def _count(self, kind: str, rotated: Path) -> None:
        self.rotations[kind] += 1
        self._rotated.append(rotated)

    def _delete_oldest(self) -> None:
        """Far behind what can be unread."""
        if len(self._rotated) > KEEP:
            self._rotated.pop(0).unlink()


def kill_often(config: Path, seed: int) -> None:
    """Start the exporter and kill it, at any moment from its start to well into its work."""
    chance = random.Random(seed)
    command = [sys.executable, "-m", "tests.test_torture", str(config)]
    pipe, root = subprocess.PIPE, Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as starter:
        assert starter.stdin is not None
        assert starter.stdout is not None
        for _ in range(KILLS):
            starter.stdin.write("start\n")
            starter.stdin.flush()
            child = int(starter.stdout.readline())
            clock.sleep(chance.uniform(0.01, 0.4))
            os.kill(child, signal.SIGKILL)


def test_killed_200_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed 200 times under rotation, every line is stored and counted exactly once."""
    seed = int(os.environ.get("TORTURE_SEED") or random.randrange(2**32))
    config = tmp_path / "heptad.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "state").mkdir()
    writer = Writer(tmp_path, seed)
    run_exporter(config, once=True)  # the first start precedes every line
    clock.sleep(1)  # whose stamps have whole seconds
    with writer.running():
        kill_often(config, seed)
    run_exporter(config, once=True)
    with LocalStore(tmp_path / "state" / "events.db") as store:
        points = list(store.read("events", 0, 2**63 - 1))
        counters = store.counters()
    seen = Counter(int(str(p.fields["user"])[1:]) for p in points if p.tags["program"] == "sshd")
    lost = set(range(1, writer.lines + 1)) - seen.keys()
    doubled = [number for number, times in seen.items() if times > 1]
    gaps = [point.fields for point in points if point.tags["action"] == "gap"]
    with capsys.disabled():
        print(  # noqa: T201 - figures to compare
            f"\n{writer.lines} lines, {KILLS} kills, rotations {dict(writer.rotations)}: "
            f"{len(lost)} lost, {len(doubled)} doubled, {len(gaps)} gaps; TORTURE_SEED={seed}"
        )
    assert (sorted(lost)[:10], doubled[:10], gaps) == ([], [], [])
    assert sum_of(counters, "auth_events_total", program="sshd") == writer.lines
    assert sum_of(counters, "heptad_lines_total", result="event") == writer.lines


def sum_of(counters: dict[tuple[str, str], float], name: str, **labels: str) -> float:
    """The sum of a counter over all label sets with these labels."""
    return sum(
        value
        for (known, text), value in counters.items()
        if known == name and labels.items() <= json.loads(text).items()
    )


if __name__ == "__main__":
    start_exporters(Path(sys.argv[1]))

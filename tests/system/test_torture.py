"""The exporter is killed at random moments while lines are written and files rotate.

Nothing may be lost, nothing taken twice, and the counters must agree with the events.
"""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from heptad.core.config.schema import load_config
from heptad.core.store.sqlite import LocalStore
from heptad.exporter import app
from heptad.exporter.parsing.rulebook import Rulebook, load_rulebook
from heptad.exporter.sources.file import rotated_log as source_log
from tests.support.rotations import kind_of
from tests.support.torture_writer import Writer

KILLS: Final = int(os.environ.get("TORTURE_KILLS") or 200)
CONFIG: Final = """
host: tortured
log: {{level: error}}
store: {{path: {folder}/state/events.db}}
sources:
  - {{type: file, name: auth, paths: [{folder}/auth.log], timezone: UTC}}
"""


def start_exporters(config: Path) -> None:
    """For every line of standard input start an exporter; its process id goes to standard output.

    What all of them need is loaded before, so that a start is cheap and more of them can be
    killed. A rotated file is let go after two seconds, so that this happens too.
    """
    patch = pytest.MonkeyPatch()
    rulebook = load_rulebook()
    patch.setattr(source_log, "SETTLE", 2 * 10**9)
    logging.basicConfig(level=logging.WARNING)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            if os.environ.get("TORTURE_CALLS"):
                note_calls(config.parent / f"calls-{os.getpid()}")
            run_exporter(config, rulebook=rulebook)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        os.waitpid(child, 0)


def note_calls(path: Path) -> None:
    """Write down the order of the system calls of this thread, as far as a kill lets it."""
    calls = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(_: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and (kind := kind_of(function)):
            os.write(calls, f"{time.monotonic_ns()} {kind}\n".encode())

    sys.setprofile(note)


def run_exporter(config: Path, *, once: bool = False, rulebook: Rulebook | None = None) -> None:
    """What `heptad exporter` runs, without its port."""
    exporter = app.Exporter(load_config(config), once=once, serve=False, rulebook=rulebook)
    exporter.run(threading.Event())


def kill_often(config: Path, seed: int) -> None:
    """Start the exporter and kill it, at any moment from its start to well into its work."""
    chance = random.Random(seed)
    command = [sys.executable, "-m", "tests.system.test_torture", str(config)]
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as starter:
        assert starter.stdin is not None
        assert starter.stdout is not None
        for _ in range(KILLS):
            starter.stdin.write("start\n")
            starter.stdin.flush()
            child = int(starter.stdout.readline())
            time.sleep(chance.uniform(0.01, 0.4))
            os.kill(child, signal.SIGKILL)


@pytest.mark.long
def test_killed_200_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed 200 times under rotation, every line is stored and counted exactly once."""
    seed = int(os.environ.get("TORTURE_SEED") or random.randrange(2**32))
    config = tmp_path / "heptad.yaml"
    config.write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "state").mkdir()
    writer = Writer(tmp_path / "auth.log", seed, all_read=partial(is_read, tmp_path))
    run_exporter(config, once=True)  # the first start precedes every line
    time.sleep(1)  # whose stamps have whole seconds
    with writer.running():
        kill_often(config, seed)
    run_exporter(config, once=True)
    (tmp_path / "steps").write_text("".join(f"{at} {step}\n" for at, step in writer.steps))
    with LocalStore(tmp_path / "state" / "events.db") as store:
        points = list(store.read("events", 0, 2**63 - 1))
        counters = store.counters()
    seen = Counter(
        int(str(p.fields["user"]).removeprefix("auth"))
        for p in points
        if p.tags["program"] == "sshd"
    )
    lost = set(range(1, writer.lines + 1)) - seen.keys()
    doubled = [number for number, times in seen.items() if times > 1]
    gaps = [point.fields for point in points if point.tags["action"] == "gap"]
    with capsys.disabled():
        print(  # noqa: T201 - figures to compare
            f"\n{writer.lines} lines, {KILLS} kills, rotations {dict(writer.rotations)}: "
            f"{len(lost)} lost, {len(doubled)} doubled, {len(gaps)} gaps; TORTURE_SEED={seed}, "
            f"in {tmp_path}"
        )
    assert (sorted(lost)[:10], doubled[:10], gaps) == ([], [], [])
    assert sum_of(counters, "auth_events_total", program="sshd") == writer.lines
    assert sum_of(counters, "heptad_lines_total", result="event") == writer.lines


def is_read(folder: Path, lines: int) -> bool:
    """Whether that many lines are in the store."""
    with LocalStore(folder / "state" / "events.db") as store:
        return sum_of(store.counters(), "heptad_lines_total", result="event") >= lines


def sum_of(counters: dict[tuple[str, str], float], name: str, **labels: str) -> float:
    """The sum of a counter over all label sets with these labels."""
    return sum(
        value
        for (known, text), value in counters.items()
        if known == name and labels.items() <= json.loads(text).items()
    )


if __name__ == "__main__":
    start_exporters(Path(sys.argv[1]))

"""Everything fails at random while lines are written and files rotate in all three ways.

Exporter and aggregator are killed, influxd is killed and started again, connections are reset,
hang or answer with errors, the disk fills up. In the end every line is in InfluxDB exactly once,
the counters agree, and the reports are those of the lines that were written.

`make torture` runs it longer; TORTURE_FAULTS and TORTURE_SEED choose.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time as clock
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from aggregator import service as aggregator_service
from aggregator.reports import WINDOWS
from exporter import service
from exporter.parsers.engine import load_rulebook
from exporter.sources import log as source_log
from heptad.commands.parts import run_parts
from heptad.config import load_config
from heptad.store.local import LocalStore
from tests.faulty_proxy import FAULTS, FaultyProxy
from tests.influxdb import Influxd
from tests.test_torture import sum_of
from tests.torture_writer import Writer

WANTED: Final = int(os.environ.get("TORTURE_FAULTS", "300"))
LONGEST: Final = 100.0 if WANTED <= 300 else 3600.0
FILES: Final = 3
CONFIG: Final = """
host: tortured
log: {{level: error}}
store: {{path: {folder}/disk/events.db}}
influxdb:
  url: {url}
  timeout: 2s
  delivery: {{flush_interval: 100ms, max_lines: 500}}
aggregator: {{page: false, listen: "127.0.0.1:0", poll: 200ms, max_wait: 2s}}
sources:
  - {{type: file, name: auth, paths: [{folder}/log/*.log], timezone: UTC}}
"""
DISK: Final = "128m"


def start_children(part: str, config: Path) -> None:
    """For every line of standard input start the part; its process id goes to standard output.

    What all of them need is loaded before, so that a start is cheap. Pauses are shorter than in
    life, so that more happens.
    """
    patch = pytest.MonkeyPatch()
    rulebook = load_rulebook()
    patch.setattr(service, "load_rulebook", lambda _: rulebook)
    patch.setattr(source_log, "SETTLE", 2 * 10**9)
    patch.setattr("exporter.breaker._OPEN_FOR", 1.0)
    patch.setattr("exporter.pulse.EVERY", 1.0)
    patch.setattr("exporter.forwarder._FIRST_HOLD", 1.0)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run_part(part, config)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        os.waitpid(child, 0)


def run_part(part: str, config: Path, *, once: bool = False) -> None:
    """What `heptad exporter` or `heptad aggregator` runs, without its port."""
    if part == "aggregator":
        run_parts(
            {part: aggregator_service.Aggregator(load_config(config), once=once, serve=False).run}
        )
        return
    exporter = service.Exporter(load_config(config), once=once, serve=False)
    run_parts({part: exporter.run} if once else exporter.parts())


class Children:
    """One child after the other, each killed before the next is started."""

    def __init__(self, part: str, config: Path) -> None:
        command = [sys.executable, "-m", "tests.test_torture_influxdb", part, str(config)]
        pipe, root = subprocess.PIPE, Path(__file__).parents[1]
        self._starter = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root)
        self._child = 0

    def replace(self) -> None:
        """Kill the one that runs (kill -9), and start another."""
        self.kill()
        assert self._starter.stdin is not None
        assert self._starter.stdout is not None
        self._starter.stdin.write("start\n")
        self._starter.stdin.flush()
        self._child = int(self._starter.stdout.readline())

    def kill(self) -> None:
        """Kill the one that runs."""
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            self._child = 0

    def close(self) -> None:
        """End them all."""
        self.kill()
        with self._starter:
            pass


class World:
    """What can fail, and how often each of it has."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.chance = chance
        self.folder = folder
        self.faults = Counter[str]()
        self.disk = folder / "disk"
        self.has_disk = False
        self.influxd = Influxd(folder / "influxdb")
        self.influxd.start()
        self.influxd.create("events", "reports", "heptad")
        self.proxy = FaultyProxy(self.influxd.port)
        self.config = folder / "heptad.yaml"
        self.config.write_text(CONFIG.format(folder=folder, url=self.proxy.url))

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
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from heptad.aggregator import app as aggregator_service
from heptad.aggregator.reports import WINDOWS
from heptad.cli.runtime.supervisor import run_workers
from heptad.core.config.schema import load_config
from heptad.core.store.sqlite import LocalStore
from heptad.exporter import app
from heptad.exporter.parsing.rulebook import Rulebook, load_rulebook
from heptad.exporter.sources.file import rotated_log as source_log
from tests.support.faulty_proxy import HANG, LOST_ANSWER, RESET, Fault, FaultyProxy
from tests.support.influxd_2 import Influxd2
from tests.support.influxdb import Influxd
from tests.support.torture_writer import Writer
from tests.system.test_torture import sum_of

WANTED: Final = int(os.environ.get("TORTURE_FAULTS", "300"))
LONGEST: Final = 100.0 if WANTED <= 300 else 3600.0
SPEED: Final = 500 if WANTED <= 300 else 20
CONFIG: Final = """
host: tortured
log: {{level: error}}
store: {{path: {folder}/disk/events.db}}
influxdb:
  url: {url}
  {keys}
  delivery: {{flush_interval: 100ms, max_lines: 500}}
aggregator: {{page: false,  listen: "127.0.0.1:0", poll: 200ms, max_wait: 2s}}
sources:
  - {{type: file, name: auth, paths: [{folder}/log/*.log], timezone: UTC}}
"""
DISK: Final = "128m"
HTTP_FAULTS: Final = {
    "reset": RESET,
    "reset, but written": LOST_ANSWER,
    "no answer": HANG,
    "429": Fault(status=429, headers={"Retry-After": "1"}),
    "500": Fault(status=500, body=b'{"error": "engine: shard is idle"}'),
    "503, but written": Fault(forward=True, status=503),
}


def start_children(part: str, config: Path) -> None:
    """For every line of standard input start the part; its process id goes to standard output.

    What all of them need is loaded before, so that a start is cheap. Pauses are shorter than in
    life, so that more happens.
    """
    patch = pytest.MonkeyPatch()
    rulebook = load_rulebook()
    patch.setattr(source_log, "SETTLE", 2 * 10**9)
    patch.setattr("heptad.exporter.delivery.circuit_breaker._OPEN_FOR", 1.0)
    patch.setattr("heptad.exporter.delivery.heartbeat.EVERY", 1.0)
    patch.setattr("heptad.exporter.delivery.forwarder._FIRST_HOLD", 1.0)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            run_part(part, config, rulebook=rulebook)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        os.waitpid(child, 0)


def run_part(
    part: str, config: Path, *, once: bool = False, rulebook: Rulebook | None = None
) -> None:
    """What `heptad exporter` or `heptad aggregator` runs, without its port."""
    if part == "aggregator":
        run_workers(
            {part: aggregator_service.Aggregator(load_config(config), once=once, serve=False).run}
        )
        return
    exporter = app.Exporter(load_config(config), once=once, serve=False, rulebook=rulebook)
    run_workers({part: exporter.run} if once else exporter.workers())


class Children:
    """One child after the other, each killed before the next is started."""

    def __init__(self, part: str, config: Path) -> None:
        command = [sys.executable, "-m", "tests.system.test_torture_influxdb", part, str(config)]
        pipe, root = subprocess.PIPE, Path(__file__).parents[2]
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

    def __init__(self, folder: Path, seed: int, server: type[Influxd], timeout: str) -> None:
        self.chance = random.Random(seed)
        self.faults = Counter[str]()
        self.config = folder / "heptad.yaml"
        self.disk = folder / "disk"
        self.log = folder / "log"
        self.disk.mkdir()
        self.log.mkdir()
        self.influxd = server(folder / "influxdb")
        self.influxd.start()
        self.influxd.create("events", "reports", "heptad")
        self.proxy = FaultyProxy(self.influxd.url)
        told = {"timeout": timeout, **server.keys}
        keys = "\n  ".join(f"{name}: {value}" for name, value in told.items())
        self.config.write_text(CONFIG.format(folder=folder, url=self.proxy.url, keys=keys))
        begun = datetime.now(UTC) - timedelta(hours=20)

        def now() -> datetime:
            """A clock that runs fast, so that windows end."""
            return begun + SPEED * (datetime.now(UTC) - begun - timedelta(hours=20))

        self.writers = [
            Writer(
                self.log / f"{name}.log", seed + n, 0.08, now, iso=n == 0, all_read=self.may_delete
            )
            for n, name in enumerate("abc")
        ]
        self.children = {part: Children(part, self.config) for part in ("exporter", "aggregator")}
        self.has_own_disk = _mount(self.disk)

    def may_delete(self, lines: int) -> bool:
        """Whether rotated logs are deleted, as long as so many lines may not be read."""
        del lines
        return True

    def close(self) -> None:
        """End everything."""
        for children in self.children.values():
            children.close()
        self.proxy.refuse()
        self.influxd.stop()
        if self.has_own_disk:
            subprocess.run(["umount", "-l", self.disk], check=True)

    def torture(self, wanted: int) -> None:
        """Let one thing fail after the other, until it was enough."""
        self.proxy.plan = self._spoil
        kinds = {
            self._kill_exporter: 30,
            self._kill_aggregator: 6,
            self._kill_influxd: 2,
            self._fill_disk: 4 if self.has_own_disk else 0,
        }
        self._fail(wanted, kinds)

    def _fail(self, wanted: int, kinds: Mapping[Callable[[], None], int]) -> None:
        for children in self.children.values():
            children.replace()
        until = time.monotonic() + LONGEST
        while self.faults.total() < wanted and time.monotonic() < until:
            time.sleep(self.chance.uniform(0.1, 0.5))
            (fail,) = self.chance.choices(list(kinds), list(kinds.values()))
            fail()
        self.proxy.plan = lambda *_: None
        self.proxy.release()

    def _spoil(self, *_: object) -> Fault | None:
        """What becomes of a request: half of them fail."""
        if self.chance.random() < 0.5:
            return None
        name, fault = self.chance.choice(list(HTTP_FAULTS.items()))
        self.faults[name] += 1
        return fault

    def _kill_exporter(self) -> None:
        self.children["exporter"].replace()
        self.faults["exporter killed"] += 1

    def _kill_aggregator(self) -> None:
        self.children["aggregator"].replace()
        self.faults["aggregator killed"] += 1

    def _kill_influxd(self) -> None:
        self.influxd.kill()
        time.sleep(self.chance.uniform(0, 0.5))
        self.influxd.start()
        self.faults["influxd killed"] += 1

    def _fill_disk(self) -> None:
        filler = self.disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(2**20))
        time.sleep(self.chance.uniform(0.1, 0.6))
        filler.unlink()
        self.faults["disk full"] += 1


class Killed(World):
    """A world in which nothing but kills happens, so often that no log can be read in time."""

    def may_delete(self, lines: int) -> bool:
        """Keep them all."""
        del lines
        return False

    def torture(self, wanted: int) -> None:
        """Kill one of the three after the other, so many times."""
        kinds = {self._kill_exporter: 3, self._kill_aggregator: 1, self._kill_influxd: 2}
        self._fail(wanted, kinds)


def _mount(folder: Path) -> bool:
    """Give the store a small disk of its own, where that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def expected_reports(stamps: list[int]) -> dict[tuple[str, int], int]:
    """(size, start in ns) of each window → the failed logins in it."""
    return Counter(
        (size, stamp * 10**9 // length * length)
        for size, length in WINDOWS.items()
        for stamp in stamps
    )


def reported(influxd: Influxd) -> dict[tuple[str, int], int]:
    """The same as the last revision of each window has it."""
    rows = influxd.rows("SELECT failures, revision, window FROM report_attempts", "reports")
    rows.sort(key=lambda row: int(row["revision"]))
    return {
        (str(row["window"]), row["time"] - row["revision"]): int(row["failures"]) for row in rows
    }


def test_everything_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After hundreds of faults every line is in InfluxDB once, counted once and reported once."""
    run(capsys, lambda seed: World(tmp_path, seed, Influxd, "2s"), WANTED)


def test_kills_on_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same with 2.7.12 where exporter, aggregator and influxd are killed (kill -9)."""
    wanted = max(60, WANTED if WANTED > 300 else 0)
    run(capsys, lambda seed: Killed(tmp_path, seed, Influxd2, "30s"), wanted)


def run(
    capsys: pytest.CaptureFixture[str], make_world: Callable[[int], World], wanted: int
) -> None:
    """Let so many things fail while lines are written, then compare."""
    seed = int(os.environ.get("TORTURE_SEED") or random.randrange(2**32))
    world = make_world(seed)
    try:
        run_part("exporter", world.config, once=True)  # the first start precedes every line
        time.sleep(1)  # whose stamps have whole seconds
        with ExitStack() as writing:
            for writer in world.writers:
                writing.enter_context(writer.running())
            world.torture(wanted)
        for children in world.children.values():
            children.kill()
        begun = time.monotonic()
        run_part("exporter", world.config, once=True)
        catch_up = time.monotonic() - begun
        run_part("aggregator", world.config, once=True)
        check(world, seed, catch_up, capsys)
        assert world.faults.total() >= wanted
    finally:
        world.close()


def check(world: World, seed: int, catch_up: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Compare what is in InfluxDB, counted and reported with what was written."""
    written = Counter(f"{w.path.stem}{n}" for w in world.writers for n in range(1, w.lines + 1))
    rows = world.influxd.rows("SELECT \"user\" FROM events WHERE program = 'sshd'", "events")
    there = Counter(str(row["user"]) for row in rows)
    lost, doubled = written - there, there - written
    gaps = world.influxd.rows("SELECT \"count\", reason FROM events WHERE action = 'gap'", "events")
    with capsys.disabled():
        print(  # noqa: T201 - figures to compare
            f"\n{written.total()} lines in {len(world.writers)} files, rotations "
            f"{dict(sum((w.rotations for w in world.writers), Counter()))}; {world.faults.total()} "
            f"faults {dict(world.faults)}: {lost.total()} lost, {doubled.total()} doubled, "
            f"{len(gaps)} gaps, caught up in {catch_up:.1f} s; TORTURE_SEED={seed}"
        )
    assert (dict(lost.most_common(5)), dict(doubled.most_common(5)), gaps) == ({}, {}, [])
    with LocalStore(world.disk / "events.db") as store:
        counters, stored = store.counters(), store.newest_position()
    assert sum_of(counters, "auth_events_total", program="sshd") == written.total()
    assert sum_of(counters, "heptad_delivery_events_total", result="delivered") == stored
    stamps = [stamp for writer in world.writers for stamp in writer.stamps]
    over = {
        key: n
        for key, n in expected_reports(stamps).items()
        if key[1] + WINDOWS[key[0]] <= time.time_ns()
    }
    assert len(over) > 2
    assert reported(world.influxd) == over


if __name__ == "__main__":
    start_children(sys.argv[1], Path(sys.argv[2]))

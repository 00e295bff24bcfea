"""SIGHUP reads the configuration again: real processes, real ports, lines that never stop."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from heptad.cli import sample
from heptad.core.store.event_row import event_of_point
from heptad.core.store.sqlite import LocalStore, counter_key
from tests.support.ports import reserve_port

SUCCESSFUL = "heptad_config_last_reload_successful"
TAKEN_UP = "configuration reloaded"


class World:
    """A log, a configuration, and a Heptad that runs on them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.path = folder / "heptad.yaml"
        self.log = folder / "auth.log"
        self.log.touch()
        self.content: dict[str, Any] = {
            "host": "web",
            "store": {"path": str(folder / "events.db")},
            "sources": [{"type": "file", "name": "auth", "paths": [str(self.log)]}],
            "exporter": {"listen": f"127.0.0.1:{reserve_port()}", "host_metrics": False},
            "aggregator": {
                "listen": f"127.0.0.1:{reserve_port()}",
                "store": {"path": str(folder / "reports.db")},
            },
        }
        self.write()

    def write(self) -> None:
        """Put the configuration into its file."""
        self.path.write_text(yaml.safe_dump(self.content))

    @contextmanager
    def running(self, command: str, *before: str, **options: Any) -> Iterator["Running"]:
        """`heptad command` on the configuration; killed at the end if it runs on."""
        arguments = [*before, sys.executable, "-m", "heptad", command, "--config", str(self.path)]
        with subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
        ) as process:
            try:
                yield Running(process)
            finally:
                if process.poll() is None:
                    process.kill()

    def metrics(self, part: str) -> str:
        """What the port of a part exposes."""
        url = f"http://{self.content[part]['listen']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())


class Running:
    """A process whose log is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hang_up(self, times: int = 1) -> None:
        """Send SIGHUP."""
        for _ in range(times):
            self.process.send_signal(signal.SIGHUP)

    def read_until(self, wanted: str) -> str:
        """The log up to a line that holds ``wanted``."""
        assert self.process.stderr is not None
        seen = ""
        for line in self.process.stderr:
            seen += line
            if wanted in line:
                return seen
            if wanted == TAKEN_UP:
                assert "level=error" not in line, seen
        raise AssertionError(f"{wanted!r} did not come: {seen}")

    def wait_for(self, world: World, part: str, wanted: str) -> str:
        """The metrics of a part, once they hold ``wanted``."""
        until = time.monotonic() + 30
        shown = ""
        while time.monotonic() < until:
            try:
                shown = world.metrics(part)
            except OSError:
                continue
            if wanted in shown:
                return shown
        raise AssertionError(f"{wanted!r} did not come: {shown}")

    def end(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@pytest.fixture
def world(tmp_path: pathlib.Path) -> World:
    """Everything in a folder of its own."""
    return World(tmp_path)


class Writer(threading.Thread):
    """Appends logins to a log until it is told to stop; the number is in the port."""

    def __init__(self, log: pathlib.Path) -> None:
        super().__init__()
        self.log = log
        self.number = 0
        self.stop = threading.Event()

    def run(self) -> None:
        """Some lines at a time."""
        with self.log.open("a") as log:
            while not self.stop.wait(0.002):
                for _ in range(5):
                    self.number += 1
                    stamp = datetime.now(UTC).isoformat(timespec="microseconds")
                    log.write(
                        f"{stamp} web sshd[{self.number}]: Accepted publickey for ann "
                        f"from 198.51.100.2 port {self.number} ssh2\n"
                    )
                log.flush()


def changes(world: World) -> Iterator[None]:
    """One change of the configuration after another."""
    other = world.folder / "other.log"
    other.write_text("")
    yield None
    world.content["sources"][0]["programs"] = ["sshd"]
    source = {"type": "file", "name": "other", "paths": [str(other)], "programs": ["sudo"]}
    world.content["sources"].append(source)
    yield None
    rules = world.folder / "rules"
    rules.mkdir()
    (rules / "mine.yaml").write_text("program: mine\nrules: []\n")
    world.content["rules"] = [str(rules)]
    yield None
    world.content["exporter"]["listen"] = f"127.0.0.1:{reserve_port()}"
    world.content["aggregator"]["listen"] = f"127.0.0.1:{reserve_port()}"
    yield None
    world.content["log"] = {"level": "debug", "format": "json"}
    yield None
    world.content["sources"].pop()
    world.content["log"] = {}
    yield None


@pytest.mark.long
def test_reloads_lose_nothing_and_count_nothing_twice(world: World) -> None:
    """While lines come all the time and everything changes, each is an event, counted once."""
    with world.running("up") as running:
        running.wait_for(world, "aggregator", SUCCESSFUL)
        writer = Writer(world.log)
        writer.start()
        try:
            for _ in changes(world):
                world.write()
                running.hang_up(3)
                running.read_until(TAKEN_UP)
            running.hang_up(200)
            running.read_until(TAKEN_UP)
        finally:
            writer.stop.set()
            writer.join()
        labels = 'action="login",method="publickey",outcome="success",program="sshd"'
        done = f"auth_events_total{{{labels}}} {float(writer.number)}"
        running.wait_for(world, "exporter", done)
        assert running.end() == 0
    with LocalStore(world.folder / "events.db") as store:
        events = [event_of_point(point) for point in store.read("events", 0, 2**62)]
        logins = sorted(e.source_port or 0 for e in events if e.action == "login")
        assert logins == list(range(1, writer.number + 1))
        assert not [event for event in events if event.action == "gap"]
        key = counter_key(
            "auth_events_total",
            program="sshd",
            action="login",
            outcome="success",
            method="publickey",
        )
        assert store.counters()[key] == writer.number


@pytest.mark.table
@pytest.mark.parametrize(
    ("command", "ports"),
    [
        ("exporter", ["exporter"]),
        ("aggregator", ["aggregator"]),
        ("up", ["exporter", "aggregator"]),
    ],
)
def test_a_faulty_configuration_is_refused(world: World, command: str, ports: list[str]) -> None:
    """Every problem is logged with its place, the old one stays; a mended one is taken up."""
    LocalStore(world.folder / "events.db", write=True).close()
    good = world.path.read_text()
    with world.running(command) as running:
        for port in ports:
            running.wait_for(world, port, f"{SUCCESSFUL} 1.0")
        world.path.write_text("log: {level: loud}\nhosst: x\n")
        running.hang_up()
        seen = running.read_until(f"{world.path}:2:")
        assert f"{world.path}:1:" in seen
        assert seen.count("level=error") == 2
        for port in ports:
            running.wait_for(world, port, f"{SUCCESSFUL} 0.0")
        world.path.write_text(good)
        running.hang_up()
        running.read_until(TAKEN_UP)
        for port in ports:
            running.wait_for(world, port, f"{SUCCESSFUL} 1.0")
        assert running.end() == 0


def test_rules_and_programs_are_checked_before_anything_ends(world: World) -> None:
    """A rule file that is none, and a program without rules, leave the exporter as it was."""
    with world.running("exporter") as running:
        running.wait_for(world, "exporter", SUCCESSFUL)
        world.content["sources"][0]["programs"] = ["nonsense"]
        world.write()
        running.hang_up()
        assert "rejected" in running.read_until("nonsense")
        rules = world.folder / "rules"
        rules.mkdir()
        (rules / "mine.yaml").write_text("rules: 5\n")
        world.content["rules"] = [str(rules)]
        world.write()
        running.hang_up()
        assert "rejected" in running.read_until("mine.yaml:1:")
        running.wait_for(world, "exporter", f"{SUCCESSFUL} 0.0")
        assert running.end() == 0


def test_what_cannot_be_taken_up_leads_back(world: World) -> None:
    """A port in use is found too late to refuse: the old configuration is in force again.

    Also where its folder of rules is gone meanwhile.
    """
    rules = world.folder / "rules"
    rules.mkdir()
    (rules / "mine.yaml").write_text("program: mine\nrules: []\n")
    world.content["rules"] = [str(rules)]
    world.write()
    with world.running("up") as running, socket.create_server(("127.0.0.1", 0)) as taken:
        running.wait_for(world, "exporter", SUCCESSFUL)
        old = world.content["aggregator"]["listen"]
        (rules / "mine.yaml").unlink()
        rules.rmdir()
        world.content["rules"] = []
        world.content["aggregator"]["listen"] = f"127.0.0.1:{taken.getsockname()[1]}"
        world.write()
        running.hang_up()
        seen = running.read_until("reverted to the previous configuration")
        assert "set another `listen` address" in seen
        world.content["aggregator"]["listen"] = old
        for part in ("exporter", "aggregator"):
            running.wait_for(world, part, f"{SUCCESSFUL} 0.0")
        assert running.end() == 0


def test_a_closed_terminal_ends_it(world: World) -> None:
    """What was started in a terminal ends with it: that signal is SIGHUP too."""
    master, slave = os.openpty()
    with world.running("up", "setsid", "--ctty", stdin=slave) as running:
        os.close(slave)
        running.wait_for(world, "exporter", SUCCESSFUL)
        os.close(master)
        assert running.process.wait(timeout=30) == 0


class Impatient(threading.Event):
    """A stop that waits for nothing, and tells to end at one of the waits."""

    def __init__(self, ends_at: int) -> None:
        super().__init__()
        self.left = ends_at

    def wait(self, timeout: float | None = None) -> bool:
        """Whether to end now."""
        self.left -= 1
        return self.left <= 0 or timeout is None


def test_the_sample_goes_on_after_a_reload(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Stopped and called again, the replay writes each line of the sample once, in its order."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "sample").mkdir()
    replay = sample.make_replay()
    for ends_at in (1, 4, 2, 1000):
        replay(Impatient(ends_at))
    written = [line.split(" ", 1)[1] for line in sample.log_path().read_text().splitlines()]
    original = pathlib.Path(sample.__file__).parent / "sample_log" / "auth.log"
    assert written == [line.split(" ", 1)[1] for line in original.read_text().splitlines()]


def test_a_signal_while_it_starts_does_not_kill(world: World) -> None:
    """SIGHUP that comes while the stores are opened is worked off after the start."""
    with world.running("up") as running:
        # the signal is sent as soon as the store is there, which is before the port is
        until = time.monotonic() + 30
        while not (world.folder / "events.db").exists():
            assert time.monotonic() < until
        running.hang_up()
        running.read_until(TAKEN_UP)
        assert running.end() == 0

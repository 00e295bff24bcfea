"""What systemd is told: a real datagram socket, and a real Heptad that talks to it."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from heptad.cli.runtime import systemd
from heptad.cli.runtime.supervisor import StopToken
from heptad.core.store.sqlite import LocalStore
from tests.cli.test_reload import World, world
from tests.support.clock import Clock

__all__ = ["world"]  # fixture

FRAGILE = """
import pathlib, sys, threading
from heptad.exporter.sources.file.source import FileSource
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.cli.main import main
from heptad.cli.runtime import reload
reload._LEAST_PATIENCE = reload._LONGEST_RELOAD = 2.5
def told(name):
    return pathlib.Path(sys.argv[-1]).with_name(name).exists()
read, append, close = FileSource.read, LocalStore.append, LocalStore.close
def hang(self):
    if told("hang"):
        threading.Event().wait()
    return read(self)
def fail(self, *args, **options):
    if told("full"):
        raise StoreError("no space left")
    append(self, *args, **options)
def hang_closing(self):
    if told("hang-closing"):
        threading.Event().wait()
    close(self)
FileSource.read, LocalStore.append, LocalStore.close = hang, fail, hang_closing
sys.exit(main())
"""
Message = dict[str, str]


class Manager:
    """The end of the socket that is systemd's."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(30)

    def hear(self) -> Message:
        """The next message."""
        lines = self.socket.recv(65_536).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def hear_until(self, name: str) -> Message:
        """The first message that sets ``name``."""
        while name not in (message := self.hear()):
            pass
        return message


@pytest.fixture
def manager(tmp_path: pathlib.Path) -> Iterator[Manager]:
    """A manager that listens in the folder of the test."""
    manager = Manager(str(tmp_path / "notify"))
    with manager.socket:
        yield manager


def environment(manager: Manager, **more: str) -> dict[str, str]:
    """That of a service of Type=notify."""
    return os.environ | {"NOTIFY_SOCKET": manager.socket.getsockname()} | more


def test_nobody_is_told_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without $NOTIFY_SOCKET, or with one that is no address, nothing is sent and nothing fails."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify(READY=1)
    for address in ("", "relative", "/no/such/socket"):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        assert not systemd.notify(READY=1)


def test_abstract_sockets_are_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that begins with @ is abstract; a value cannot add a variable of its own."""
    name = f"heptad-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    with manager.socket:
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert systemd.notify(READY=1, STATUS="all\nSTOPPING=1")
        assert manager.hear() == {"READY": "1", "STATUS": "all"}


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("3000000", None, 3.0),
        pytest.param("3000000", str(os.getpid()), 3.0, id="own"),
        ("3000000", "1", None),
        ("0", None, None),
        ("-5", None, None),
        ("², soon", None, None),
        ("²", None, None),
        (None, None, None),
    ],
)
def test_watchdog_is_only_for_whom_it_is_meant(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    """$WATCHDOG_PID of another process, or a time that is none, is no watchdog."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_seconds() == seconds


def test_asking_is_the_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that has not asked for long hangs, unless it said how long it rests."""
    clock = Clock()
    stop = StopToken(clock.monotonic)
    signs = [stop.asked]
    clock.now += 11
    signs += [stop.hangs(10), stop.is_set(), stop.asked, stop.hangs(10)]
    assert signs == [False, True, False, True, False]
    hung: list[bool] = []

    def look(self: object, timeout: float | None = None) -> bool:
        clock.now += 1000
        hung.append(stop.hangs(10))
        return False

    monkeypatch.setattr("threading.Event.wait", look)
    stop.wait(995)
    stop.wait(900)
    stop.wait()
    assert hung == [False, True, False]


@pytest.mark.table
@pytest.mark.parametrize("command", ["exporter", "aggregator", "up"])
def test_a_service_tells_its_state(world: World, manager: Manager, command: str) -> None:
    """READY=1 once the port answers, RELOADING=1 and READY=1 at SIGHUP, STOPPING=1 at the end."""
    LocalStore(world.folder / "events.db", write=True).close()
    with world.running(command, env=environment(manager)) as running:
        ready = manager.hear_until("READY")
        assert ready["STATUS"] == "Running"
        world.metrics("exporter" if command == "up" else command)
        running.hang_up()
        assert int(manager.hear_until("RELOADING")["MONOTONIC_USEC"]) > 0
        assert "reloaded" in manager.hear_until("READY")["STATUS"]
        world.path.write_text("nonsense: 1\n")
        running.hang_up()
        manager.hear_until("RELOADING")
        assert "rejected" in manager.hear_until("READY")["STATUS"]
        assert running.end() == 0
        manager.hear_until("STOPPING")


@pytest.mark.long
@pytest.mark.parametrize("where", ["hang", "hang-closing"])
def test_what_hangs_is_left_to_the_watchdog(world: World, manager: Manager, where: str) -> None:
    """WATCHDOG=1 comes while the loop turns, and no more once a source or a reload hangs."""
    arguments = [sys.executable, "-c", FRAGILE, "exporter", "--config", str(world.path)]
    variables = environment(manager, WATCHDOG_USEC="1000000")
    with spawn(arguments, variables) as process:
        manager.hear_until("READY")
        for _ in range(10):
            manager.hear_until("WATCHDOG")
        (world.folder / where).touch()
        if where == "hang-closing":
            process.send_signal(signal.SIGHUP)
        manager.socket.settimeout(4)
        with suppress(TimeoutError):
            for _ in range(40):
                manager.hear()
            pytest.fail("the watchdog is fed though the loop hangs")


@pytest.mark.long
def test_a_store_that_fails_is_no_death(world: World, manager: Manager) -> None:
    """While the store cannot be written, and is tried again, WATCHDOG=1 goes on."""
    arguments = [sys.executable, "-c", FRAGILE, "exporter", "--config", str(world.path)]
    with spawn(arguments, environment(manager, WATCHDOG_USEC="1000000")):
        manager.hear_until("READY")
        (world.folder / "full").touch()
        with world.log.open("a") as log:
            log.write("2026-03-03T10:00:00+00:00 web sshd[1]: Connection closed by 192.0.2.1\n")
        # long enough for a pause between two attempts that is longer than a loop may take
        for _ in range(24):
            manager.hear_until("WATCHDOG")
        assert "heptad_store_failing 1.0" in world.metrics("exporter")


@contextmanager
def spawn(arguments: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its environment, killed at the end."""
    with subprocess.Popen(arguments, env=variables, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()

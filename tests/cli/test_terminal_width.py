"""What fits a terminal: rows and findings in a real one, of 60, 80 and more columns."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from heptad.cli import sample
from heptad.cli.table import format_event, format_heading
from heptad.core.config.schema import load_config
from heptad.core.event import Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.sqlite import LocalStore
from heptad.core.terminal import columns
from tests.support.ports import reserve_port

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def event(**fields: str | int) -> Event:
    """An event with long values in every column."""
    told = {"host": "gate.example.org", "source": "auth", "program": "systemd-logind"}
    told |= {"action": "authentication", "outcome": "failure", "method": "keyboard-interactive"}
    return Event(1_772_366_400 * 10**9, **{**told, "reason": "bad_credential", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("room", [60, 61, 79, 80, 100, 120, 144, 250])
@pytest.mark.parametrize(
    "fields",
    [
        {"user": "管理者" * 20, "source_ip": "2001:db8:1234:5678:9abc:def0:1234:5678"},
        {"user": "a\x1b[2Jb" * 9, "source_domain": "\u202e" * 50, "source_port": 65_535},
        {
            "user": "z\u0301" * 60,
            "target_user": "W" * 300,
            "object": "😀" * 300,
            "count": 1_000_000,
        },
        {"host": "主" * 60, "object": "/bin/sh -c " + "x" * 500},
        {},
    ],
)
def test_a_row_never_takes_more(room: int, fields: dict[str, str | int]) -> None:
    """However wide its characters are, a row and the heading fit into the columns there are."""
    line = format_event(event(**fields), room=room)
    assert columns(line) <= room
    assert columns(format_heading(room)) <= room
    assert "\x1b" not in line


def test_more_room_shows_more() -> None:
    """A wide terminal shows what a narrow one cuts."""
    command = event(user="ann", object="/usr/bin/apt-get install " + "y" * 60)
    assert "y" * 60 in format_event(command, room=250)
    assert "…" in format_event(command, room=80)
    assert "2026-03-01" in format_event(command, room=144)


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, width: int, *command: str | Path) -> None:
        self._main, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        environment = {**os.environ, "TZ": "UTC", "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "heptad", *map(str, command)],
            stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(inner)
        self.seen = ""

    def read(self, *wanted: str) -> str:
        """What it wrote, up to where all that is ``wanted`` was seen, or its end."""
        deadline = time.monotonic() + 60
        while not wanted or not all(text in self.seen for text in wanted):
            ready = select.select([self._main], [], [], deadline - time.monotonic())[0]
            assert ready, self.seen
            try:
                data = os.read(self._main, 65_536)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode("utf-8", "replace")
        return self.seen

    def stop(self) -> int:
        """Press Ctrl-C, and give the exit status."""
        self.process.send_signal(signal.SIGINT)
        self.read()
        os.close(self._main)
        return self.process.wait(timeout=30)


@pytest.mark.table
@pytest.mark.parametrize("width", [60, 80])
def test_up_in_a_terminal(tmp_path: Path, width: int) -> None:
    """Events and findings are one line each, findings in colour, and the end says where it is."""
    failed = "gate sshd[{}]: Failed password for bob from 203.0.113.99 port 2 ssh2"
    lines = [failed.format(n) for n in range(20)]
    lines.append("gate sshd[99]: Accepted password for bob from 203.0.113.99 port 9 ssh2")
    log = tmp_path / "auth.log"
    log.touch()
    path = tmp_path / "heptad.yaml"
    content = {
        "host": "gate",
        "store": {"path": str(tmp_path / "events.db")},
        "sources": [{"type": "file", "name": "auth", "paths": [str(log)]}],
        "exporter": {"listen": f"127.0.0.1:{reserve_port()}", "host_metrics": False},
        "aggregator": {
            "listen": f"127.0.0.1:{reserve_port()}", "store": {"path": str(tmp_path / "reports.db")},
        },
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    terminal = Terminal(width, "up", "--config", path)
    terminal.read("Ctrl-C")
    soon = datetime.now(UTC) + timedelta(seconds=5)  # not before the aggregator has started
    log.write_text("".join(f"{soon.isoformat()} {line}\n" for line in lines))
    terminal.read("Login after failed")
    assert terminal.stop() == 0
    seen = COLOUR.sub("", terminal.seen).replace("\r", "").split("\n")
    begin = next(n for n, line in enumerate(seen) if line.startswith("Time"))
    end = next(n for n, line in enumerate(seen) if line.startswith("Stopped."))
    rows = seen[begin:end]
    assert sum(" login " in row for row in rows) == 21
    assert all(columns(row) <= width for row in rows)
    assert not any("severity=" in row for row in rows)
    [found] = [row for row in rows if row.startswith("MEDIUM ") and "Login after failed" in row]
    assert "203.0.113.99" in found
    assert "\x1b[33mMEDIUM" in terminal.seen
    assert str(tmp_path / "events.db") in "".join(seen[end:])
    assert "heptad events" in "".join(seen[end:]) or "events --since" in "".join(seen[end:])


@pytest.mark.table
@pytest.mark.parametrize("width", [60, 80])
def test_the_report_in_a_terminal(tmp_path: Path, width: int) -> None:
    """What is wider goes on below, under its indentation; only a command stays one line."""
    begin = datetime.now(UTC) - timedelta(minutes=10)
    lines = [
        f"{(begin + timedelta(seconds=n)).isoformat()} gate sshd[{n}]: "
        "Failed password for bob from 203.0.113.99 port 2 ssh2\n"
        for n in range(30)
    ]
    (tmp_path / "auth.log").write_text("".join(lines))
    path = tmp_path / "heptad.yaml"
    content = {
        "host": "gate",
        "store": {"path": str(tmp_path / "events.db")},
        "sources": [{"type": "file", "name": "auth", "paths": [str(tmp_path / "auth.log")]}],
        "aggregator": {"store": {"path": str(tmp_path / "reports.db")}},
    }
    path.write_text(yaml.safe_dump(content))
    for part in ("exporter", "aggregator"):
        command = [sys.executable, "-m", "heptad", part, "--once", "--config", str(path)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    report = Terminal(width, "report", "--config", path)
    told = COLOUR.sub("", report.read()).replace("\r", "").split("\n")
    assert report.stop() == 0
    wide = [line for line in told if columns(line) > width]
    assert all(line.endswith(f"--config {path}") for line in wide), wide
    assert len(wide) == 1
    assert any(line.startswith("              ") and "203.0.113.99" in line for line in told), told


def test_the_sample_keeps_what_an_earlier_run_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second `make run` goes on with the store of the first."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    config, _ = sample.prepare(load_config(None))
    with LocalStore(Path(config.store.path), write=True) as store:
        store.append([row_of_event(event())])
    again, _ = sample.prepare(load_config(None))
    assert again.store.path == config.store.path
    with LocalStore(Path(again.store.path)) as store:
        assert [e.program for e in store.events(0, 2**62)] == ["systemd-logind"]

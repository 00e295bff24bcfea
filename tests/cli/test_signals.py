"""Signals at any moment of a run: status 0, no traceback, every line in the store once."""

import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.ports import reserve_port

LINE = (
    "2026-03-01T10:{:02}:{:02}+00:00 web sshd[{}]: "
    "Failed password for root from 192.0.2.7 port {} ssh2\n"
)
ENDS = (
    [signal.SIGTERM],
    [signal.SIGINT],
    [signal.SIGTERM, signal.SIGTERM],
    [signal.SIGHUP, signal.SIGHUP, signal.SIGTERM],
    [signal.SIGHUP, signal.SIGINT],
)


def write(log: Path, since: int, until: int) -> None:
    """Append lines, each of a process of its own."""
    with log.open("a", encoding="ascii") as file:
        file.writelines(
            LINE.format(n // 60 % 60, n % 60, n + 1, n + 1) for n in range(since, until)
        )


def expects_signals(process: subprocess.Popen[str]) -> bool:
    """Whether it catches SIGTERM by now: before that the interpreter itself is starting."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    caught = re.search(r"^SigCgt:\s+([0-9a-f]+)", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


# behind a shell's & SIGINT is ignored, and a service leaves it so
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from heptad.cli.main import main
sys.exit(main())
"""


@pytest.mark.table
@pytest.mark.parametrize("command", ["exporter", "aggregator", "up"])
def test_signals_at_any_moment(tmp_path: Path, command: str) -> None:
    """A start, a catch-up, a reload or an end that is cut short loses and doubles nothing."""
    moments = random.Random(command)
    log, config = tmp_path / "auth.log", tmp_path / "heptad.yaml"
    sections: dict[str, object] = {
        "host": "web",
        "store": {"path": str(tmp_path / "events.db")},
        "exporter": {"listen": f"127.0.0.1:{reserve_port()}", "host_metrics": False},
        "aggregator": {
            "listen": f"127.0.0.1:{reserve_port()}",
            "store": {"path": str(tmp_path / "reports.db")},
        },
        "sources": [{"name": "auth", "type": "file", "paths": [str(log)]}],
    }
    config.write_text(yaml.safe_dump(sections))
    written = 0
    run = [sys.executable, "-c", START]
    for _ in range(6):
        write(log, written, written + 3000)
        written += 3000
        process = subprocess.Popen(
            [*run, command, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while not expects_signals(process):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(moments.choice([0, moments.uniform(0, 1), moments.uniform(0, 4)]))
        for number in moments.choice(ENDS):
            process.send_signal(number)
            time.sleep(moments.choice([0, 0.01, 0.5]))
        try:
            told, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0, told
        assert "Traceback" not in told
    once = [*run, "exporter", "--once", "--config", str(config)]
    subprocess.run(once, check=True, capture_output=True)
    with sqlite3.connect(tmp_path / "events.db") as db:
        ports = re.findall(
            r"source_port=(\d+)i", " ".join(row[0] for row in db.execute("SELECT body FROM points"))
        )
    assert sorted(map(int, ports)) == list(range(1, written + 1))


FLOOD = """
import os, signal, threading
from heptad.cli.runtime.supervisor import Signals

def flood():
    while not done.is_set():
        os.kill(os.getpid(), signal.SIGHUP)

done = threading.Event()
with Signals(signal.SIGHUP) as signals:
    sender = threading.Thread(target=flood)
    sender.start()
    for _ in range(1000):
        signals.wait(0.0005)
    done.set()
    sender.join()
"""


def test_no_signal_makes_a_wait_endless() -> None:
    """A wait ends though signals that were heard already come whenever its time is over."""
    subprocess.run([sys.executable, "-c", FLOOD], timeout=60, check=True)

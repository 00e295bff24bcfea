"""A running journald and rsyslog: a program moves between the two, with SIGKILL in between."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import yaml

from heptad.core.store.sqlite import LocalStore
from tests.support import needs
from tests.support.real import journald, rsyslog
from tests.support.real.sandbox import Sandbox

ROUNDS = 6
_PID = re.compile(r"\bsu\[(\d+)\]: ")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A machine on which journald forwards what it gets to rsyslog."""
    needs.mount_namespace()
    needs.program("rsyslogd", "systemd-journald", "journalctl")
    with Sandbox() as sandbox:
        journald.start(sandbox, forward=True)
        rsyslog.start(sandbox, input=journald.FORWARDED)
        yield sandbox


class Host:
    """An exporter of the sandbox's logs, and who becomes another user there."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self.store = folder / "events.db"
        self.became = 0

    def become(self, times: int) -> None:
        """Run su so many times; each logs who became whom, a session's begin and its end."""
        script = f"for n in $(seq {times}); do su -s /bin/true nobody; done"
        self._sandbox.run("sh", "-c", script)
        self.became += times

    def configure(self, kind: str) -> Path:
        """A configuration that reads the journal or the file."""
        sources: dict[str, dict[str, object]] = {
            "file": {"paths": [str(self._sandbox.auth_log)]},
            "journald": {"directory": str(self._sandbox.journal)},
        }
        source = {"type": kind, "name": kind, **sources[kind]}
        path = self._folder / f"{kind}.yaml"
        listen = {"listen": "127.0.0.1:0"}
        store = {"path": str(self.store)}
        path.write_text(yaml.safe_dump({"exporter": listen, "store": store, "sources": [source]}))
        return path

    def start(self, kind: str, *more: str) -> subprocess.Popen[bytes]:
        """An exporter of one of the two."""
        config = str(self.configure(kind))
        command = [sys.executable, "-m", "heptad", "exporter", "--config", config]
        return subprocess.Popen(
            [*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def counts(self) -> dict[str, Counter[str]]:
        """How many events each process of su has, by action."""
        found: dict[str, Counter[str]] = {}
        with LocalStore(self.store) as store:
            for event in store.events(0, 2**62):
                if event.program == "su":
                    pid = _PID.search(event.raw)
                    assert pid is not None
                    found.setdefault(event.action, Counter())[pid[1]] += 1
        return found


@pytest.mark.parametrize("seed", [1, 2])
def test_it_moves_back_and_forth(sandbox: Sandbox, tmp_path: Path, seed: int) -> None:
    """Six moves, each cut short by SIGKILL at any moment: nothing is lost, nothing is there twice."""
    random, host = Random(seed), Host(tmp_path, sandbox)
    for number in range(ROUNDS):
        exporter = host.start(("journald", "file")[number % 2])
        host.become(random.randint(1, 5))
        time.sleep(random.uniform(0, 3))  # at any moment: also before it has begun to read
        host.become(random.randint(1, 5))
        exporter.send_signal(signal.SIGKILL)
        exporter.wait()
        host.become(random.randint(1, 3))
    rsyslog.settle(sandbox)
    journald.settle(sandbox)
    for kind in ("journald", "file"):
        host.start(kind, "--once").wait(60)
    counts = host.counts()
    assert set(counts) == {"privilege", "session_open", "session_close"}
    for pids in counts.values():
        assert len(pids) == host.became
        assert set(pids.values()) == {1}

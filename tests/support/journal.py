"""Journal files with chosen fields, made by systemd-journal-remote(8), and their reader."""

import os
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from heptad.exporter.log_record import LogRecord
from heptad.exporter.sources import Gap, RecordBatch
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support import needs

REMOTE = "/lib/systemd/systemd-journal-remote"
BOOT = "0123456789abcdef0123456789abcdef"
SSHD = {
    "SYSLOG_IDENTIFIER": "sshd",
    "_EXE": "/usr/sbin/sshd",
    "_UID": "0",
    "_PID": "7",
    "_HOSTNAME": "gate",
    "_TRANSPORT": "syslog",
    "_SYSTEMD_UNIT": "ssh.service",
}
TAGS = ("sshd", "sudo")


class Journal:
    """A directory of journal files; entries get the times 1, 2, 3, … seconds after ``begin``."""

    def __init__(self, folder: Path, begin: float | None = None) -> None:
        needs.program("journalctl", "systemd-journal-remote")
        self.folder = folder
        self._begin = time.time() - 1000 if begin is None else begin
        self._written = 0

    def write(self, *messages: str | bytes | None, file: str = "a", **fields: str) -> None:
        """Append entries of sshd to one of the files; ``fields`` override its own."""
        export = b"".join(self._export(message, fields) for message in messages)
        path = self.folder / f"{file}.journal"
        subprocess.run(
            [REMOTE, "--output", str(path), "-"],
            input=export,
            check=True,
            capture_output=True,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "err"},
        )

    def _export(self, message: str | bytes | None, fields: dict[str, str]) -> bytes:
        """Return an entry in the Journal Export Format (systemd.io, JOURNAL_EXPORT_FORMATS)."""
        self._written += 1
        at = int((self._begin + self._written) * 10**6)
        head = {"__REALTIME_TIMESTAMP": str(at), "__MONOTONIC_TIMESTAMP": str(self._written)}
        entry = {**head, "_BOOT_ID": BOOT, **SSHD, **fields}
        lines = [f"{key}={value}\n".encode() for key, value in entry.items() if value]
        if message is not None:
            data = message.encode() if isinstance(message, str) else message
            lines.append(b"MESSAGE\n" + struct.pack("<Q", len(data)) + data + b"\n")
        return b"".join(lines) + b"\n"


class Reader:
    """Sources on one journal, started one after the other from the committed state."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.monotonic) -> None:
        self.state: bytes | None = None
        self.records: list[LogRecord] = []
        self.batches: list[RecordBatch] = []
        self._journal = journal
        self._clock = clock
        self.source = self.start()

    def start(self, *, follow: bool = True, tags: Iterable[str] = TAGS) -> JournaldSource:
        """Start a new source from the last state."""
        folder = str(self._journal.folder)
        self.source = JournaldSource("journal", tags, folder, follow=follow, clock=self._clock)
        self.source.restore(self.state)
        self.source.start(threading.Event())
        return self.source

    def read(self) -> RecordBatch | None:
        """Read once, and commit."""
        batch = self.source.read()
        if batch is not None:
            self.state = batch.state
            self.records += batch.records
            self.batches.append(batch)
        return batch

    def read_until(self, holds: Callable[[], object]) -> None:
        """Read until a condition holds; fail after 20 seconds."""
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, self.messages
            if self.read() is None:
                time.sleep(0.005)

    def follow(self) -> None:
        """Read to the end of the journal, until journalctl waits for more."""
        self.read_until(lambda: journalctls() and not self.source.health().catching_up)

    def read_all(self) -> None:
        """Read to the end of the journal with a source that does not wait for more."""
        self.source.close()
        self.start(follow=False)
        while self.read():
            pass
        self.source.close()

    @property
    def messages(self) -> list[str]:
        return [record.message for record in self.records]

    @property
    def gaps(self) -> list[Gap]:
        return [gap for batch in self.batches for gap in batch.gaps]


def journalctls() -> list[psutil.Process]:
    """Return the journalctl child processes of this process."""
    children = psutil.Process().children()
    return [p for p in children if p.name() == "journalctl" and p.status() != "zombie"]


def run_apart(*command: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with private mounts, in a directory from which it can import the project."""
    needs.mount_namespace()
    return subprocess.run(
        ["unshare", "--mount", "--propagation=private", *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        timeout=120,
    )

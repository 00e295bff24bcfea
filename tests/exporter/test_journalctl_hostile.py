"""A journalctl that does not do what it should, and a journal that loses what was not read."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from heptad.exporter.sources.journald.files import find_stale
from heptad.exporter.sources.journald.journalctl import Journalctl
from tests.exporter.test_journald_guard import deaf, pass_time, put_before
from tests.support import needs
from tests.support.clock import Clock
from tests.support.journal import Journal, Reader, journalctls, run_apart
from tests.support.real import journald
from tests.support.real.sandbox import Sandbox, wait_until


def test_nothing_is_left(journal: Journal, reader: Reader) -> None:
    """Where a vacuum left nothing of what is read, that is one gap at once, and only one."""
    journal.write("one", file="a")
    reader.read_until(lambda: reader.messages)
    reader.source.close()
    journal.write("lost", file="a")
    journal.write("of no interest", file="b", SYSLOG_IDENTIFIER="quux")
    (journal.folder / "a.journal").unlink()
    reader.start()
    reader.follow()
    assert [gap.reason for gap in reader.gaps] == ["vacuumed"]
    for number in range(2):
        reader.source.close()
        reader.start()
        reader.follow()
        journal.write(f"new {number}", file="b")
        reader.read_until(lambda: len(reader.messages) == 2 + number)  # noqa: B023
    assert [gap.reason for gap in reader.gaps] == ["vacuumed"]
    assert reader.messages == ["one", "new 0", "new 1"]


def test_a_folder_that_returns_is_no_gap(journal: Journal, reader: Reader, clock: Clock) -> None:
    """A journal that is away for a while, as a disk is that is not mounted, has lost nothing."""
    journal.write("one")
    reader.read_until(lambda: reader.messages)
    reader.source.close()
    away = journal.folder.rename(journal.folder.with_name("away"))
    journal.folder.mkdir()
    reader.start()
    pass_time(reader, clock, lambda: deaf(reader) or reader.source.health().problem, 100)
    journal.folder.rmdir()
    away.rename(journal.folder)
    journal.write("two")
    pass_time(reader, clock, lambda: len(reader.messages) == 2, 200)
    assert (reader.messages, reader.gaps) == (["one", "two"], [])


def test_a_vacuum_while_it_follows(journal: Journal, reader: Reader) -> None:
    """A journal that is rotated and vacuumed while it is followed loses and doubles nothing."""
    journal.write("start", file="0")
    reader.follow()
    for number in range(10):
        journal.write(f"line {number}", file=str(number))
        reader.read_until(lambda: len(reader.messages) == 2 + number)  # noqa: B023
        (journal.folder / f"{number}.journal").unlink()
        if number == 5:
            reader.source.close()
            journal.write("also", file="5b")
            reader.start()
            reader.read_until(lambda: "also" in reader.messages)
            reader.messages.remove("also")
            del reader.records[-1]
    # the one gap is that of the restart: the entry at the position was gone
    assert [gap.reason for gap in reader.gaps] == ["vacuumed"]
    assert reader.messages == ["start", *(f"line {n}" for n in range(10))]


@pytest.mark.parametrize("every", [4, 20, 60])
def test_it_is_killed_again_and_again(
    journal: Journal, reader: Reader, clock: Clock, every: int
) -> None:
    """A follower that is killed every few seconds is a problem all the time; nothing is lost."""
    reader.follow()
    problems = []
    for number in range(8):
        for process in journalctls():
            process.kill()
        journal.write(f"line {number}")
        pass_time(reader, clock, lambda: len(reader.messages) > number, 200)  # noqa: B023
        for _ in range(every // 2):
            clock.now += 2
            reader.read()
            time.sleep(0.005)
            if number >= 4:
                problems.append(reader.source.health().problem)
    assert None not in problems
    assert reader.messages == [f"line {number}" for number in range(8)]
    pass_time(reader, clock, lambda: reader.source.health().problem is None, 900)


def test_it_is_stopped(journal: Journal, reader: Reader, clock: Clock) -> None:
    """A follower that was stopped by a signal is found out, ended at once, and nothing is lost."""
    journal.write("one")
    reader.follow()
    for process in journalctls():
        process.send_signal(signal.SIGSTOP)
    journal.write("two")
    longest = 0.0
    end = clock.now + 200
    while len(reader.messages) < 2 and clock.now < end:
        clock.now += 1
        begun = time.monotonic()
        reader.read()
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.01)
    assert len(reader.messages) == 2
    assert "stalled" in deaf(reader)
    assert longest < 4.5  # what ends a process by SIGTERM waits 5 s for one that is stopped
    assert [p for p in psutil.Process().children() if p.status() == "stopped"] == []


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 1", "journalctl ended"),
        ("echo no such thing >&2; exit 1", "no such thing"),
        ("exit 0", "journalctl ended"),
        ("echo garbage; exit 0", "journalctl ended"),
        ("exec tr '\\0' x </dev/zero", "has printed nothing"),
        ("exec sleep 1000", "has printed nothing"),
    ],
)
def test_another_journalctl(
    journal: Journal,
    reader: Reader,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str,
    told: str,
) -> None:
    """Whatever is in its place is a lasting problem within five minutes, and holds up nobody."""
    put_before(monkeypatch, tmp_path / "bin", follow=script, question=script)
    journal.write("one")

    def describe() -> str:
        health = reader.source.health()
        return f"{health.problem} {health.deaf}"

    def read_on(seconds: int) -> None:
        end = clock.now + seconds
        while clock.now < end:
            clock.now += 1
            begun = time.monotonic()
            reader.read()
            assert time.monotonic() - begun < 6
            time.sleep(0.01)

    read_on(240)
    for _ in range(30):
        assert told in describe()
        read_on(1)
    put_before(monkeypatch, tmp_path / "bin")
    pass_time(reader, clock, lambda: reader.messages == ["one"], 900)
    pass_time(reader, clock, lambda: describe() == "None {}", 900)


def test_a_line_that_never_ends(tmp_path: Path) -> None:
    """What is taken at once is bounded, also where no line ends."""
    program = Journalctl(["sh", "-c", "exec tr '\\0' x </dev/zero"], threading.Event())
    for _ in range(20):
        assert program.take(wait=1.0) == []
    program.close()


def test_a_journal_that_nobody_writes(tmp_path: Path) -> None:
    """Files that are older than the start of the machine are found out; newer ones are well."""
    if time.clock_gettime(time.CLOCK_BOOTTIME) < 900:
        pytest.skip("this machine has just started")
    file = tmp_path / "system.journal"
    assert find_stale([tmp_path]) == []
    file.touch()
    assert find_stale([tmp_path, tmp_path / "none"]) == []
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    os.utime(file, (started - 1000, started - 1000))
    (told,) = find_stale([tmp_path])
    assert "check Storage= in journald.conf(5)" in told


ANOTHER_ID = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/log/journal/"$1" /mnt/run
echo "$1" >/mnt/id
mount --bind /mnt/id /etc/machine-id
mount --bind /mnt/log /var/log
mount --bind /mnt/run /run
exec "$2" -c "$3" "$1"
"""
READ_ON = """
import sys, time
from pathlib import Path
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support import needs
from tests.support.clock import Clock
from tests.support.journal import Journal, Reader
old, new = sys.argv[1], "f" * 32
clock = Clock()
folder = Path("/var/log/journal")
written = Journal(folder / old, time.time() - 900)
written.write("one", _MACHINE_ID=old, file="system")
reader = Reader(written)
reader.source.close()
reader.source = JournaldSource("journal", ["sshd"], clock=clock.monotonic)
def read(count):
    end = time.monotonic() + 30
    while len(reader.messages) < count and time.monotonic() < end:
        clock.now += 1
        reader.read()
        time.sleep(0.01)
read(1)
Path("/etc/machine-id").write_text(new)
clock.now += 20
written.write("still under the old one", _MACHINE_ID=old, file="system")
read(2)
for _ in range(150):
    clock.now += 1
    reader.read()
    time.sleep(0.005)
written.write("for some time", _MACHINE_ID=old, file="system")
read(3)
(folder / new).mkdir()
later = Journal(folder / new, time.time() - 500)
later.write(*"abcd", _MACHINE_ID=new, file="system", SYSLOG_IDENTIFIER="quux")
later.write("new", _MACHINE_ID=new, file="system")
read(4)
health = reader.source.health()
reader.source.close()
print(reader.messages, reader.gaps, health.problem, list(health.deaf))
"""


def test_another_machine_id() -> None:
    """What a journald that runs writes under the id that it had is read, and then the new one's."""
    done = run_apart("sh", "-c", ANOTHER_ID, "sh", "0123456789abcdef" * 2, sys.executable, READ_ON)
    messages = ["one", "still under the old one", "for some time", "new"]
    assert done.stdout.strip() == f"{messages} [] None []", done.stderr


ASK = """
from pathlib import Path
from heptad.exporter.sources.journald import files as journal_files
journal_files._SETTLED = 0.0
print(journal_files.find_stale([*Path("/run/log/journal").iterdir()]))
"""


def test_a_journald_that_stores_nothing() -> None:
    """A running journald that was started again with `Storage=none` is found out."""
    needs.mount_namespace()
    needs.program("systemd-journald")
    with Sandbox() as sandbox:

        def ask() -> str:
            root = str(Path(__file__).resolve().parents[2])
            env = {"PYTHONPATH": root}
            return sandbox.run(sys.executable, "-c", ASK, env=env).stdout

        journald.start(sandbox)
        assert ask() == "[]\n"
        config = "[Journal]\nStorage=none\nReadKMsg=no\n"
        sandbox.write("/etc/systemd/journald.conf", config)
        sandbox.run("sh", "-c", "kill $(pidof systemd-journald)")
        sandbox.daemons[-1].wait(20)
        for file in sandbox.journal.glob("*/*.journal"):
            os.utime(file, (time.time() - 60, time.time() - 60))
        sandbox.start("/lib/systemd/systemd-journald")
        wait_until(lambda: ask() != "[]\n", "journald")
        assert "check Storage=" in ask()


FULL = """
import subprocess
from pathlib import Path
from heptad.exporter.sources.journald.files import find_full
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"], check=True)
folders = [Path("/mnt"), Path("/nowhere")]
before = find_full(folders)
try:
    Path("/mnt/filler").write_bytes(bytes(2**21))
except OSError:
    print(before, find_full(folders))
"""


def test_a_journal_on_a_full_disk() -> None:
    """The folder of a journal without space left is found out."""
    done = run_apart(sys.executable, "-c", FULL)
    told = "/mnt: the disk is full, so journald drops messages"
    assert done.stdout.strip() == f"[] ['{told}']", done.stderr

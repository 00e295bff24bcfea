"""A journal that is read and not heard: found out by evidence, reported, and mended if it can be."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support.clock import Clock
from tests.support.journal import Journal, Reader, journalctls, run_apart
from tests.support.rulebook import RULEBOOK

WRAPPER = """#!/bin/sh
for word in "$@"; do
    if [ "$word" = --follow ]; then {follow}; fi
done
{question}
exec /usr/bin/journalctl "$@"
"""
MODULE = "Invalid verification code for root"


def put_before(
    monkeypatch: pytest.MonkeyPatch, folder: Path, follow: str = ":", question: str = ""
) -> None:
    """Put a journalctl before the real one that follows, or answers, in another way."""
    folder.mkdir(exist_ok=True)
    wrapper = folder / "journalctl"
    wrapper.write_text(WRAPPER.format(follow=follow, question=question))
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def pass_time(reader: Reader, clock: Clock, holds: Callable[[], object], most: float) -> float:
    """Let seconds pass, each with a few looks, until something holds; how many it took."""
    begun = clock.now
    while not holds():
        assert clock.now - begun < most, (reader.messages, reader.source.health())
        clock.now += 2
        for _ in range(3):
            reader.read()
            time.sleep(0.01)
    return clock.now - begun


def deaf(reader: Reader) -> dict[str, str]:
    """Why the source is deaf."""
    return reader.source.health().deaf


def test_a_follower_that_delivers_nothing(
    journal: Journal,
    reader: Reader,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What the journal holds is found without --follow, read once, and the deafness is reported."""
    put_before(monkeypatch, tmp_path / "bin", follow="exec sleep 1000")
    journal.write("one")
    reader.read_until(lambda: reader.messages == ["one"])
    pass_time(reader, clock, lambda: not reader.source.health().catching_up, 30)
    for number in range(3):
        journal.write(f"deaf {number}")
        pass_time(reader, clock, lambda: len(reader.messages) == 2 + number, 90)  # noqa: B023
        assert "did not deliver entries of the journal" in deaf(reader)["stalled"]
    assert reader.messages == ["one", "deaf 0", "deaf 1", "deaf 2"]
    assert reader.gaps == []
    # without anything new it is still not known to deliver
    pass_time(reader, clock, lambda: clock.now % 300 < 2, 400)
    assert "stalled" in deaf(reader)
    put_before(monkeypatch, tmp_path / "bin")
    journal.write("heard again")
    pass_time(reader, clock, lambda: len(reader.messages) == 5, 90)
    journal.write("and again")
    pass_time(reader, clock, lambda: not deaf(reader), 200)
    assert reader.messages[4:] == ["heard again", "and again"]


def test_a_follower_that_is_deaf_from_the_start(
    journal: Journal,
    reader: Reader,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The first entry of all, where there is no cursor yet, is found in the same way."""
    put_before(monkeypatch, tmp_path / "bin", follow="exec sleep 1000")
    journal.write("other", SYSLOG_IDENTIFIER="quux")
    pass_time(reader, clock, lambda: not reader.source.health().catching_up, 30)
    journal.write("one")
    pass_time(reader, clock, lambda: reader.messages == ["one"], 90)
    assert "stalled" in deaf(reader)


def test_a_follower_that_delivers(journal: Journal, reader: Reader, clock: Clock) -> None:
    """Hours of questions find nothing where the follower delivers, and nothing is read twice."""
    journal.write("one")
    reader.follow()
    for number in range(30):
        journal.write(f"more {number}")
        reader.read_until(lambda: len(reader.messages) == 2 + number)  # noqa: B023
        pass_time(reader, clock, lambda: clock.now % 120 < 2, 130)
        clock.now += 2
        assert deaf(reader) == {}
    assert len(reader.messages) == len(set(reader.messages)) == 31
    assert len(journalctls()) <= 2


def test_a_loop_that_slept(journal: Journal, reader: Reader, clock: Clock) -> None:
    """After a suspension the follower gets time to deliver before it is doubted."""
    journal.write("one")
    reader.follow()
    for _ in range(3):
        clock.now += 100_000
        journal.write("x")
        reader.read_until(lambda: reader.messages[-1] == "x")
        reader.read()
        assert deaf(reader) == {}


def test_a_corrupt_file(journal: Journal, reader: Reader, clock: Clock) -> None:
    """A file that journalctl refuses is a problem within two minutes, until it is moved away."""
    journal.write("one", file="a")
    journal.write("two", file="b")
    corrupt = journal.folder / "b.journal"
    whole = corrupt.read_bytes()
    for broken in (b"XXXX" + whole[4:], whole[:100], whole[:12] + b"\xff" + whole[13:]):
        corrupt.write_bytes(broken)
        pass_time(reader, clock, lambda: deaf(reader), 120)
        assert str(corrupt) in deaf(reader)["files_refused"]
        corrupt.rename(journal.folder / "b.set-aside")
        pass_time(reader, clock, lambda: not deaf(reader), 120)
    journal.write("three", file="a")
    reader.read_until(lambda: "three" in reader.messages)


def test_a_corrupt_file_read_once(journal: Journal) -> None:
    """Who reads only once is told at once."""
    journal.write("one", file="a")
    journal.write("two", file="b")
    (journal.folder / "b.journal").write_bytes(b"x" * 300)
    source = JournaldSource("journal", ["sshd"], str(journal.folder), follow=False)
    while source.read():
        pass
    assert "b.journal" in source.health().deaf["files_refused"]
    source.close()


def test_a_folder_that_is_gone(journal: Journal, reader: Reader, clock: Clock) -> None:
    """A folder whose files were removed is a problem, and what comes to it then is read."""
    journal.write("one")
    reader.follow()
    moved = journal.folder.rename(journal.folder.with_name("away"))
    pass_time(reader, clock, lambda: deaf(reader) or reader.source.health().problem, 200)
    journal.folder.mkdir()
    journal.write("two", file="new")
    pass_time(reader, clock, lambda: "two" in reader.messages, 200)
    journal.write("three", file="new")
    pass_time(reader, clock, lambda: not deaf(reader), 200)
    assert moved.exists()
    assert reader.messages == ["one", "two", "three"]


def test_a_journal_that_moves(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    """The folder of a host that makes its journal persistent is another one: it is followed there."""
    where = [str(journal.folder)]
    reader = Reader(journal)
    reader.source.close()
    reader.source = JournaldSource("journal", ["sshd"], lambda: where[0], clock=clock.monotonic)
    reader.source.start(threading.Event())
    journal.write("one")
    reader.read_until(lambda: reader.messages)
    pass_time(reader, clock, lambda: not reader.source.health().catching_up, 30)
    (tmp_path / "var").mkdir()
    persistent = Journal(tmp_path / "var", time.time() - 500)
    persistent.write("two")
    where[0] = str(tmp_path / "var")
    pass_time(reader, clock, lambda: "two" in reader.messages, 120)
    assert reader.messages == ["one", "two"]
    reader.source.close()


@pytest.mark.parametrize("stage", ["question", "catching up"])
def test_journalctl_hangs(
    journal: Journal,
    reader: Reader,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stage: str,
) -> None:
    """A journalctl that neither writes nor ends is a problem within five minutes, and is ended."""
    journal.write("one")
    if stage == "question":
        reader.follow()
    put_before(monkeypatch, tmp_path / "bin", question="exec sleep 1000")
    took = pass_time(reader, clock, lambda: "unanswered" in deaf(reader), 300)
    assert took >= 60
    put_before(monkeypatch, tmp_path / "bin")
    pass_time(reader, clock, lambda: not deaf(reader), 900)
    journal.write("two")
    pass_time(reader, clock, lambda: reader.messages == ["one", "two"], 100)


def test_modules_and_facilities(journal: Journal, reader: Reader) -> None:
    """A tag with a module is read as in a file, and PAM's lines under any name are asked for."""
    journal.write(MODULE, SYSLOG_IDENTIFIER="sshd(pam_google_authenticator)", SYSLOG_FACILITY="10")
    opened = "pam_unix(teleport:session): session opened for user ann(uid=1000) by (uid=0)"
    journal.write(opened, SYSLOG_IDENTIFIER="teleport", SYSLOG_FACILITY="10", _EXE="/opt/teleport")
    journal.write(opened, SYSLOG_IDENTIFIER="teleport", SYSLOG_FACILITY="4", _UID="1000")
    journal.write("nothing of ours", SYSLOG_IDENTIFIER="teleport", SYSLOG_FACILITY="3")
    reader.read_all()
    normalizer = Normalizer(RULEBOOK, "gate", "journal")
    events = [normalize_record(normalizer, record) for record in reader.records]
    assert [event and (event.program, event.action, event.user) for event in events] == [
        ("sshd", "authentication", "root"),
        ("pam", "session_open", "ann"),
        None,
    ]
    assert reader.records[0].raw == f"sshd(pam_google_authenticator)[7]: {MODULE}"


def test_entries_of_the_same_time(journal: Journal, reader: Reader, clock: Clock) -> None:
    """Entries whose order is not certain are read once, also when journalctl begins to follow."""
    begin = time.time() - 500
    Journal(journal.folder, begin).write("one", file="a")
    Journal(journal.folder, begin).write("two", file="b")
    pass_time(reader, clock, lambda: not reader.source.health().catching_up, 30)
    pass_time(reader, clock, lambda: clock.now % 300 < 2, 400)
    Journal(journal.folder, begin + 100).write("three", file="a")
    reader.read_until(lambda: "three" in reader.messages)
    assert sorted(reader.messages) == ["one", "three", "two"]
    assert (reader.gaps, deaf(reader)) == ([], {})


NAMESPACES = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/log/journal/"$1" /mnt/log/journal/"$1".web /mnt/run
echo "$1" >/mnt/id
mount --bind /mnt/id /etc/machine-id
mount --bind /mnt/log /var/log
mount --bind /mnt/run /run
exec "$2" -c "$3" "$1"
"""
READ_NAMESPACES = """
import sys, threading, time
from pathlib import Path
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support.journal import Journal
own = sys.argv[1]
host, web, other = (Path("/var/log/journal") / name for name in (own, own + ".web", "f" * 32))
other.mkdir()
Journal(host, time.time() - 900).write("host", _MACHINE_ID=own, file="system")
Journal(other, time.time() - 800).write("other machine", _MACHINE_ID="f" * 32, file="system")
unit = Journal(web, time.time() - 700)
unit.write("unit", _MACHINE_ID=own, file="system")
source = JournaldSource("journal", ["sshd"])
source.start(threading.Event())
seen, end = [], time.monotonic() + 20
while len(seen) < 3 and time.monotonic() < end:
    batch = source.read()
    seen += [record.message for record in batch.records] if batch else []
    if len(seen) == 2 and not source.health().catching_up and unit is not None:
        unit.write("followed", _MACHINE_ID=own, file="system")
        unit = None
    time.sleep(0.01)
source.close()
print(seen)
"""


def test_the_journals_of_this_machine() -> None:
    """The system's journal and its namespaces are read and followed, no other machine's."""
    done = run_apart(
        "sh", "-c", NAMESPACES, "sh", "0123456789abcdef" * 2, sys.executable, READ_NAMESPACES
    )
    assert done.stdout.strip() == "['host', 'unit', 'followed']", done.stderr

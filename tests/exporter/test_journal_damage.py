"""Damage inside the files of a journal: what is lost is a gap, what can be read is read, once."""

import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.exporter.test_journald_guard import deaf, pass_time
from tests.support.clock import Clock
from tests.support.journal import Journal, Reader

LINES = 300
CHANGED = 10


def is_told(reader: Reader) -> bool:
    """Whether the reader knows that something is not seen."""
    return bool(reader.gaps or deaf(reader) or reader.source.health().problem)


def begin(folder: Path, clock: Clock) -> tuple[Journal, Reader]:
    """A journal of many lines, and its reader."""
    folder.mkdir()
    journal = Journal(folder)
    journal.write(*(f"line {number}" for number in range(LINES)))
    return journal, Reader(journal, clock.monotonic)


def damage(path: Path, seed: int, count: int) -> None:
    """Set some bytes of a file of the journal, among its entries, to others."""
    random, data = Random(seed), bytearray(path.read_bytes())
    begin, end = data.index(b"MESSAGE="), len(data.rstrip(b"\0"))
    for _ in range(count):
        data[random.randrange(begin, end)] = random.randrange(256)
    path.write_bytes(data)


def keep_reading(reader: Reader, clock: Clock, seconds: int) -> None:
    """Let so many seconds pass, two at a time, with time for journalctl to end."""
    for _ in range(0, seconds, 2):
        clock.now += 2
        for _ in range(4):
            reader.read()
            time.sleep(0.005)


@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 10]), st.booleans())
def test_bytes_that_changed(
    tmp_path_factory: pytest.TempPathFactory,
    clock: Clock,
    seed: int,
    count: int,
    followed: bool,
) -> None:
    """Whatever bytes change: no line is read twice, and where lines are lost that is told."""
    journal, reader = begin(tmp_path_factory.mktemp("damage") / "journal", clock)
    try:
        if followed:
            reader.read_until(lambda: len(reader.messages) == LINES)
            pass_time(reader, clock, lambda: not reader.source.health().catching_up, 30)
        damage(journal.folder / "a.journal", seed, count)
        keep_reading(reader, clock, 200)
        assert len(reader.messages) <= LINES
        assert is_told(reader) or len(reader.messages) == LINES
    finally:
        reader.source.close()


def end_journalctl(path: Path) -> None:
    """Change some bytes so that journalctl ends there, after some lines, whenever it is started."""
    whole = path.read_bytes()

    def ask(output: str) -> tuple[int, int]:
        command = ["journalctl", f"--directory={path.parent}", f"--output={output}", "--quiet"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode, done.stdout.count(b"\n")

    for seed in range(100):
        path.write_bytes(whole)
        damage(path, seed, CHANGED)
        failed, lines = ask("json")
        # what needs less of an entry shows that nearly all of them can be reached
        if failed and 10 < lines < LINES - 10 and ask("short")[1] > LINES - 4:
            return
    pytest.fail("no damage ends journalctl")


def test_an_entry_at_which_journalctl_ends(tmp_path: Path, clock: Clock) -> None:
    """Reading goes on right behind an entry at which journalctl ends whenever it is started."""
    journal, reader = begin(tmp_path / "journal", clock)
    try:
        end_journalctl(journal.folder / "a.journal")
        pass_time(reader, clock, lambda: len(reader.messages) >= LINES - CHANGED, 400)
        pass_time(reader, clock, lambda: reader.source.health().problem is None, 1000)
        assert len(reader.messages) <= LINES
        assert {gap.reason for gap in reader.gaps} == {"unreadable"}
        gaps = len(reader.gaps)
        journal.write("more", file="b")
        reader.read_until(lambda: "more" in reader.messages)
        read = len(reader.messages)
        reader.source.close()
        reader.start()
        keep_reading(reader, clock, 100)
        assert len(reader.messages) == read
        # journalctl may name damage again that is right before the cursor, and not say where it is
        assert len(reader.gaps) <= gaps + 1
    finally:
        reader.source.close()


def test_the_number_of_an_entry(tmp_path: Path, clock: Clock) -> None:
    """An entry whose number grew hides what was there; new lines are heard all the same."""
    journal, reader = begin(tmp_path / "journal", clock)
    path = journal.folder / "a.journal"
    damage(path, 342, 1)  # as of systemd 252; another layout has other damage
    keep_reading(reader, clock, 60)
    before = len(reader.messages)
    assert is_told(reader) or before == LINES
    later = Journal(journal.folder, time.time() + 10)
    for number in range(3):
        later.write(f"new {number}")
        pass_time(reader, clock, lambda: f"new {number}" in reader.messages, 200)  # noqa: B023
    assert reader.messages[before:] == [f"new {n}" for n in range(3)]
    reader.source.close()

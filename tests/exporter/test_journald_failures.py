"""The journal as a source where something fails: told once, tried again, and nothing lost."""

import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from heptad.exporter.sources.journald.source import JournaldSource
from tests.support.clock import Clock
from tests.support.journal import Journal, Reader, journalctls


def test_journalctl_dies(journal: Journal, reader: Reader, clock: Clock) -> None:
    """A journalctl that dies is a problem, is started again after a while, and nothing is lost."""
    journal.write("one")
    for number in range(3):
        reader.follow()
        [process] = journalctls()
        process.kill()
        journal.write(f"while it was dead {number}")
        reader.read_until(lambda: reader.source.health().problem)
        assert reader.source.health().problem == "journalctl ended"
        assert journalctls() == []
        clock.now += 1000
        reader.read_until(lambda: len(reader.messages) == number + 2)  # noqa: B023 - called at once
        assert reader.source.health().problem is None
    assert reader.messages == ["one", *(f"while it was dead {n}" for n in range(3))]
    assert reader.gaps == []


def test_it_is_well_again_without_an_entry(journal: Journal, reader: Reader, clock: Clock) -> None:
    """A journalctl that was started again and stays is no problem, also where nothing is logged."""
    reader.follow()
    journalctls()[0].kill()
    reader.read_until(lambda: reader.source.health().problem)
    clock.now += 10
    reader.follow()
    clock.now += 1000
    reader.read()
    assert reader.source.health().problem is None
    assert len(journalctls()) == 1


def test_back_off(monkeypatch: pytest.MonkeyPatch, clock: Clock, tmp_path: Path) -> None:
    """A journalctl that fails at once is started ever more seldom, and its words are the problem."""
    starts, fake = tmp_path / "starts", tmp_path / "journalctl"
    fake.write_text(f"#!/bin/sh\necho >> {starts}\necho no such journal >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    source = JournaldSource("journal", ["sshd"], clock=clock.monotonic)
    for _ in range(500):
        assert source.read() is None
        clock.now += 1
        time.sleep(0.001)
    deadline = time.monotonic() + 20
    while source.health().problem is None and time.monotonic() < deadline:
        source.read()
    assert source.health().problem == "no such journal"
    assert source.health().catching_up
    source.close()
    assert 3 <= len(starts.read_text().splitlines()) <= 20


def test_no_journalctl(
    journal: Journal, reader: Reader, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without journalctl the source says what to do, and goes on once it is there."""
    journal.write("one")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nowhere")
        for _ in range(3):
            assert reader.read() is None
            clock.now += 1000
        assert "install systemd, or read a log file instead" in str(reader.source.health().problem)
    reader.read_until(lambda: reader.messages == ["one"])
    assert reader.source.health().problem is None


def test_a_vacuumed_journal(journal: Journal, reader: Reader) -> None:
    """Where the entry at the position is gone, that is one gap, and what is left is read."""
    journal.write("one", "two", file="a")
    reader.read_until(lambda: len(reader.messages) == 2)
    reader.source.close()
    journal.write("lost", file="a")
    journal.write("three", "four", file="b")
    (journal.folder / "a.journal").unlink()
    reader.start()
    reader.read_until(lambda: len(reader.messages) == 4)
    assert reader.messages == ["one", "two", "three", "four"]
    assert [gap.reason for gap in reader.gaps] == ["vacuumed"]
    reader.source.close()
    reader.read_all()
    assert len(reader.gaps) == 1


@pytest.mark.parametrize("plain", [False, True])
def test_other_programs(journal: Journal, reader: Reader, plain: bool) -> None:
    """Where other programs are read than before, the position holds, and that is no gap."""
    journal.write("one", SYSLOG_IDENTIFIER="sudo")
    reader.read_until(lambda: reader.messages)
    reader.source.close()
    journal.write("two")
    assert reader.state
    if plain:
        reader.state = reader.state.partition(b"\n")[0]
    source = reader.start(tags=["sshd"])
    reader.read_until(lambda: len(reader.messages) == 2)
    source.close()
    reader.start(tags=["sshd"])
    reader.follow()
    journal.write("three")
    reader.read_until(lambda: len(reader.messages) == 3)
    assert (reader.messages, reader.gaps) == (["one", "two", "three"], [])


@pytest.mark.parametrize("failing", ["subprocess.Popen", "threading.Thread.start"])
def test_no_process_is_to_be_had(
    journal: Journal,
    reader: Reader,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    """Where no process or thread can be started, that is a problem, and is tried again."""
    journal.write("one")
    kind = OSError if failing == "subprocess.Popen" else RuntimeError
    with monkeypatch.context() as patched:
        patched.setattr(failing, Mock(side_effect=kind("none to be had")))
        for _ in range(3):
            assert reader.read() is None
            clock.now += 1000
        problem = reader.source.health().problem
        assert problem == "cannot run journalctl: none to be had"
        assert journalctls() == []
    reader.read_until(lambda: reader.messages == ["one"])
    assert reader.source.health().problem is None


def test_no_process_to_wait_for_more(
    journal: Journal, reader: Reader, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the second journalctl, the one that stays, cannot be started, nothing is lost."""
    journal.write("one")
    reader.read_until(lambda: reader.messages)
    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", Mock(side_effect=OSError("none to be had")))
        reader.read_until(lambda: reader.source.health().problem)
    journal.write("two")
    clock.now += 1000
    reader.read_until(lambda: len(reader.messages) == 2)
    assert (reader.messages, reader.gaps) == (["one", "two"], [])


def test_an_empty_journal_after_a_vacuum(journal: Journal, reader: Reader) -> None:
    """Where nothing is left at all, the gap is told with the first entry that comes."""
    journal.write("one", file="a")
    reader.read_until(lambda: reader.messages)
    (journal.folder / "a.journal").unlink()
    reader.read_all()
    assert reader.gaps == []
    journal.write("two", file="b")
    reader.read_all()
    assert (reader.messages, [gap.reason for gap in reader.gaps]) == (["one", "two"], ["vacuumed"])


def test_what_is_no_json(journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A line that journalctl garbled is counted and kept, and the next one is read."""
    fake = tmp_path / "journalctl"
    good = '{"__CURSOR":"c","__REALTIME_TIMESTAMP":"1","MESSAGE":"m","SYSLOG_IDENTIFIER":"sshd"}'
    listed = good.replace('"m"', '["m","n"]').replace('"sshd"', '["sshd","x"]')
    fake.write_text(
        f"#!/bin/sh\ncat <<'EOF'\n\n{{\n[1]\n{good[:-1]},\"_PID\":[1]}}\n{good}\n{listed}\nEOF\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    source = JournaldSource("journal", ["sshd"], follow=False)
    batch = source.read()
    assert batch is not None
    assert [record.message for record in batch.records] == ["m", "m"]
    assert batch.headless == 4
    assert batch.state.startswith(b"c\n")
    assert len(batch.strange) == 4
    source.close()

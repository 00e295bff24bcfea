"""The journal as a source: every entry once, whoever dies, and every part that is lost is told."""

import threading
import time
from pathlib import Path

import msgspec
import pytest

from heptad.core.store.sqlite import LocalStore
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.parsing.rulebook import load_rulebook
from heptad.exporter.pipeline import Pipeline
from heptad.exporter.running_source import RunningSource
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support.journal import Journal, Reader
from tests.support.rulebook import RULEBOOK

WRONG = "Failed password for ann from 192.0.2.7 port 22 ssh2"


def test_a_record(journal: Journal, reader: Reader) -> None:
    """An entry is a record with what journald vouches for, and only chosen programs are read."""
    journal.write(WRONG)
    journal.write("x", SYSLOG_IDENTIFIER="cron")
    journal.write("y", SYSLOG_IDENTIFIER="sudo", _PID="", _EXE="", _UID="1000", _HOSTNAME="")
    reader.read_all()
    [one, other] = reader.records
    assert (one.host, one.app_name, one.pid) == ("gate", "sshd", "7")
    assert (one.message, one.raw) == (WRONG, f"sshd[7]: {WRONG}")
    assert 0 < time.time_ns() - one.time < 2000 * 10**9
    provenance = one.provenance
    assert (provenance.trusted, provenance.exe, provenance.uid) == (True, "/usr/sbin/sshd", 0)
    assert (provenance.unit, provenance.transport, provenance.path) == (
        "ssh.service",
        "syslog",
        None,
    )
    assert (other.host, other.app_name, other.pid) == (None, "sudo", None)
    assert (other.message, other.raw) == ("y", "sudo: y")
    assert (other.provenance.exe, other.provenance.uid) == (None, 1000)


def test_the_time_of_the_writer(journal: Journal, reader: Reader) -> None:
    """The time is when it was sent, where journald knows that, and never one that cannot be."""
    journal.write("a", _SOURCE_REALTIME_TIMESTAMP="1700000000123456")
    journal.write("b", _SOURCE_REALTIME_TIMESTAMP="x")
    journal.write("c", _SOURCE_REALTIME_TIMESTAMP="9" * 18)
    reader.read_all()
    assert reader.messages == ["a", "b", "c"]
    assert reader.records[0].time == 1_700_000_000_123_456_000
    for record in reader.records[1:]:
        assert 0 < time.time_ns() - record.time < 2000 * 10**9


def test_a_daemons_own_stamp_on_its_standard_error(journal: Journal, reader: Reader) -> None:
    """dropbear -E writes process and time itself: the event has its process, not journald's."""
    journal.write(
        "[15390] Oct 05 23:37:49 Bad password attempt for 'alice' from 203.0.113.7:51000",
        SYSLOG_IDENTIFIER="dropbear",
        _EXE="/usr/sbin/dropbear",
        _PID="15386",
        _TRANSPORT="stdout",
    )
    reader.source.close()
    reader.start(follow=False, tags=["dropbear"])
    while reader.read():
        pass
    normalizer = Normalizer(RULEBOOK, "gate", "journal")
    (event,) = [normalize_record(normalizer, record) for record in reader.records]
    assert event is not None
    assert (event.user, event.pid, event.source_ip) == ("alice", 15390, "203.0.113.7")


def test_strange_messages(journal: Journal, reader: Reader) -> None:
    """Bytes, line breaks and folded lines come through; what has no text is counted."""
    journal.write(b"\xffa\x00\x1b", "two\nlines", None, "", "x" * 16_384)
    journal.write(f"message repeated 3 times: [ {WRONG}]")
    journal.write("bytes", _EXE="/home/\N{SNOWMAN}/sshd")
    reader.read_all()
    assert reader.messages == [
        "\\xffa\\x00\x1b",
        "two\nlines",
        "",
        "",
        "x" * 16_384,
        WRONG,
        "bytes",
    ]
    assert reader.records[5].count == 3
    assert sum(batch.oversized for batch in reader.batches) == 0


def test_long_messages(journal: Journal, reader: Reader) -> None:
    """A long message is cut; an entry beyond all measure is counted, and the next one is read."""
    journal.write("x" * 16_385, b"\xff" * 20_000, b"\xff" * 500_000, "last", "y" * 1_500_000)
    reader.read_all()
    first, second, *rest = reader.messages
    assert first == "x" * 16_384 + "…"
    assert second.startswith("\\xff\\xff")
    assert len(second) == 16_385
    assert rest == ["last"]
    assert reader.records[0].raw == f"sshd[7]: {first}"
    assert sum(batch.oversized for batch in reader.batches) == 2


@pytest.mark.parametrize("length", [10, 5000, 20_000])
def test_a_long_command_hides_nothing(journal: Journal, reader: Reader, length: int) -> None:
    """However long the command that a user has root run: that he did so is an event."""
    command = f"[CWD=/] [COMMAND=/usr/bin/id {'x' * length}]"
    message = f"ann: Executing command [USER=root] [TTY=/dev/pts/0] {command}"
    journal.write(
        message,
        SYSLOG_IDENTIFIER="sudo",
        _EXE="/usr/bin/pkexec",
        _UID="1000",
        _CAP_EFFECTIVE="1ffffffffff",
    )
    reader.read_all()
    [record] = reader.records
    assert record.provenance.capable
    pkexec = msgspec.structs.replace(record, app_name="pkexec")
    event = normalize_record(Normalizer(RULEBOOK, "gate", "journal"), pkexec)
    assert event is not None
    assert (event.action, event.user, event.target_user) == ("privilege", "ann", "root")


@pytest.mark.parametrize(
    ("text", "capable"), [("1ffffffffff", True), ("0", False), ("zz", False), ("-1", False)]
)
def test_capabilities(journal: Journal, reader: Reader, text: str, capable: bool) -> None:
    """Capabilities are a hexadecimal number above zero."""
    journal.write("x", _CAP_EFFECTIVE=text)
    reader.read_all()
    assert [record.provenance.capable for record in reader.records] == [capable]


def test_following(journal: Journal, reader: Reader) -> None:
    """Entries come as they are written."""
    journal.write("one")
    reader.read_until(lambda: reader.messages == ["one"])
    for word in ("two", "three"):
        journal.write(word)
        count = len(reader.messages)
        reader.read_until(lambda: len(reader.messages) > count)  # noqa: B023 - called at once
    assert reader.messages == ["one", "two", "three"]


def test_the_loop_is_woken(journal: Journal, reader: Reader) -> None:
    """What journalctl writes wakes the loop; nobody has to ask again and again."""
    wake = threading.Event()
    reader.source.start(wake)
    journal.write("one")
    reader.follow()
    assert wake.is_set()
    wake.clear()
    journal.write("two")
    assert wake.wait(20)
    reader.read_until(lambda: len(reader.messages) == 2)


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_restarts(journal: Journal, reader: Reader, cut: int) -> None:
    """Started anew from what was committed, nothing is read twice and nothing left out."""
    words = [str(n) for n in range(30)]
    for begin in range(0, 30, 10):
        journal.write(*words[begin : begin + 10], file=f"f{begin}")
        reader.source.close()
        reader.start()
        if cut:
            reader.read_until(lambda: len(reader.messages) >= begin + cut)  # noqa: B023 - called at once
    reader.read_all()
    assert reader.messages == words
    assert reader.gaps == []


@pytest.mark.parametrize("follow", [True, False])
def test_earlier_boots(journal: Journal, reader: Reader, follow: bool) -> None:
    """The entries of all boots are read, and after a restart those of a boot that is over."""
    reader.source.close()
    for boot in range(1, 4):
        journal.write(f"last of {boot - 1}", _BOOT_ID=f"{boot - 1:032x}")
        journal.write(f"first of {boot}", _BOOT_ID=f"{boot:032x}")
        reader.start(follow=follow)
        reader.read_until(lambda: len(reader.messages) == 2 * boot)  # noqa: B023 - called at once
        if not follow:
            reader.read_all()
        reader.source.close()
    expected = [f"{word} of {n}" for n in range(4) for word in ("first", "last")][1:-1]
    assert reader.messages == expected
    assert reader.gaps == []


def test_a_boot_while_following(journal: Journal, reader: Reader) -> None:
    """The folder of another machine is followed over that machine's start."""
    journal.write("one")
    reader.follow()
    journal.write("two", _BOOT_ID="3" * 32)
    reader.read_until(lambda: len(reader.messages) == 2)
    assert reader.gaps == []


def test_history_of_the_journal(journal: Journal, tmp_path: Path) -> None:
    """What stood in the journal before the first start is stored, and not counted as new."""
    journal.write(*[WRONG] * 50)
    rulebook = load_rulebook()
    store = LocalStore(tmp_path / "events.db", write=True)
    metrics = ExporterMetrics({}, label_sets(rulebook))
    source = JournaldSource("journal", ["sshd"], str(journal.folder))
    running = RunningSource(source, Normalizer(rulebook, "gate", "journal"))
    pipeline = Pipeline(store, [running], metrics, "gate")
    pipeline.restore()
    stop = threading.Event()

    def total(name: str) -> float:
        return sum(value for (family, _), value in metrics.totals().items() if family == name)

    def step_until(name: str, value: float) -> None:
        deadline = time.monotonic() + 20
        while total(name) < value:
            assert time.monotonic() < deadline, (total(name), metrics.totals())
            if not pipeline.step(stop):
                time.sleep(0.005)

    step_until("heptad_lines_total", 50)
    assert total("heptad_history_events_total") == 50
    assert total("auth_events_total") == 0
    while not running.caught_up:
        pipeline.step(stop)
        time.sleep(0.002)
    journal.write(WRONG)
    step_until("auth_events_total", 1)
    pipeline.close(stop)
    store.close()


def test_read_to_the_end_once(journal: Journal, reader: Reader) -> None:
    """A source that does not wait for more says when it has reached the end, and stays there."""
    journal.write("one")
    reader.source.close()
    source = reader.start(follow=False)
    assert source.health().catching_up
    while reader.read():
        pass
    assert (reader.messages, source.health().catching_up) == (["one"], False)
    assert source.health().problem is None
    assert reader.read() is None

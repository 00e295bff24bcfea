"""A program that moves from one source to another: no line is lost, and none counts twice."""

import os
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from heptad.core.store.sqlite import LocalStore
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.pipeline import Pipeline
from heptad.exporter.running_source import RunningSource
from heptad.exporter.sources import RecordBatch
from heptad.exporter.sources.file.source import FileSource
from heptad.exporter.sources.journald.source import JournaldSource
from tests.support.effort import tries
from tests.support.feed import FAILED, NOW, Bench, Feed
from tests.support.journal import Journal
from tests.support.rulebook import RULEBOOK

SECOND = 10**9
MICRO = 1000
SSHD = Provenance(trusted=True, exe="/usr/sbin/sshd", uid=0, unit="ssh.service")
SUDO = Provenance(trusted=True, exe="/usr/bin/sudo", uid=0)


class Line:
    """A line that a daemon wrote, as each log holds it."""

    def __init__(self, at: int, pid: int = 1, message: str = "", host: str = "gate") -> None:
        self.at = at
        self.pid = pid
        self.message = message or "Failed password for ann from 192.0.2.1 port 22 ssh2"
        self.host = host
        self.tag = "sudo" if "COMMAND=" in self.message else "sshd"

    def __repr__(self) -> str:
        return f"Line({self.at}, {self.pid}, {self.message!r})"

    def record(self) -> LogRecord:
        """As the journal has it: with a process id, and to the microsecond."""
        provenance = SUDO if self.tag == "sudo" else SSHD
        raw = f"{self.tag}[{self.pid}]: {self.message}"
        time = NOW + self.at // MICRO * MICRO
        return LogRecord(time, self.host, self.tag, str(self.pid), self.message, raw, 1, provenance)

    def text(self, *, precise: bool = False) -> str:
        """As syslogd writes it: sudo gives no process id."""
        tag = "sudo" if self.tag == "sudo" else f"sshd[{self.pid}]"
        at = datetime.fromtimestamp(NOW // SECOND, UTC)
        at = datetime.fromtimestamp((NOW + self.at) // MICRO / 10**6, UTC)
        stamp = f"{at:%Y-%m-%dT%H:%M:%S.%f}Z" if precise else f"{at:%b %e %H:%M:%S}"
        return f"{stamp} {self.host} {tag}: {self.message}"


class LineFeed(Feed):
    """A source that hands over ``each`` lines at a time; its state is how many it has read."""

    def __init__(
        self, log: list[RecordBatch | list[str]], name: str, place: str, each: int
    ) -> None:
        super().__init__(log, name, place)
        self._each = each

    def read(self) -> RecordBatch | None:
        """The next lines, as one batch."""
        read = super().read
        batches = [batch for _ in range(self._each) if (batch := read()) is not None]
        if not batches:
            return None
        records = [record for batch in batches for record in batch.records]
        return msgspec.structs.replace(batches[-1], records=records)


def journal(lines: list[Line], name: str = "journal", each: int = 3) -> Feed:
    """The lines in the journal."""
    return LineFeed([RecordBatch([one.record()], b"", []) for one in lines], name, "journal", each)


def file(lines: list[Line], name: str = "auth", each: int = 3, *, precise: bool = False) -> Feed:
    """The lines in a file, with stamps in seconds or more ``precise`` ones."""
    return LineFeed([[one.text(precise=precise)] for one in lines], name, f"/{name}", each)


def run(bench: Bench, *feeds: Feed, steps: int = 10_000) -> None:
    """Start with these sources and step, at most so often: as if killed after it."""
    bench.start_feeds(list(feeds))
    for _ in range(steps):
        if not bench.pipelines[-1].step(threading.Event()):
            break


def failures(bench: Bench) -> tuple[float | None, int]:
    """The failed logins: as counted, and as stored."""
    events = bench.store.events(0, 2**62)
    stored = sum(e.count for e in events if (e.action, e.outcome) == ("login", "failure"))
    return bench.metric("auth_events_total", *FAILED), stored


ATTACK = [Line(n * SECOND // 2, 100 + n // 3) for n in range(34)]


@pytest.mark.parametrize("precise", [True, False])
def test_from_the_journal_to_the_file(bench: Bench, precise: bool) -> None:
    """17 failed logins that the journal told stay 17 when the file that has them too is read."""
    run(bench, journal(ATTACK[:17]))
    assert failures(bench) == (17, 17)
    run(bench, file(ATTACK[:17], precise=precise))
    assert failures(bench) == (17, 17)
    assert bench.metric("heptad_lines_total", "auth", "already_read") == 17


@pytest.mark.parametrize("precise", [True, False])
@pytest.mark.parametrize("read", [0, 1, 16, 17, 33, 34])
def test_lines_between_stop_and_start_are_read(bench: Bench, precise: bool, read: int) -> None:
    """What came while nothing ran is taken from the new source, also of the second of the stop."""
    run(bench, journal(ATTACK[:read]))
    run(bench, file(ATTACK, precise=precise))
    assert failures(bench) == (34, 34)


def test_two_configurations_in_turn(bench: Bench) -> None:
    """Each goes on where the other stopped, however often they take turns."""
    for known in range(1, 35):
        run(bench, (journal if known % 2 else file)(ATTACK[:known]))
        assert failures(bench) == (known, known)


def test_the_same_source_is_not_taken_over(bench: Bench) -> None:
    """A source that goes on compares nothing: its position says what it has read."""
    for known in (10, 34):
        run(bench, file(ATTACK[:known]))
    assert failures(bench) == (34, 34)
    assert bench.metric("heptad_lines_total", "auth", "already_read") == 0
    assert bench.metric("heptad_lines_total", "auth", "event") == 34


def test_a_renamed_source(bench: Bench) -> None:
    """A file that is read under a new name goes on."""
    run(bench, file(ATTACK[:20], "auth"))
    renamed = file(ATTACK, "logins")
    renamed.places = ("/auth",)
    run(bench, renamed)
    assert failures(bench) == (34, 34)


def test_a_program_that_moves_alone(bench: Bench) -> None:
    """Of two sources that swap their programs each goes on where the other stopped."""
    commands = [
        Line(n * SECOND, 7, f"ann : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/{n}")
        for n in range(12)
    ]
    lines = sorted([*ATTACK, *commands], key=lambda one: one.at)
    for turn, known in enumerate((10, 20, 30, len(lines))):
        sshd, sudo = frozenset({"sshd"}), frozenset({"sudo"})
        feeds = [journal(lines[:known]), file(lines[:known])]
        bench.start_feeds(feeds, [sshd, sudo] if turn % 2 else [sudo, sshd])
        bench.run()
    assert failures(bench) == (34, 34)
    assert bench.metric("auth_events_total", "sudo", "privilege", "success") == 12


def test_connections_go_on(bench: Bench) -> None:
    """An attempt that was counted is not counted again by the end of its connection.

    The file begins after the connection did, as when syslogd was installed meanwhile.
    """
    user = "Invalid user bob from 192.0.2.1 port 22"
    wrong = "Failed password for invalid user bob from 192.0.2.1 port 22 ssh2"
    end = "Connection closed by invalid user bob 192.0.2.1 port 22 [preauth]"
    lines = [Line(SECOND, 7, user), Line(2 * SECOND, 7, wrong), Line(30 * SECOND, 7, end)]
    run(bench, journal(lines[:2]))
    run(bench, file(lines[2:]))
    assert failures(bench) == (1, 1)
    assert bench.metric("auth_events_total", "sshd", "login", "failure", "none") == 0


def test_folded_lines(bench: Bench) -> None:
    """A line by which syslogd tells of several counts only those that nobody has read."""
    lines = [Line(n * SECOND) for n in range(5)]
    run(bench, journal(lines[:3]))
    folded = Line(60 * SECOND, message=f"message repeated 4 times: [ {lines[0].message}]")
    run(bench, file([lines[0], folded]))
    assert failures(bench) == (5, 5)
    run(bench, journal(lines))
    assert failures(bench) == (5, 5)


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_clock_that_stepped(bench: Bench, step: int) -> None:
    """Where the clock was set between two lines, the place in the log counts, not the time."""
    lines = [
        Line(one.at + (4000 + step * (n >= 10)) * SECOND, one.pid + n)
        for n, one in enumerate(ATTACK)
    ]
    for read in (10, 20):
        run(bench, journal(lines[:read]))
        run(bench, file(lines))
        assert failures(bench) == (34, 34)


def test_machines_of_a_relay(bench: Bench) -> None:
    """Each machine goes on by its own clock, and one that is new is read from its beginning."""
    web = [Line(one.at, one.pid, host="web-1") for one in ATTACK]
    late = [Line(one.at - 600 * SECOND, one.pid, host="db-1.example.org") for one in ATTACK]
    new = [Line(one.at - 900 * SECOND, one.pid, host="mail-1") for one in ATTACK]
    run(bench, file([*web[:20], *late[:20]], "all"))
    per_host = [file(lines, "hosts", each=50) for lines in (web, late, new)]
    run(bench, Feed([batch for one in per_host for batch in one.log], "hosts", "/hosts"))
    hosts = Counter(event.log_host for event in bench.store.events(0, 2**62))
    assert hosts == {"web-1": 34, "db-1.example.org": 34, "mail-1": 34}


def test_history_stays_history(bench: Bench) -> None:
    """What is older than the first start is stored once, and counted by no source."""
    lines = [Line(one.at - 8 * SECOND, one.pid) for one in ATTACK]
    run(bench, journal(lines[:10]))
    assert failures(bench) == (0, 10)
    run(bench, file(lines))
    assert failures(bench) == (18, 34)


def test_lines_that_no_rule_understood(bench: Bench) -> None:
    """They are kept once, too."""
    lines = [Line(n * SECOND, n, f"Quux {n}") for n in range(6)]
    run(bench, journal(lines[:4]))
    run(bench, file(lines))
    assert bench.metric("heptad_lines_not_understood_total", "sshd") == 6
    assert len(list(bench.store.read("not_understood", 0, 2**62))) == 6


def test_a_store_of_before(bench: Bench) -> None:
    """A store that does not say who spoke is asked for the source of the last events."""
    run(bench, journal(ATTACK[:17]))
    bench.store.append([], {"speakers": b""})
    run(bench, journal(ATTACK[:20]))
    assert bench.metric("heptad_lines_total", "journal", "already_read") == 0
    bench.store.append([], {"speakers": b""})
    run(bench, file(ATTACK))
    assert failures(bench) == (34, 34)


def test_the_start_says_what_happens(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It names both sources, the program, up to when it was read, and how to choose."""
    run(bench, journal(ATTACK[:17]))
    run(bench, file(ATTACK))
    [message] = [r.getMessage() for r in caplog.records if "takes over" in r.getMessage()]
    assert "`auth`" in message
    assert "`journal`" in message
    assert "sshd 2026-03-01T12:00:08" in message
    assert "store.path" in message


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    """Lines with equal ones among them, some at once, some far apart, some after a clock step."""
    at, lines, left = 10_000 * SECOND, list[Line](), 2
    pauses = st.sampled_from([0, 1, 999, 10**5, 5 * 10**5, 10**6, 3 * 10**6, 10**8])
    for pause in draw(st.lists(pauses, min_size=1, max_size=40)):
        at += pause * MICRO
        if left and draw(st.integers(0, 30)) == 0:
            left -= 1
            at += draw(st.sampled_from([-3600, 3600])) * SECOND
        command = "ann : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/true"
        lines.append(Line(at, draw(st.integers(1, 3)), draw(st.sampled_from(["", "", command]))))
    return lines


@settings(
    deadline=None, max_examples=tries(50), phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
@given(logs(), st.data())
def test_any_turns_of_any_sources(lines: list[Line], data: st.DataObject) -> None:
    """However sources take turns, and wherever they are killed, each line is stored once."""
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "events.db")
        known = 0
        for _ in range(data.draw(st.integers(1, 5))):
            known = data.draw(st.integers(known, len(lines)))
            steps = data.draw(st.integers(0, 12))
            run(bench, _draw_feed(data, lines[:known]), steps=steps)
        run(bench, _draw_feed(data, lines))
        found = Counter(
            (event.program, event.object)
            for event in bench.store.events(0, 2**62)
            for _ in range(event.count)
        )
        expected = Counter((one.tag, "/bin/true" if one.tag == "sudo" else None) for one in lines)
        assert found == expected
        counted = [
            bench.metric("auth_events_total", *FAILED),
            bench.metric("auth_events_total", "sudo", "privilege", "success"),
        ]
        assert sum(filter(None, counted)) == len(lines)
        bench.stop()


def _draw_feed(data: st.DataObject, lines: list[Line]) -> Feed:
    each = data.draw(st.integers(1, 5))
    kind = data.draw(st.integers(0, 2))
    if kind == 0:
        return journal(lines, each=each)
    return file(lines, "auth" if kind == 1 else "logins", each, precise=kind == 1)


def _write_log(path: Path, lines: list[Line]) -> None:
    path.write_text("".join(f"{one.text(precise=True)}\n" for one in lines))


def _read_all(bench: Bench, source: FileSource | JournaldSource, place: str) -> None:
    """Start anew with a real source, and read what is there."""
    bench.stop()
    bench.store = LocalStore(bench.path, write=True)
    bench.metrics = ExporterMetrics(bench.store.counters(), label_sets(RULEBOOK))
    running = RunningSource(source, Normalizer(RULEBOOK, "gate", source.name), (place,))
    pipeline = Pipeline(bench.store, [running], bench.metrics, "gate", lambda: bench.now)
    pipeline.restore()
    bench.pipelines.append(pipeline)
    while pipeline.step(threading.Event()) or not running.caught_up:
        pass


def test_a_log_that_was_rotated_meanwhile(bench: Bench, tmp_path: Path) -> None:
    """Lines of the time between are taken from the rotated files too, and from no older ones."""
    now = NOW // SECOND
    run(bench, journal(ATTACK[:10]))
    older = [Line(one.at - 5000 * SECOND, one.pid) for one in ATTACK]
    parts = {"auth.log.2": older, "auth.log.1": ATTACK[:20], "auth.log": ATTACK[20:]}
    for number, (name, lines) in enumerate(parts.items()):
        _write_log(tmp_path / name, lines)
        os.utime(tmp_path / name, (now - 4000 + number * 4010,) * 2)
    source = FileSource("auth", [str(tmp_path / "auth.log")], UTC, now=lambda: bench.now)
    _read_all(bench, source, "/auth.log")
    assert failures(bench) == (34, 34)


def test_a_real_journal_and_the_file_beside_it(tmp_path: Path) -> None:
    """Between a journal that journalctl reads and a file with the same lines nothing counts twice."""
    folder = tmp_path / "journal"
    folder.mkdir()
    written = Journal(folder, begin=NOW / SECOND)
    bench = Bench(tmp_path / "events.db")
    lines = [Line(n * SECOND, 7) for n in range(1, 13)]
    for known in (4, 8, 12):
        written.write(*(one.message for one in lines[known - 4 : known]))
        _read_all(bench, JournaldSource("journal", ["sshd"], str(folder), follow=False), "journal")
        assert failures(bench) == (known, known)
        _write_log(tmp_path / "auth.log", lines[: known + 2])
        source = FileSource("auth", [str(tmp_path / "auth.log")], UTC, now=lambda: bench.now)
        _read_all(bench, source, "/auth.log")
        assert failures(bench) == (min(known + 2, 12),) * 2
    bench.stop()

"""The loop: every line once, in one transaction with its counters and the state behind it."""

import logging
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.exporter.sources import Gap, RecordBatch
from tests.support.clock import Clock
from tests.support.effort import tries
from tests.support.feed import FAILED, Bench, line


def test_history_is_stored_and_not_counted(bench: Bench) -> None:
    """Lines older than the first start are not counted until the source was read to its end once."""
    bench.start([[line("11:00:00"), line("11:30:00", 2)], [line("12:30:00", 3)]])
    bench.run()
    assert len(bench.events()) == 3
    assert bench.metric("auth_events_total", *FAILED) == 1
    assert bench.metric("heptad_history_events_total", "feed0") == 2
    bench.feeds[0].log.append([line("11:45:00", 4)])
    bench.run()
    assert bench.metric("auth_events_total", *FAILED) == 2
    bench.now += 10**12
    bench.start([*bench.feeds[0].log, [line("11:50:00", 5)]])
    bench.run()
    assert bench.metric("auth_events_total", *FAILED) == 3
    assert bench.metric("heptad_history_events_total", "feed0") == 2


def test_history_that_was_interrupted_stays_history(bench: Bench) -> None:
    """A start that is cut off while it reads history does not make the rest of it news."""
    log: list[RecordBatch | list[str]] = [[line(f"11:0{n}:00", n)] for n in range(4)]
    bench.start(log)
    bench.pipelines[-1].step(threading.Event())
    bench.now += 3600 * 10**9
    bench.start([*log, [line("12:10:00", 9)]])
    bench.run()
    assert bench.metric("auth_events_total", *FAILED) == 1
    assert bench.metric("heptad_history_events_total", "feed0") == 4


def test_counters_and_connections_go_on(bench: Bench) -> None:
    """A restart in the middle of a connection counts as if there had been none."""
    start = line("12:01:00", 7, "Connection from 192.0.2.1 port 22 on 192.0.2.2 port 22")
    user = line("12:01:01", 7, "Invalid user bob from 192.0.2.1 port 22")
    end = line("12:01:02", 7, "Connection closed by invalid user bob 192.0.2.1 port 22 [preauth]")
    log: list[RecordBatch | list[str]] = [
        [line("12:00:00")],
        [start, user],
        [end],
        [line("12:02:00", 8)],
    ]
    for known in range(len(log) + 1):
        bench.start(log[:known])
        bench.run()
    assert bench.metric("auth_events_total", *FAILED) == 2
    assert bench.metric("auth_events_total", "sshd", "login", "failure", "none") == 1
    assert bench.metric("heptad_read_bytes_total", "feed0") == 9 * len(log)
    assert len(bench.events()) == 5


def test_two_sources(bench: Bench) -> None:
    """Each source has a position of its own, and a process id in one is not that of the other."""
    logs: list[list[RecordBatch | list[str]]] = [
        [[line("12:00:00", 1, "Invalid user bob from 192.0.2.1 port 22")]],
        [[line("12:00:01", 1, "Connection closed by 192.0.2.1 port 22 [preauth]")]],
    ]
    for _ in range(2):
        bench.start(*logs)
        bench.run()
    assert len(bench.events()) == 2
    assert bench.metric("auth_events_total", "sshd", "login", "failure", "none") == 0
    assert bench.metric("heptad_lines_total", "feed1", "event") == 1


def test_gaps(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be read is an event, a counter and a line in the log."""
    gap = Gap("rotated_away", "/log", "after byte 7")
    bench.start([RecordBatch([], b"", [gap])])
    assert bench.metric("heptad_gaps_total", "feed0", "rotated_away") == 0
    assert bench.metric("auth_events_total", "heptad", "gap", "unknown") == 0
    bench.run()
    assert bench.metric("heptad_gaps_total", "feed0", "rotated_away") == 1
    assert bench.metric("auth_events_total", "heptad", "gap", "unknown") == 1
    [point] = bench.store.read("events", 0, 2**62)
    assert (point.tags["action"], point.tags["reason"]) == ("gap", "rotated_away")
    assert (point.fields["object"], point.fields["path"]) == ("after byte 7", "/log")
    assert [record.getMessage() for record in caplog.records] == ["gap"]


def test_lines_that_are_not_understood(bench: Bench) -> None:
    """They are counted by program, a few are kept, and none of them grows without bound."""
    lines = [line("12:00:00", n, f"Quux {n} " + "x" * 5000) for n in range(100)]
    bench.start([[*lines, *(f"no header {n}" for n in range(100))]])
    assert bench.metric("heptad_lines_not_understood_total", "sshd") == 0
    bench.run()
    assert bench.metric("heptad_lines_not_understood_total", "sshd") == 100
    assert bench.metric("heptad_lines_total", "feed0", "not_understood") == 100
    assert bench.metric("heptad_lines_total", "feed0", "no_header") == 100
    for program in ("sshd", ""):
        kept = msgspec.json.decode(bench.store.recall(f"not_understood/{program}") or b"")
        assert 1 <= len(kept) <= 20
        assert max(map(len, kept)) <= 1000
    assert bench.events() == []


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_stamps_beyond_all_time(bench: Bench, stamp: str) -> None:
    """A line whose stamp no clock can have stops nothing: it is a line without a header."""
    bench.start([[line("12:00:00")[:-1], line("12:00:00").replace("2026-03-01T12:00:00Z", stamp)]])
    bench.feeds[0].log.append([line("12:00:01", 2)])
    bench.run()
    assert bench.metric("heptad_lines_total", "feed0", "no_header") == 1
    assert bench.metric("auth_events_total", *FAILED) == 1


def test_a_source_in_trouble(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that cannot be read is a metric, a reason for /healthz, and one line in the log."""
    caplog.set_level(logging.INFO, "heptad.pipeline")
    monkeypatch.setattr("heptad.exporter.pipeline.time", Clock(step=3))
    bench.start([[line("12:00:00")]], [])
    pipeline, feed = bench.pipelines[-1], bench.feeds[0]
    feed.problem = "the file does not exist"
    for _ in range(3):
        bench.run()
    assert pipeline.problems() == ["source feed0: the file does not exist"]
    assert bench.metric("heptad_source_up", "feed0") == 0
    assert bench.metric("heptad_source_up", "feed1") == 1
    feed.problem = None
    for _ in range(3):
        bench.run()
    assert pipeline.problems() == []
    assert bench.metric("heptad_source_up", "feed0") == 1
    assert [r.getMessage() for r in caplog.records] == ["source: problem", "source: recovered"]


def test_a_clock_that_steps_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's clock that steps back is counted, and nothing is lost for it."""
    monkeypatch.setattr("heptad.exporter.pipeline.time", Clock(step=3))
    bench.start([])
    assert bench.metric("heptad_clock_steps_back_total") == 0
    bench.run()
    bench.now -= 3600 * 10**9
    bench.run()
    bench.now += 10**9
    bench.run()
    assert bench.metric("heptad_clock_steps_back_total") == 1


@settings(max_examples=tries(20))
@given(
    cuts=st.lists(st.integers(1, 12), max_size=6),
    stops=st.lists(st.integers(1, 4), min_size=1, max_size=6),
)
def test_stopped_anywhere(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], stops: list[int]
) -> None:
    """However the lines are cut into batches and wherever it is stopped, each line is there once."""
    lines = [line(f"12:00:{n:02}", n % 4) for n in range(40)]
    log: list[RecordBatch | list[str]] = []
    for cut in (*cuts, 40):
        log.append(lines[:cut])
        lines = lines[cut:]
    bench = Bench(tmp_path_factory.mktemp("bench") / "events.db")
    for steps in stops:
        bench.start(log)
        for _ in range(steps):
            bench.pipelines[-1].step(threading.Event())
    bench.start(log)
    bench.run()
    assert len(set(bench.events())) == len(bench.events()) == 40
    assert bench.metric("auth_events_total", *FAILED) == 40
    bench.stop()


def test_a_source_that_cannot_be_read_has_no_end(bench: Bench) -> None:
    """Lines older than the first start are history even if they can be read only later."""
    bench.start([])
    bench.feeds[0].problem = "is not readable"
    bench.run()
    bench.feeds[0].log.append([line("11:00:00")])
    bench.feeds[0].problem = None
    bench.run()
    assert len(bench.events()) == 1
    assert bench.metric("heptad_history_events_total", "feed0") == 1
    assert not bench.metric("auth_events_total", *FAILED)


def test_what_a_log_daemon_dropped_is_a_gap(bench: Bench) -> None:
    """A line in which the daemon says that it dropped messages is a gap; an old one is history."""
    dropped = "imuxsock lost 684 messages from pid 7 due to rate-limiting"
    lines = [
        f"2026-03-01T{time}Z web-1 rsyslogd-2177: {dropped}" for time in ("11:00:00", "12:30:00")
    ]
    bench.start([lines])
    bench.run()
    assert bench.metric("heptad_gaps_total", "feed0", "daemon_dropped") == 1
    assert bench.metric("auth_events_total", "rsyslogd", "gap", "unknown") == 1
    points = list(bench.store.read("events", 0, 2**62))
    told = [(p.tags["action"], p.tags["reason"], p.fields["object"]) for p in points]
    assert told == [("gap", "daemon_dropped", dropped.removesuffix(" due to rate-limiting"))] * 2


def test_until_when_logs_were_looked_at(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It moves on only while every source is read to its end, works, and is heard."""
    monkeypatch.setattr("heptad.exporter.pipeline._HEALTH_EVERY", 0.0)
    begun = bench.now

    def look() -> int | None:
        bench.now += 60 * 10**9
        bench.run()
        bench.run()  # commits what the first found
        return bench.store.watermark()

    bench.start([[line("12:00:00")]], [])
    assert bench.store.watermark() is None
    assert look() == begun + 60 * 10**9
    assert look() == begun + 120 * 10**9
    bench.feeds[1].problem = "cannot be read"
    assert look() == begun + 120 * 10**9
    bench.feeds[1].problem = None
    bench.feeds[0].deaf = {"journal": "delivers nothing"}
    assert look() == begun + 120 * 10**9
    bench.feeds[0].deaf = {}
    assert look() == begun + 300 * 10**9

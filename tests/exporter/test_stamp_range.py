"""Stamps that are not times: the line is an event at its arrival, and the clock a problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.store.event_row import UNPARSED
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.timestamp_range import DAY, StampRange
from tests.support.feed import FAILED, NOW, Bench, line

BAD = [
    "1969-12-31T23:59:59.999999999Z",
    "1970-01-01T00:00:20+01:00",
    "1678-01-01T00:00:00Z",
    "2026-03-02T12:00:00.000000001Z",
    "2200-01-01T00:00:00Z",
    "2261-12-31T00:00:00Z",
]
GOOD = ["1970-01-01T00:00:00Z", "1970-01-01T00:00:20Z", "2026-03-02T12:00:00Z"]


def stamped(stamp: str, pid: int = 1, host: str = "gate") -> str:
    """A failed login at a time."""
    return line("12:00:00", pid).replace("2026-03-01T12:00:00Z", stamp).replace("gate", host)


@pytest.mark.parametrize("stamp", BAD)
def test_the_line_is_an_event_at_its_arrival(bench: Bench, stamp: str) -> None:
    """No stored event has a time before 1970 or more than a day ahead; the line is kept, once."""
    bench.start([[stamped(stamp)]])
    bench.run()
    (point,) = bench.store.read("events", -(2**62), 2**62)
    assert point.time == NOW
    assert point.fields["raw"] == stamped(stamp)
    assert bench.metric("heptad_stamps_out_of_range_total", "feed0") == 1
    assert bench.metric("auth_events_total", *FAILED) == 1
    assert bench.pipelines[-1].problems() == []


@pytest.mark.parametrize("stamp", GOOD)
def test_a_time_is_kept(bench: Bench, stamp: str) -> None:
    """A stamp from 1970 on and up to a day ahead stays what it is."""
    bench.start([[stamped(stamp)]])
    bench.run()
    (point,) = bench.store.read("events", 0, 2**62)
    assert point.time != NOW
    assert bench.metric("heptad_stamps_out_of_range_total", "feed0") == 0


def test_a_line_that_no_rule_understood_has_its_arrival_too(bench: Bench) -> None:
    """What is kept for `rules apply` is never at an impossible time either."""
    bench.start([[line("12:00:00", 1, "who knows").replace("2026-", "1968-")]])
    bench.run()
    (point,) = bench.store.read(UNPARSED, -(2**62), 2**62)
    assert point.time == NOW


def test_three_of_them_are_a_problem(bench: Bench) -> None:
    """The problem names the host whose clock it is, and no other source's lines count."""
    bench.start([[stamped(BAD[0], n, f"web-{n}") for n in range(3)]], [[stamped(BAD[0])] * 2])
    bench.run()
    (problem,) = bench.pipelines[-1].problems()
    assert problem.startswith("source feed0: the clock of web-2 is wrong: 3 lines within 5 minutes")
    assert bench.metric("heptad_source_up", "feed0") == 1


def test_a_flood_of_the_future_hides_nothing(bench: Bench) -> None:
    """1,200 lines of the year 2200 are events of now; the login among them keeps its time."""
    flood = [stamped("2200-01-01T00:00:00Z", pid) for pid in range(1, 1201)]
    real = line("12:00:30", 5000)
    bench.start([flood[:600], [real], flood[600:]])
    bench.run()
    points = list(bench.store.read("events", -(2**62), 2**62))
    times = {point.fields["raw"]: point.time for point in points}
    assert len(points) == len(times) == 1201
    assert times[real] == NOW + 30 * 10**9
    assert all(0 <= times[raw] - NOW < 10**9 for raw in flood)
    (problem,) = bench.pipelines[-1].problems()
    assert problem.startswith("source feed0: the clock of gate is wrong")
    assert bench.metric("heptad_stamps_out_of_range_total", "feed0") == 1200
    assert bench.metric("auth_events_total", *FAILED) == 1201


def test_the_others_of_a_batch_are_as_they_were(bench: Bench) -> None:
    """One wrong stamp among many moves no other line's time."""
    bench.start([[line("12:00:01", 1), stamped(BAD[4], 2), line("12:00:03", 3)]])
    bench.run()
    times = {point.fields["pid"]: point.time for point in bench.store.read("events", 0, 2**62)}
    assert times == {1: NOW + 10**9, 2: NOW, 3: NOW + 3 * 10**9}


def records(times: list[int], host: str = "gate") -> list[LogRecord]:
    """A record at each time."""
    return [LogRecord(time, host, "sshd", "1", "x", "x", 1, Provenance()) for time in times]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9), st.integers(0, 2**61))
def test_any_times(times: list[int], now: int) -> None:
    """Each is kept within the range, and is the arrival outside it."""
    stamps = StampRange()
    judged = stamps.judge(records(times), now)
    fine = [0 <= time <= now + DAY for time in times]
    assert [r.time for r in judged] == [t if ok else now for t, ok in zip(times, fine, strict=True)]
    assert stamps.rejected == fine.count(False)


@pytest.mark.parametrize("after, told", [(0, True), (300, True), (301, False), (-1, False)])
def test_the_problem_ends(after: int, told: bool) -> None:
    """Five minutes after the first of the last three it is over, and where the clock is set back."""
    stamps, second = StampRange(), 10**9
    for _ in range(5):
        stamps.judge(records([-1]), NOW)
    assert (stamps.problem(NOW + after * second, "host") is not None) is told


def test_three_in_a_longer_time_are_none() -> None:
    """A line now and then is counted, and no problem."""
    stamps = StampRange()
    for minute in range(0, 60, 3):
        stamps.judge(records([-1]), NOW + minute * 60 * 10**9)
        assert stamps.problem(NOW + minute * 60 * 10**9, "host") is None


def test_a_hostile_name_is_shown_as_text() -> None:
    """No control character of a host's name reaches a screen, and no long name."""
    stamps = StampRange()
    stamps.judge(records([-1] * 3, "\x1b]52;c;x\x07" + "a" * 300), NOW)
    problem = stamps.problem(NOW, "host")
    assert problem is not None
    assert problem.isprintable()
    assert len(problem) < 250

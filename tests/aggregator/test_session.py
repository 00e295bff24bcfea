"""Sessions: from login to logout."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.finding import Revision, find_finding
from heptad.aggregator.detection.latest import latest_sessions
from heptad.aggregator.detection.rules import session
from heptad.aggregator.detection.rules.session import SessionRule
from heptad.aggregator.reports.sessions import SessionsReport as Report
from heptad.aggregator.summary.build import build_summary
from heptad.aggregator.summary.text import to_text
from heptad.aggregator.web.findings import list_sessions
from heptad.aggregator.web.query import Query
from heptad.core.config.findings import SessionConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.store.sqlite import counter_key
from tests.support.aggregator_rule import DAY, HOUR, MINUTE, NOON, SECOND, find, happen
from tests.support.aggregator_world import World, gauges

RULE = SessionRule(SessionConfig(Duration("3d")))


def enter(time: int, pid: int = 7) -> list[Event]:
    """What sshd and PAM write in the second of a login."""
    own = {"user": None, "source_ip": None, "pid": pid}
    return [
        happen("login", time, user="alice", pid=pid),
        happen("session_open", time, **{**own, "user": "root", "target_user": "alice"}),
    ]


def leave(time: int, pid: int = 7) -> Event:
    """PAM closes the session."""
    return happen("session_close", time, user="alice", source_ip=None, pid=pid)


def test_session_with_its_length() -> None:
    """Login, opening and closing by one process are one finding of the lowest severity."""
    (found,) = find(RULE, *enter(NOON), leave(NOON + 2 * HOUR + 5 * SECOND))
    assert (found.subject, found.severity, found.count) == ("web1", "info", 3)
    assert (found.users, found.addresses) == (("alice",), ("192.0.2.1",))
    assert found.sentence == ("Session · 192.0.2.1 → alice@web1 · lasted 2:00:05")


def test_session_within_a_second() -> None:
    """Where all lines have one stamp, the end still comes last."""
    (found,) = find(RULE, leave(NOON), *enter(NOON))
    assert found.sentence.endswith("lasted 0:00:00")


def test_open_session() -> None:
    """A session without an end is open until its end is no longer looked for, then never ended."""
    (found,) = find(RULE, *enter(NOON))
    until = NOON + 3 * DAY + MINUTE
    for now in (NOON, until - 1):
        sentence = found.at(now).sentence
        assert sentence.endswith(" · open for at most 3 days")
    for now in (until, until + 300 * DAY):
        assert found.at(now).sentence.endswith(" · never ended: no end was logged within 3 days")


def test_a_process_id_that_is_used_again() -> None:
    """A session never ended whose process has another one; that is no matter of time."""
    found = find(RULE, *enter(NOON), *enter(NOON + HOUR), leave(NOON + 2 * HOUR))
    assert [f.at(NOON + DAY).sentence.rpartition(" · ")[2] for f in found] == [
        "never ended: its process id was reused",
        "lasted 1:00:00",
    ]


def test_end_that_comes_too_late() -> None:
    """An end after more than the longest time belongs to nothing any more."""
    (found,) = find(RULE, *enter(NOON), leave(NOON + 3 * DAY + MINUTE))
    assert "no end was logged" in found.at(NOON + 9 * DAY).sentence


def test_restart_cuts_sessions_off() -> None:
    """What is open when the host starts again has ended with it; other hosts' sessions have not."""
    start = happen("host_start", NOON + HOUR, user=None, source_ip=None, program="kernel")
    (found,) = find(RULE, *enter(NOON), start, leave(NOON + 2 * HOUR))
    assert found.sentence.endswith("still open when the host restarted after 1:00:00")
    elsewhere = happen("host_start", NOON + HOUR, host="db1", user=None, program="kernel")
    (found,) = find(RULE, *enter(NOON), elsewhere, leave(NOON + 2 * HOUR))
    assert found.sentence.endswith("lasted 2:00:00")


def test_sessions_at_the_same_time() -> None:
    """Each process has its own session."""
    found = find(RULE, *enter(NOON, 1), *enter(NOON + MINUTE, 2), leave(NOON + HOUR, 1))
    assert [f.sentence.rpartition(" · ")[2].split()[0] for f in found] == ["lasted", "open"]


@pytest.mark.parametrize("program", ["cron", "sudo", "su", "systemd-logind"])
def test_other_sessions(program: str) -> None:
    """Sessions that no person logs in to are not told."""
    assert find(RULE, happen("session_open", NOON, program=program, pid=1)) == []


def test_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many sessions of a day the first ones are told; the next day begins anew."""
    monkeypatch.setattr(session, "MOST_A_DAY", 10)
    events = [event for n in range(30) for event in enter(NOON + n * MINUTE, n)]
    found = find(RULE, *events, leave(NOON + HOUR, 29), leave(NOON + HOUR, 9), *enter(NOON + DAY))
    assert [f.first for f in found] == [NOON + n * MINUTE for n in range(10)] + [NOON + DAY]
    assert found[9].sentence.endswith("lasted 0:51:00")


def test_written_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    """An open session is there at once, and the same one is revised at its end."""
    with World(tmp_path, rules=[RULE], reports=[]) as world:
        world.now = NOON + DAY
        world.append(enter(NOON))
        world.run_cycle()
        (begun,) = world.sessions()
        world.append([leave(NOON + HOUR)])
        world.run_cycle()
        (ended,) = world.sessions()
        assert begun.key == ended.key
        assert (begun.end, ended.end, ended.last) == ("open", "closed", NOON + HOUR)
        assert steps(world) == {"begun": 1, "closed": 1}
        world.restart()
        world.finish()
        assert steps(world) == {"begun": 1, "closed": 1}


def steps(world: World) -> dict[str, float]:
    """How many sessions of sshd began, and ended in which way, by the metric."""
    counted = gauges(world, "heptad_sessions_total").items()
    return {labels.partition(",")[2]: value for labels, value in counted if value}


def test_is_no_finding(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A session is a row of its own: not among the findings, nor their metric, nor in the log."""
    with World(tmp_path, rules=[RULE], reports=[]) as world, caplog.at_level("INFO"):
        world.now = NOON + DAY
        world.append([*enter(NOON), leave(NOON + HOUR)])
        world.run_cycle(everything=True)
        report = build_summary(world.read, world.reports, NOON - DAY, NOON + DAY)
        assert world.findings() == []
        assert world.rows("findings") == []
        assert world.counter("heptad_findings_total") == 0
        (row,) = world.reports.read("sessions", 0, 2**62)
        assert row.tags == {"host": "web1", "program": "sshd", "end": "closed"}
        told = {name: row.fields[name] for name in ("user", "address", "seconds", "count")}
        assert told == {"user": "alice", "address": "192.0.2.1", "seconds": 3600.0, "count": 3}
    assert (report.findings, report.first, caplog.messages) == ([], [], [])
    (shown,) = report.was_on
    assert (shown.user, shown.host, shown.end, shown.seconds) == ("alice", "web1", "closed", 3600)
    assert "User sessions, latest first (1)" in to_text(report)


def test_shows_its_events(tmp_path: Path) -> None:
    """A session leads to the lines that it is made of, and to no other."""
    with World(tmp_path, rules=[RULE], reports=[]) as world:
        world.append([*enter(NOON), leave(NOON + HOUR), *enter(NOON + MINUTE, 8)])
        world.finish()
        session = world.sessions()[-1]
        found = find_finding(world.reports, session.id)
        assert found == session
        events = read_evidence(world.reports, world.read, session).events
        assert [(event.pid, event.action) for event in events] == [
            (7, "login"),
            (7, "session_open"),
            (7, "session_close"),
        ]


def test_readers_see_what_never_ended(tmp_path: Path) -> None:
    """The same stored session reads as open in an early report and as without an end in a late one."""
    with World(tmp_path, rules=[RULE], reports=[]) as world:
        world.now = NOON + DAY
        world.append(enter(NOON))
        world.run_cycle(everything=True)
        told = [
            build_summary(world.read, world.reports, NOON - DAY, until).was_on[0].end
            for until in (NOON + DAY, NOON + 4 * DAY)
        ]
        (shown,) = list_sessions(world.reports, Query(since=0, until=NOON + DAY))["sessions"]
    assert told == ["open", "never"]
    assert (shown["end"], shown["user"]) == ("never", "alice")


def test_reports_tell_what_is_open_still(tmp_path: Path) -> None:
    """A session that began before what is looked at is shown as long as it may be open."""
    with World(tmp_path, rules=[RULE]) as world:
        world.append(enter(NOON))
        world.finish()
        told = latest_sessions(world.reports, NOON + DAY, NOON + 2 * DAY)
        assert [session.subject for session in told] == ["web1"]
        assert not latest_sessions(world.reports, NOON + 4 * DAY, NOON + 5 * DAY)
        world.append([leave(NOON + HOUR)])
        world.finish()
        assert not latest_sessions(world.reports, NOON + DAY, NOON + 2 * DAY)


def test_sessions_of_an_older_version_stay_out_of_the_findings(tmp_path: Path) -> None:
    """What 0.1.0 wrote as findings breaks no reader, and its counter is not exposed."""
    row = Revision(
        replace(find(RULE, *enter(NOON), leave(NOON + HOUR))[0], rule="x", end=""), 0
    ).row()
    old = msgspec.structs.replace(row, series=row.series.replace("rule=x", "rule=session"))
    counted = counter_key("heptad_findings_total", rule="session", severity="info")
    with World(tmp_path, rules=[RULE], reports=[]) as world:
        world.reports.append([old], None, {counted: 226.0})
        world.restart()
        world.finish()
        assert world.findings() == []
        assert build_summary(world.read, world.reports, NOON - DAY, NOON + DAY).findings == []
        exposed = gauges(world, "heptad_findings_total")
        assert not any("session" in labels for labels in exposed)


def test_numbers_without_process_ids_are_possible() -> None:
    """Of lines without process id as many are open as did not end."""
    sudo = {"program": "sudo", "pid": None, "user": "root"}
    fold = Report().begin()
    for n in range(12):
        fold.add([happen("session_close", NOON + n * HOUR + MINUTE, **sudo)])
        fold.add([happen("session_open", NOON + n * HOUR, **sudo)])
    fold.add([happen("session_open", NOON + 13 * HOUR, **sudo)])
    (count,) = fold.counts().values()
    assert (count.opened, count.closed, count.open, count.complete) == (13, 12, 1, 0)

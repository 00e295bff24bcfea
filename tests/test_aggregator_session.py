"""Sessions: from login to logout."""

from pathlib import Path

import pytest

from aggregator.composition import compose
from aggregator.finding import latest_findings
from aggregator.findings import session
from aggregator.findings.session import Sessions
from aggregator.web.findings import list_findings
from aggregator.web.query import Query
from heptad.event import Event
from heptad.findings_config import SessionConfig
from tests.aggregator_rule import DAY, HOUR, MINUTE, NOON, SECOND, find, happen
from tests.aggregator_world import World

RULE = Sessions(SessionConfig("3d"))


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
    assert found.sentence == (
        "the session of alice on web1 from 192.0.2.1, begun 2023-12-09 12:00 UTC, lasted 2:00:05"
    )


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
        assert sentence.endswith(", is open as far as is known, until 2023-12-12 12:01 UTC at most")
    for now in (until, until + 300 * DAY):
        assert found.at(now).sentence.endswith(", never ended: no end was seen within 3 days")


def test_a_process_id_that_is_used_again() -> None:
    """A session never ended whose process has another one; that is no matter of time."""
    found = find(RULE, *enter(NOON), *enter(NOON + HOUR), leave(NOON + 2 * HOUR))
    assert [f.at(NOON + DAY).sentence.rpartition(", ")[2] for f in found] == [
        "never ended: its process id was used again",
        "lasted 1:00:00",
    ]


def test_end_that_comes_too_late() -> None:
    """An end after more than the longest time belongs to nothing any more."""
    (found,) = find(RULE, *enter(NOON), leave(NOON + 3 * DAY + MINUTE))
    assert "no end was seen" in found.at(NOON + 9 * DAY).sentence


def test_restart_cuts_sessions_off() -> None:
    """What is open when the host starts again has ended with it; other hosts' sessions have not."""
    start = happen("host_start", NOON + HOUR, user=None, source_ip=None, program="kernel")
    (found,) = find(RULE, *enter(NOON), start, leave(NOON + 2 * HOUR))
    assert found.sentence.endswith("had no end when the host restarted, 1:00:00 later")
    elsewhere = happen("host_start", NOON + HOUR, host="db1", user=None, program="kernel")
    (found,) = find(RULE, *enter(NOON), elsewhere, leave(NOON + 2 * HOUR))
    assert found.sentence.endswith("lasted 2:00:00")


def test_sessions_at_the_same_time() -> None:
    """Each process has its own session."""
    found = find(RULE, *enter(NOON, 1), *enter(NOON + MINUTE, 2), leave(NOON + HOUR, 1))
    assert [f.sentence.rpartition(", ")[2].split()[0] for f in found] == ["lasted", "until"]


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
    """An open session is there at once, and the same finding is revised at its end."""
    with World(tmp_path, rules=[RULE], reports=[]) as world:
        world.now = NOON + DAY
        world.append(enter(NOON))
        world.look(everything=True)
        (begun,) = world.findings()
        world.append([leave(NOON + HOUR)])
        world.look(everything=True)
        (ended,) = world.findings()
        assert begun.key == ended.key
        assert ended.last == NOON + HOUR


def test_reports_tell_what_never_ended(tmp_path: Path) -> None:
    """The same stored finding reads as open in an early report and as never ended in a late one."""
    with World(tmp_path, rules=[RULE], reports=[]) as world:
        world.now = NOON + DAY
        world.append(enter(NOON))
        world.look(everything=True)
        told = [
            compose(world.read, world.reports, NOON - DAY, until).findings[0].sentence
            for until in (NOON + DAY, NOON + 4 * DAY)
        ]
        (shown,) = list_findings(world.reports, Query(since=0, until=NOON + DAY))["findings"]
    assert "is open" in told[0]
    assert "never ended" in told[1]
    assert shown["sentence"] == told[1]
    assert not [name for name in shown if name.startswith("overdue")]


def test_reports_tell_what_is_open_still(tmp_path: Path) -> None:
    """A session that began before what is looked at is told as long as it may be open."""
    with World(tmp_path, rules=[RULE]) as world:
        world.append(enter(NOON))
        world.finish()
        told = latest_findings(world.reports, NOON + DAY, NOON + 2 * DAY)
        assert [finding.subject for finding in told] == ["web1"]
        assert not latest_findings(world.reports, NOON + 4 * DAY, NOON + 5 * DAY)
        world.append([leave(NOON + HOUR)])
        world.finish()
        assert not latest_findings(world.reports, NOON + DAY, NOON + 2 * DAY)


def test_raises_no_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A session is in the report, but not among what to look at first, and not in the log."""
    with World(tmp_path, rules=[RULE], reports=[]) as world, caplog.at_level("INFO"):
        world.now = NOON + DAY
        world.append([*enter(NOON), leave(NOON + HOUR)])
        world.look(everything=True)
        report = compose(world.read, world.reports, NOON - DAY, NOON + DAY)
    assert [finding.rule for finding in report.findings] == ["session"]
    assert report.first == []
    assert caplog.messages == []

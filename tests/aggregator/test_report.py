"""The report for a person: what it holds, what it puts first, and that nothing in it can act."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.aggregator.detection.rules.sudo_refused import SudoRefused
from heptad.aggregator.reports.counting import Ranked, Top
from heptad.aggregator.summary import build, model
from heptad.aggregator.summary.build import build_summary
from heptad.aggregator.summary.html import to_html
from heptad.aggregator.summary.model import AccessTable
from heptad.aggregator.summary.text import Summary, to_text
from heptad.core.event import Event
from heptad.core.store.event_row import UNPARSED
from heptad.core.store.line_protocol import row_of
from heptad.core.store.sqlite import counter_key
from tests.support.aggregator_world import HOUR, MIDNIGHT, MINUTE, SECOND, World, login

NOON = MIDNIGHT + 12 * HOUR


def report(world: World, since: int = MIDNIGHT, until: int = MIDNIGHT + 24 * HOUR) -> Summary:
    """What the command would tell."""
    world.finish()
    return build_summary(world.events, world.reports, since, until)


def success(time: int, address: str, **fields: object) -> Event:
    """A login that succeeded."""
    return login(time, address, outcome="success", **fields)


def privilege(time: int, outcome: str = "success", **fields: object) -> Event:
    """A use of sudo."""
    known = {"user": "ada", "target_user": "root", "object": "/bin/ls", **fields}
    return login(
        time, None, action="privilege", program="sudo", method="", outcome=outcome, **known
    )


def test_counts_what_happened(world: World) -> None:
    """Totals, attempts, tops, successes and privileges of the time asked for, and of no other."""
    world.append(
        [
            login(MIDNIGHT - 1, "192.0.2.9"),
            login(NOON, count=3),
            login(NOON + 1, "192.0.2.2", user="admin"),
            success(NOON + 2, "198.51.100.7", user="ada", method="publickey"),
            success(NOON + MINUTE, "198.51.100.7", user="ada", method="publickey"),
            privilege(NOON + 3),
            login(MIDNIGHT + 24 * HOUR, "192.0.2.9"),
        ]
    )
    told = report(world)
    assert (told.hosts, told.total) == (["web1"], 7)
    assert told.since == "2023-12-09T00:00:00.000000000Z"
    assert {(row.method, row.attempts, row.successes, row.failures) for row in told.logins} == {
        ("password", 4, 0, 4),
        ("publickey", 2, 2, 0),
    }
    assert told.failing_addresses == Top([Ranked("192.0.2.1", 3), Ranked("192.0.2.2", 1)], 0)
    assert told.failing_users == Top([Ranked("root", 3), Ranked("admin", 1)], 0)
    (access,) = told.successes.rows
    assert (access.who, access.source, access.method, access.count) == (
        "ada",
        "198.51.100.7",
        "publickey",
        2,
    )
    assert access.last == "2023-12-09T12:01:00.000000000Z"
    (used,) = told.privileges.rows
    assert (used.who, used.target, used.what, used.outcome) == ("ada", "root", "/bin/ls", "success")


def test_puts_a_success_after_an_attack_first(world: World) -> None:
    """Who got in from an address that attacked comes before everything else."""
    world.append([login(NOON + n * SECOND, count=100) for n in range(5)])
    world.append([login(NOON + n, "192.0.2.5") for n in range(3)])
    world.append([success(NOON + MINUTE, "192.0.2.1")])
    world.append([success(NOON + MINUTE, "192.0.2.7", method="publickey")])
    world.append([privilege(NOON, "failure", user="eve")])
    world.append([privilege(NOON, "failure", user="eve", object="/bin/sh")])
    told = report(world)
    assert [line.split(" from")[0] for line in told.first] == [
        "root logged in",
        "Brute force · 192.0.2.1 → root@web1 · 500 failed logins within 1 minute · 2023-12-09 12:00",
        "sudo did not let eve act as root on web1, 2 times",
    ]
    assert told.first[0].endswith("and that address is in a finding")
    assert "1. root logged in from 192.0.2.1 on web1 (sshd), and that address" in to_text(told)


def test_tells_a_refusal_once(tmp_path: Path) -> None:
    """What a finding of sudo's tells is not told again as a refusal."""
    with World(tmp_path, rules=[SudoRefused()]) as world:
        for user in ("eve", "bob"):
            reason = "not_in_sudoers" if user == "eve" else "bad_credential"
            world.append([privilege(NOON, "failure", user=user, reason=reason)])
        first = report(world).first
    assert [line.partition(" on ")[0] for line in first] == [
        "Sudo refused · eve → root@web1 · 1 refusal by sudo: not in sudoers · 2023-12-09 12:00",
        "sudo did not let bob act as root",
    ]


def test_names_a_success_after_failures_and_root_by_password(world: World) -> None:
    """Below the threshold of a finding these are worth a look too, the first before the other."""
    world.append([login(NOON + n * HOUR, "192.0.2.5") for n in range(5)])
    world.append([success(NOON + 6 * HOUR, "192.0.2.5", user="ada")])
    world.append([success(NOON + 7 * HOUR, "192.0.2.6")])
    told = report(world)
    assert told.first == [
        "ada logged in from 192.0.2.5 on web1 (sshd), and 5 logins from there failed in this time",
        "root logged in from 192.0.2.6 on web1 (sshd), by password",
    ]


def test_tells_an_address_once(world: World) -> None:
    """Many accounts that were entered from one bad address are one thing to look at."""
    world.append([login(NOON + n) for n in range(5)])
    world.append([success(NOON + n, "192.0.2.1", user=f"u{n}") for n in range(6)])
    (told,) = report(world).first
    assert told == (
        "u5, u4, u3 and 3 others logged in from 192.0.2.1 on web1 (sshd), "
        "and that address is in a finding"
    )


def test_says_so_when_nothing_stands_out(world: World) -> None:
    """A quiet day, and a day without any events, are reports too."""
    assert "Nothing needs attention." in to_text(report(world))
    world.append([success(NOON, "192.0.2.6", method="publickey")])
    text = to_text(report(world))
    assert "Nothing needs attention." in text
    assert "1 login attempt: 1 succeeded, 0 failed" in text


def test_works_without_an_aggregator(world: World) -> None:
    """Where nobody computed findings there are none, and the rest is told."""
    world.append([login(NOON)])
    told = build_summary(world.events, None, MIDNIGHT, MIDNIGHT + 24 * HOUR)
    assert (told.findings, told.total) == ([], 1)


def test_tells_what_was_not_understood_and_not_read(world: World) -> None:
    """Lines no rule understood come with samples, gaps with their reason."""
    key = counter_key("heptad_lines_not_understood_total", program="sshd")
    headless = counter_key("heptad_lines_total", source="auth", result="no_header")
    samples = {
        "not_understood/sshd": msgspec.json.encode([f"line {n}" for n in range(20)]),
        "not_understood/": msgspec.json.encode(["???"]),
    }
    world.events.append([], samples, {key: 31, headless: 2})
    gap = {"action": "gap", "outcome": "unknown", "method": "", "user": None}
    world.append([login(NOON, None, **gap, reason="rotated_away", object="120 bytes", count=1)])
    told = report(world)
    assert [(row.program, row.lines, row.samples) for row in told.not_understood] == [
        ("sshd", 31, ["line 17", "line 18", "line 19"]),
        ("", 2, ["???"]),
    ]
    assert [(gap.reason, gap.what) for gap in told.gaps] == [("rotated_away", "120 bytes")]
    text = to_text(told)
    assert "- 31 lines of sshd were not understood: its log format may have changed" in text
    assert "- a part of a log could not be read" in text


def test_is_json_with_everything(world: World) -> None:
    """The JSON form can be read back whole."""
    world.append([login(NOON + n, user="a\u202e\x1b") for n in range(5)])
    told = report(world)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Summary) == told
    assert told.findings[0].users == ("a\u202e\x1b",)


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_nothing_from_a_log_acts_on_the_terminal(user: str, thing: str, line: str) -> None:
    """Names, commands, reasons and samples are printable wherever they stand."""
    told = Summary(
        since="2026-03-01T00:00:00Z",
        until="2026-03-02T00:00:00Z",
        hosts=[thing],
        total=1,
        first=[line],
        findings=[],
        logins=[model.LoginCount(thing, "sshd", "password", 1, 0, 1)],
        failing_addresses=Top([Ranked(thing, 1)], 0),
        failing_users=Top([Ranked(user, 1)], 3),
        successes=AccessTable([model.AccessRow(user, thing, thing, "sshd", target=user)], 0),
        privileges=AccessTable([model.AccessRow(user, thing, thing, "sudo", what=line)], 1),
        events=[model.EventCount(thing, "login", "failure", 1)],
        not_understood=[model.UnparsedProgram("sshd", 1, [line])],
        gaps=[model.GapRow("2026-03-01T00:00:00Z", thing, "auth", "truncated", line)],
        gaps_number=1,
    )
    for shown in to_text(told).split("\n"):
        assert shown.isprintable()


def test_latest_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log full of new names costs no more memory, and none of them is lost from the count."""
    monkeypatch.setattr(build, "MOST_KEYS", 50)
    world.append([success(NOON + n, "192.0.2.1", user=f"u{n}") for n in range(200)])
    told = report(world).successes
    assert len(told.rows) == 10
    assert told.others == 190


def test_tells_sessions_changes_hosts_and_distinct_numbers(world: World) -> None:
    """What the reports tell of a window, the report for a person tells of its time."""
    pam: dict[str, Any] = {"method": "", "outcome": "success", "source_ip": None, "pid": 7}
    world.append(
        [
            login(NOON, "192.0.2.1", user="a"),
            login(NOON + 1, "192.0.2.2", user="a", outcome="success"),
            login(NOON + SECOND, **{"action": "session_open", **pam}),
            login(NOON + 61 * SECOND, **{"action": "session_close", **pam}),
            login(NOON + HOUR, action="member_add", target_user="eve", object="sudo", **pam),
        ]
    )
    tags = [("host", "web1"), ("source", "auth"), ("program", "sshd")]
    strange = (NOON - HOUR, NOON - 2 * HOUR, MIDNIGHT - 1)
    world.events.append([row_of(UNPARSED, tags, time, {"count": 1}) for time in strange])
    told = report(world)
    assert told.distinct[0] == model.DistinctCount("all", 1, 2)
    assert told.sessions == [model.SessionCount("web1", "sshd", 1, 1, 0, 60.0, 60.0)]
    assert told.seen == [
        model.HostSeen(
            "web1", "2023-12-09T12:00:00.000000000Z", "2023-12-09T13:00:00.000000000Z", 5, 0, 2
        )
    ]
    (change,) = told.changes.rows
    assert (change.action, change.target, change.what) == ("member_add", "eve", "sudo")
    assert len(told.timeline) == 48
    assert [(s.successes, s.failures) for s in told.timeline if s.failures] == [(1, 1)]
    text = to_text(told)
    assert "all: 1 user, 2 addresses" in text
    assert "0:01:00" in text
    assert "member_add" in text


def test_tells_until_when_the_logs_were_looked_at(world: World) -> None:
    """What is not in the report may have happened since: text, page and JSON say up to when."""
    unknown = build_summary(world.events, None, MIDNIGHT, MIDNIGHT + HOUR)
    assert "It is unknown up to when the logs were processed." in to_text(unknown)
    world.events.append([], {"looked_until": str(MIDNIGHT + MINUTE).encode()})
    known = build_summary(world.events, None, MIDNIGHT, MIDNIGHT + HOUR)
    assert known.looked_until.startswith("2023-12-09T00:01:00")
    for text in (to_text(known), to_html(known)):
        assert "The logs were processed up to 2023-12-09 00:01:00." in text

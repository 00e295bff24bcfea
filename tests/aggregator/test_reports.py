"""What each report says of a window's events, and that no order and no number can change it."""

import sqlite3
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.aggregator.reports import REPORTS, Accumulator, Report, counting, sessions
from heptad.aggregator.reports.accounts import AccountsReport
from heptad.aggregator.reports.attempts import AttemptsReport
from heptad.aggregator.reports.counting import DistinctSet, SpillCounter
from heptad.aggregator.reports.distinct import DistinctReport
from heptad.aggregator.reports.hosts import HostsReport
from heptad.aggregator.reports.privilege import PrivilegeReport
from heptad.aggregator.reports.sessions import SessionsReport
from heptad.aggregator.reports.top import TopReport
from heptad.core import event as vocabulary
from heptad.core.event import Event
from tests.support.aggregator_world import MIDNIGHT, SECOND, login

Rows = list[tuple[dict[str, str], dict[str, Any]]]

TEXTS = st.none() | st.text(max_size=5) | st.sampled_from(["root", "x" * 300])
EVENTS = st.builds(
    login,
    st.integers(MIDNIGHT, MIDNIGHT + 300 * SECOND),
    TEXTS,
    action=st.sampled_from(sorted(vocabulary.ACTIONS)),
    outcome=st.sampled_from(sorted(vocabulary.OUTCOMES)),
    program=st.sampled_from(["sshd", "sudo", "systemd-logind"]),
    reason=st.sampled_from(["", "bad_credential"]),
    host=st.sampled_from(["web1", "db1"]),
    user=TEXTS,
    target_user=TEXTS,
    object=TEXTS,
    pid=st.sampled_from([None, 1, 2]),
    count=st.integers(1, 3),
)


def fold_of(report: Report, events: list[Event]) -> Accumulator:
    """The report of events in the making."""
    fold = report.begin()
    fold.add([e for e in events if not report.actions or e.action in report.actions])
    return fold


def rows(report: Report, events: list[Event]) -> Rows:
    """The report of events at once."""
    return list(fold_of(report, events).rows())


def do(action: str, at: int = 0, **fields: Any) -> Event:
    """Something that was done ``at`` seconds after midnight."""
    known = {"outcome": "success", "method": "", **fields}
    return login(MIDNIGHT + at * SECOND, None, action=action, **known)


@given(st.lists(EVENTS, max_size=60), st.data())
def test_order_does_not_matter(events: list[Event], data: st.DataObject) -> None:
    """Every report says the same of the same events, also where memory is short."""
    with pytest.MonkeyPatch.context() as patch:
        expected = [rows(report, events) for report in REPORTS]
        patch.setattr(counting, "MOST_KEYS", data.draw(st.integers(1, 10)))
        patch.setattr(sessions, "MOST_HELD", data.draw(st.integers(1, 10)))
        shuffled = data.draw(st.permutations(events))
        assert [rows(report, shuffled) for report in REPORTS] == expected


@given(st.lists(st.lists(EVENTS, max_size=20), min_size=1, max_size=4), st.data())
def test_merged_windows_say_what_one_window_says(
    windows: list[list[Event]], data: st.DataObject
) -> None:
    """Folds of parts, merged, give the rows of the whole, also where memory is short."""
    with pytest.MonkeyPatch.context() as patch:
        events = [event for window in windows for event in window]
        expected = [rows(report, events) for report in REPORTS]
        patch.setattr(counting, "MOST_KEYS", data.draw(st.integers(1, 10)))
        patch.setattr(sessions, "MOST_HELD", data.draw(st.integers(1, 10)))
        for report, whole in zip(REPORTS, expected, strict=True):
            first, *others = (fold_of(report, window) for window in windows)
            list(first.rows())
            for other in others:
                list(other.rows())
                first.merge(other)
            assert list(first.rows()) == whole


@given(st.lists(EVENTS, max_size=60))
def test_tags_are_closed_and_everything_is_documented(events: list[Event]) -> None:
    """A row has the documented tags and fields; a tag never is a value from a log."""
    closed = {"web1", "db1", "sshd", "sudo", "systemd-logind", "password", "all", "others", ""}
    closed |= {"address", "user", "target", "reason", *(f"{n:02}" for n in range(1, 51))}
    closed |= {*vocabulary.ACTIONS, *vocabulary.OUTCOMES}
    for report in REPORTS:
        for tags, fields in rows(report, events):
            assert tags.keys() == report.tags.keys()
            assert fields.keys() <= report.fields.keys()
            assert set(tags.values()) <= closed


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(1, 5)), max_size=300))
def test_tally_is_exact_however_little_it_holds(added: list[tuple[str, int]]) -> None:
    """Beyond what is held in memory, counts, ranks and numbers of values stay exact."""
    exact, counted = Counter[str](), SpillCounter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "MOST_KEYS", 7)
        for key, count in added:
            exact[key] += count
            counted.add(key, count)
        ordered = sorted(exact.items(), key=lambda item: (-item[1], item[0]))
        assert counted.ranked(10) == ordered[:10]
        assert (counted.total, counted.distinct) == (exact.total(), len(exact))
        assert all(counted.count(key) == count for key, count in ordered)
        assert counted.top(3).others == sum(count for _, count in ordered[3:])


@given(st.lists(st.lists(st.text(max_size=2), max_size=9), max_size=60), st.data())
def test_values_are_exact_however_few_are_held(parts: list[list[str]], data: st.DataObject) -> None:
    """Beyond what is held in memory, each value is still noted once, also those of a merge."""
    exact, noted, other = set[str](), DistinctSet(), DistinctSet()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "MOST_KEYS", 7)
        for part in parts:
            exact.update(part)
            data.draw(st.sampled_from([noted, other])).add(part)
        noted.merge(other)
        assert noted.number == len(exact)
        assert other.number <= len(exact)


def test_counts_attempts_by_host_program_and_method() -> None:
    """A folded line counts as often as it came; successes and failures are told apart."""
    events = [
        login(MIDNIGHT, count=3),
        login(MIDNIGHT, outcome="success"),
        login(MIDNIGHT, outcome="unknown"),
        login(MIDNIGHT, method="publickey", outcome="success"),
        login(MIDNIGHT, host="db1", program="dropbear"),
    ]
    web, db = {"host": "web1", "program": "sshd"}, {"host": "db1", "program": "dropbear"}
    assert rows(AttemptsReport(), events) == [
        ({**db, "method": "password"}, {"attempts": 1, "successes": 0, "failures": 1}),
        ({**web, "method": "password"}, {"attempts": 5, "successes": 1, "failures": 3}),
        ({**web, "method": "publickey"}, {"attempts": 1, "successes": 1, "failures": 0}),
    ]


def test_counts_distinct_users_and_addresses() -> None:
    """Each name, address and host counts once; no name and an empty name are not the same."""
    events = [
        login(MIDNIGHT, user="root"),
        login(MIDNIGHT, user="root", host="db1"),
        login(MIDNIGHT, "192.0.2.2", user=""),
        login(MIDNIGHT, None, user=None),
        login(MIDNIGHT, "192.0.2.3", user="root", outcome="success"),
    ]
    assert rows(DistinctReport(), events) == [
        ({"outcome": "all"}, {"users": 2, "addresses": 3, "hosts": 2}),
        ({"outcome": "failure"}, {"users": 2, "addresses": 2, "hosts": 2}),
        ({"outcome": "success"}, {"users": 1, "addresses": 1, "hosts": 1}),
    ]


def test_ranks_what_is_frequent_and_the_rest_as_one() -> None:
    """Ten ranks with value and count, then how many others there are and how often."""
    events = [login(MIDNIGHT, f"192.0.2.{n}", count=1 + (n == 5)) for n in range(13)]
    told = [row for row in rows(TopReport(), events) if row[0]["top"] == "address"]
    assert [tags["rank"] for tags, _ in told] == [*(f"{n:02}" for n in range(1, 11)), "others"]
    assert told[0][1] == {"value": "192.0.2.5", "count": 2}
    assert told[1][1] == {"value": "192.0.2.0", "count": 1}
    assert told[-1][1] == {"count": 3, "different": 3}
    (target,) = (fields for tags, fields in rows(TopReport(), events) if tags["top"] == "target")
    assert target == {"value": "web1/sshd", "count": 14}


def test_ranks_every_target_by_its_whole_name() -> None:
    """Two programs of a host whose name is as long as it can be are two targets."""
    host = "h" * 255
    events = [login(MIDNIGHT, host=host, program=program) for program in ("login", "sshd")]
    told = [fields for tags, fields in rows(TopReport(), events) if tags["top"] == "target"]
    assert told == [{"value": f"{host}/{name}", "count": 1} for name in ("login", "sshd")]


def test_tells_privilege_use() -> None:
    """Who, to whom, what, and refused or not; the most frequent first."""
    sudo: dict[str, Any] = {
        "program": "sudo",
        "user": "ada",
        "target_user": "root",
        "object": "/bin/ls",
    }
    refused: dict[str, Any] = {
        "program": "su",
        "user": "eve",
        "target_user": "root",
        "reason": "bad_credential",
    }
    events = [
        do("privilege", **sudo),
        do("privilege", **{**sudo, "object": "/bin/id"}),
        do("privilege", **sudo),
        do("privilege", outcome="failure", **refused),
    ]
    group = {"host": "web1", "program": "sudo", "outcome": "success"}
    who = {"user": "ada", "target_user": "root"}
    eve = {"user": "eve", "target_user": "root", "reason": "bad_credential", "count": 1}
    assert rows(PrivilegeReport(), events) == [
        ({"host": "web1", "program": "su", "outcome": "failure", "rank": "01"}, eve),
        ({**group, "rank": "01"}, {**who, "object": "/bin/ls", "count": 2}),
        ({**group, "rank": "02"}, {**who, "object": "/bin/id", "count": 1}),
    ]


def test_tells_account_changes() -> None:
    """Who changed what of whom by what; beyond fifty of a kind the rest is one row."""
    events = [
        do("member_add", program="gpasswd", user="root", target_user=f"u{n:02}", object="sudo")
        for n in range(52)
    ]
    events += [do("member_add", program="usermod", target_user="u00", object="sudo")] * 2
    told = rows(AccountsReport(), events)
    assert len(told) == 51
    group = {"host": "web1", "action": "member_add", "outcome": "success"}
    own = {"user": "root", "target_user": "u00", "object": "sudo"}
    assert told[:2] == [
        ({**group, "rank": "01"}, {"program": "usermod", **own, "count": 2}),
        ({**group, "rank": "02"}, {"program": "gpasswd", **own, "count": 1}),
    ]
    assert told[-1][1] == {"count": 3, "different": 3}


def test_pairs_sessions() -> None:
    """A session lasts from its beginning to the end with the same id; an end without one ends any."""
    events = [
        do("session_close", 0, pid=9),
        do("session_open", 1, pid=1),
        do("session_open", 2, pid=1),
        do("session_close", 31, pid=1),
        do("session_open", 40, pid=1),
        do("session_close", 50, pid=1),
        do("session_close", 51, pid=1, source_ip="192.0.2.1"),
        do("session_open", 60, pid=2),
        do("session_open", 200, pid=2),
        do("session_open", 61, pid=3, outcome="failure"),
        do("session_open", 62),
        do("session_close", 63),
    ]
    ((_, told),) = rows(SessionsReport(), events)
    assert told == {
        "opened": 5,
        "closed": 4,
        "refused": 1,
        "complete": 2,
        "seconds": 40.0,
        "longest_seconds": 30.0,
        "open": 2,
    }


def test_tells_hosts() -> None:
    """First and last event of each host, and what is known to be missing."""
    events = [do("login", 5), do("gap", 3), do("host_start", 9), do("login", 1, host="db1")]
    db, web = rows(HostsReport(), events)
    assert (db[0], db[1]["count"]) == ({"host": "db1"}, 1)
    assert web[1] == {
        "first": MIDNIGHT + 3 * SECOND,
        "last": MIDNIGHT + 9 * SECOND,
        "count": 3,
        "starts": 1,
        "stops": 0,
        "daemon_errors": 0,
        "gaps": 1,
    }


def test_no_room_for_the_temporary_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counting cannot go on in a file, the report fails with the remedy, not the store."""

    def refuse(table: str) -> sqlite3.Connection:
        raise sqlite3.OperationalError(f"no room for {table}")

    monkeypatch.setattr(counting, "MOST_KEYS", 1)
    monkeypatch.setattr(counting, "open_spill", refuse)
    counted = SpillCounter()
    counted.add("a")
    with pytest.raises(counting.SpillFailed, match="SQLITE_TMPDIR"):
        counted.add("b")

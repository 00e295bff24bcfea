"""A finding in words, whatever it grows to: each number and length in it is true of its events."""

import re
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.aggregator.detection.finding import Finding, identity_of
from heptad.aggregator.detection.flood import join_findings
from heptad.aggregator.detection.rules import DetectionRule, rules_of
from heptad.aggregator.summary.wording import length_of, whole_length_of
from heptad.core.config.findings import (
    BaselineConfig,
    BruteForceConfig,
    DistributedConfig,
    FindingsConfig,
    SlowBruteForceConfig,
    SprayingConfig,
    SuccessAfterFailuresConfig,
    SweepConfig,
    UnusualHourConfig,
)
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.units import parse_duration
from tests.support.aggregator_rule import DAY, HOUR, MINUTE, NOON, SECOND, find, happen, login
from tests.support.effort import tries

CONFIG: Final = FindingsConfig(
    baseline=BaselineConfig(look_back=Duration("28d"), settle=Duration("1d"), events=2),
    brute_force=BruteForceConfig(3, Duration("10m")),
    slow_brute_force=SlowBruteForceConfig(2, Duration("12h")),
    success_after_failures=SuccessAfterFailuresConfig(3, Duration("1h")),
    spraying=SprayingConfig(2, Duration("1h")),
    distributed=DistributedConfig(2, Duration("1h")),
    sweep=SweepConfig(2, Duration("1h")),
    unusual_hour=UnusualHourConfig(hours=2, probability=0.5),
)
RULES: Final = {rule.name: rule for rule in rules_of(CONFIG)}
HOSTS: Final = ("web-1", "web-2", "db-1")
USERS: Final = ("root", "alice", "bob")
ADDRESSES: Final = ("203.0.113.9", "198.51.100.7", "2001:db8::1", "2001:db8::2")
_NUMBER: Final = re.compile(
    r"(more than )?(\d+) (failed login|login|user|address|host|event|finding|refusal|change|time|"
    r"attempt|command|minute|hour|day)(?:e?s)?\b"
)


BEGINNING: Final = [
    login(NOON + at, ADDRESSES[source], user=user, host=host)
    for at, source, user, host in (
        (0, 0, "root", "web-1"),
        (MINUTE, 0, "alice", "web-2"),
        (2 * MINUTE, 1, "root", "db-1"),
        (61 * MINUTE, 0, "root", "web-1"),
    )
] + [
    happen("login", NOON + 3 * MINUTE, user=user, host="web-1", source_ip=ADDRESSES[0], method=how)
    for user, how in (("root", "password"), ("alice", "publickey"))
]
"""Of which most rules find something."""


def close(time: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    """Logins that fail and succeed within two hours, some of them folded lines."""
    tried = st.builds(
        lambda at, user, host, address, count, won: login(
            NOON + at,
            address,
            user=user,
            host=host,
            count=count,
            outcome="success" if won else "failure",
        ),
        time,
        st.sampled_from(USERS),
        st.sampled_from(HOSTS),
        st.sampled_from(ADDRESSES),
        st.sampled_from((1, 1, 1, 4)),
        st.booleans() | st.just(False),
    )
    return st.lists(tried, min_size=3, max_size=40).map(lambda events: [*BEGINNING, *events])


def other(time: st.SearchStrategy[int]) -> st.SearchStrategy[list[Event]]:
    """What is done with privileges, accounts, passwords and second factors."""

    def make(what: tuple[str, str, str, str], at: int, user: str, whom: str, host: str) -> Event:
        program, action, outcome, reason = what
        names = {"user": user, "target_user": whom, "host": host, "program": program}
        return happen(action, NOON + at, outcome=outcome, reason=reason, object="docker", **names)

    kinds = [
        ("sudo", "privilege", "success", ""),
        ("sudo", "privilege", "failure", "not_in_sudoers"),
        ("doas", "privilege", "failure", "wrong_password"),
        ("su", "privilege", "success", ""),
        ("su", "privilege", "failure", "wrong_password"),
        ("useradd", "account_create", "success", ""),
        ("usermod", "member_add", "success", ""),
        ("groupadd", "group_create", "success", ""),
        ("passwd", "password_change", "success", ""),
        ("sshd", "authentication", "failure", "factor_skipped"),
        ("sshd", "authentication", "failure", "factor_unavailable"),
        ("sshd", "login", "success", ""),
    ]
    who, where = st.sampled_from(USERS), st.sampled_from(HOSTS)
    made = st.builds(make, st.sampled_from(kinds), time, who, who, where)
    each = [make(kind, 2 * MINUTE, "alice", "root", "web-1") for kind in kinds]
    account = make(("useradd", "account_create", "success", ""), 0, "root", "alice", "web-1")
    login = make(("sshd", "login", "success", ""), MINUTE, "alice", "", "web-2")
    return st.lists(made, min_size=2, max_size=30).map(
        lambda events: [account, login, *each, *events]
    )


MOMENTS: Final = st.integers(0, 2 * HOUR) | st.integers(0, 3 * MINUTE // SECOND).map(SECOND.__mul__)
KNOWN: Final = [
    happen(
        "login",
        NOON - day * DAY - 6 * HOUR + n * MINUTE,
        user=user,
        host="old",
        source_ip="192.0.2.77",
    )
    for day in (2, 3)
    for user in USERS
    for n in (1, 2)
] + [
    happen("login", NOON - day * DAY - 6 * HOUR + n * SECOND, user="carol", host=host)
    for day in (2, 3)
    for host in HOSTS
    for n in (1, 2)
]


def own_events(finding: Finding, events: list[Event]) -> list[Event]:
    """The events that a finding is made of."""
    rows = {identity_of(event): event for event in events}
    return [rows[identity] for identity in finding.evidence]


COUNTED: Final[dict[str, Callable[[list[Event]], int]]] = {
    "failed login": lambda own: sum(e.count for e in own if e.outcome == "failure"),
    "login": lambda own: sum(
        e.count for e in own if e.action == "login" and e.outcome == "success"
    ),
    "user": lambda own: len({e.user for e in own}),
    "address": lambda own: len({e.source_ip for e in own}),
    "host": lambda own: len({e.host for e in own}),
    **dict.fromkeys(
        ("refusal", "change", "time", "attempt", "command", "event"),
        lambda own: sum(e.count for e in own),
    ),
}


def check(finding: Finding, events: list[Event]) -> None:
    """Each number and length in its words is what its events show."""
    own = own_events(finding, events)
    assert sum(event.count for event in own) == finding.count
    assert finding.sentence.startswith(f"{finding.title} · ")
    assert finding.sentence.endswith(f" · {finding.facts}")
    assert not re.search(r"\d\d:\d\d|\d{4}-\d\d|UTC", finding.title + finding.facts)
    text = finding.facts.replace("in the 28 days before", "")
    if created := re.search(r"; the account was created on .* at most (\d+ \w+) before", text):
        begun = min(e.time for e in own if e.action == "account_create")
        assert created[1] == length_of(max(e.time for e in own) - begun)
        text, own = text[: created.start()], [e for e in own if e.action == "login"]
    if first := re.match(
        r"(\d+) failed logins? before the first of (\d+ logins?)(?: as .+?)?, (\d+) in all", text
    ):
        begun = min(e.time for e in own if e.outcome == "success")
        early = sum(e.count for e in own if e.outcome == "failure" and e.time < begun)
        assert int(first[1]) == early
        assert int(first[3]) == COUNTED["failed login"](own)
        text = first[2] + text[first.end() :]
    if then := re.match(r"\d+ failed logins?( as [^,]+)?, then", text):
        assert then
        ended = max(e.time for e in own if e.outcome == "failure")
        assert all(e.time > ended for e in own if e.outcome == "success")
    for more, number, noun in _NUMBER.findall(text):
        if noun in ("minute", "hour", "day"):
            continue
        assert not more
        assert int(number) == COUNTED[noun](own), (noun, text)
    span = max(e.time for e in own) - min(e.time for e in own)
    for length in re.findall(r"within (\d+ \w+)", text):
        assert length == length_of(span), text
    hosts = {e.host for e in own_events(finding, events)}
    assert hosts >= set(re.findall(r"web-\d|db-1", finding.sentence.split(" · ")[1]))


def grow(rule: DetectionRule, events: list[Event]) -> int:
    """Tell what is found in the first events, then in more and more of them; how often it was."""
    told = 0
    for number in range(1, len(events) + 1):
        some = [*KNOWN, *events[:number]]
        for finding in find(rule, *some):
            check(finding, some)
            told += 1
    return told


def apart(events: list[Event]) -> list[Event]:
    """The same with times of their own: an event is known by its series and time."""
    return [
        Event(
            **{**{n: getattr(e, n) for n in e.__struct_fields__}, "time": e.time // 100 * 100 + n}
        )
        for n, e in enumerate(events)
    ]


OF_LOGINS: Final = [name for name, rule in RULES.items() if rule.filter["action"] == ("login",)]


@pytest.mark.parametrize("name", RULES)
def test_what_grows_stays_true(name: str) -> None:
    """However many events come, and in whatever order; each rule found something."""
    told = 0

    @settings(max_examples=tries(40), deadline=None)
    @given(close(MOMENTS) if name in OF_LOGINS else other(MOMENTS))
    def grow_on(events: list[Event]) -> None:
        nonlocal told
        told += grow(RULES[name], apart(events))

    grow_on()
    assert told > 0


def test_failures_before_the_first_login() -> None:
    """100 failures, of which 15 came before the first of three logins: the 15 are told as such."""
    tried = [login(NOON + n * SECOND) for n in range(15)]
    got_in = [happen("login", NOON + n * SECOND, method="password") for n in (20, 40, 130)]
    later = [login(NOON + n * SECOND) for n in range(41, 126)]
    (found,) = find(RULES["success_after_failures"], *tried, *got_in, *later)
    assert found.sentence == (
        "Login after failed attempts · 192.0.2.1 → root@web1 · 15 failed logins before the first "
        "of 3 logins, 100 in all, within 3 minutes"
    )


def test_a_number_that_is_not_known_is_not_told() -> None:
    """Of folded lines, and of more events than are kept, the order is not told."""
    tried = [login(NOON + n * SECOND, count=5) for n in range(3)]
    got_in = [happen("login", NOON + n * SECOND, method="password") for n in (4, 40)]
    found = find(
        RULES["success_after_failures"], *tried, *got_in, login(NOON + 5 * SECOND, count=2)
    )
    assert found[0].facts == "17 failed logins and 2 logins, within 1 minute"


def test_joined_findings_add_up() -> None:
    """The one that stands for many says what they are together."""
    events = [login(NOON + n * MINUTE + s, f"203.0.113.{n}") for n in range(30) for s in range(4)]
    rule = RULES["brute_force"]
    joined = join_findings(rule, 1, 1, find(rule, *events))
    assert joined.sentence == (
        "Brute force · on web1 · 30 findings about 30 addresses, 120 events within 30 minutes"
    )


@pytest.mark.parametrize("minutes", [1, 59, 119, 120, 121, 179, 2879, 2880, 2881, 4321, 10**6])
def test_lengths(minutes: int) -> None:
    """What happened within a length did, and what did not happen for one did not."""
    for length in (minutes * MINUTE, minutes * MINUTE - 1, minutes * MINUTE + 1):
        number, unit = length_of(length).split()
        seconds = parse_duration(number + unit[0])
        assert (
            length
            <= seconds * SECOND
            < length + {"m": 60, "h": 3600, "d": 86_400}[unit[0]] * SECOND
        )
        number, unit = whole_length_of(length).split()
        if length >= MINUTE:
            assert parse_duration(number + unit[0]) * SECOND <= length

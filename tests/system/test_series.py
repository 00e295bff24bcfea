"""Whoever attacks, there are no other series than the page counts."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from docs.generate.series import count_series
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.reports import WINDOWS
from heptad.core.config.findings import FindingsConfig
from heptad.core.event import Event
from tests.core.test_line_protocol import EVENTS as ANY_EVENTS
from tests.core.test_line_protocol import HOSTILE
from tests.support.aggregator_world import MIDNIGHT, SECOND, World
from tests.support.effort import tries
from tests.support.rulebook import RULEBOOK
from tests.support.written import (
    DECLARED,
    Line,
    drop_empty,
    faults,
    lines_of,
    possible,
    unforeseen,
    write_everything,
)

ATTACKS = [
    "sshd[{pid}]: Failed password for invalid user {a} from {b} port 22 ssh2",
    "sshd[{pid}]: Failed {a} for {b} from 192.0.2.1 port 22 ssh2",
    "sshd[{pid}]: Failed keyboard-interactive/pam for {a} from {b} port 22 ssh2",
    "sshd[{pid}]: Accepted password for {a} from {b} port 22 ssh2",
    "sshd[{pid}]: Accepted {a} for root from {b} port 22 ssh2: {c}",
    "sshd[{pid}]: Invalid user {a} from {b} port 22",
    "sshd[{pid}]: Connection closed by invalid user {a} {b} port 22 [preauth]",
    "sshd[{pid}]: Connection closed by authenticating user {a} {b} port 22 [preauth]",
    "sshd[{pid}]: Received disconnect from {b} port 22:11: {a} [preauth]",
    "sshd[{pid}]: Bad protocol version identification '{a}' from {b} port 22",
    "sshd[{pid}]: banner exchange: Connection from {b} port 22: {a}",
    "sshd[{pid}]: reverse mapping checking getaddrinfo for {a} [{b}] failed.",
    "sshd[{pid}]: pam_unix(sshd:auth): authentication failure; rhost={b}  user={a}",
    "login[{pid}]: pam_unix(login:auth): authentication failure; ruser={c} rhost={b}  user={a}",
    "sshd[{pid}]: error: PAM: Authentication failure for {a} from {b}",
    "sshd[{pid}]: error: PAM: Authentication failure for illegal user {a} from {b}",
    "sshd[{pid}]: pam_unix(sshd:session): session opened for user {a}(uid=0) by {c}(uid=0)",
    "sshd[{pid}]: message repeated 3 times: [ Failed password for {a} from {b} port 22 ssh2]",
    "sudo[{pid}]: {a} : TTY=pts/0 ; PWD=/ ; USER={b} ; COMMAND={c}",
    "sudo[{pid}]: {a} : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND={c}",
    "su[{pid}]: FAILED SU (to {a}) {b} on {c}",
    "su[{pid}]: (to {a}) {b} on {c}",
    "login[{pid}]: FAILED LOGIN (1) on '{c}' from '{b}' FOR '{a}', Authentication failure",
    "dropbear[{pid}]: Bad password attempt for '{a}' from {b}:22",
    "useradd[{pid}]: new user: name={a}, UID=1000, GID=1000, home={b}, shell={c}, from=none",
    "systemd-logind[{pid}]: New session {c} of user {a}.",
    "CRON[{pid}]: ({a}) CMD ({c})",
    "{a}[{pid}]: {b} {c}",
    "sshd[{pid}]: {a}{b}{c}",
]
CHOSEN = st.one_of(
    HOSTILE,
    st.text("abcdef./:-", max_size=9),
    st.sampled_from(
        [
            "root",
            "admin from 192.0.2.66 port 1 ssh2",
            "x rhost=192.0.2.66  user=root",
            "host=evil,source=evil,program=evil",
            "none/pam",
            "keyboard-interactive/pam",
            "foo/pam",
            "gate sshd",
            "2001:db8::1",
            "x" * 5000,
            "١٢٣",
            "-1",
            "7 times: [",
        ]
    ),
)
HOSTS = st.sampled_from(["gate", "evil,program=sshd", "h\\", "=", "ä", "x" * 250])


@st.composite
def hostile_logs(draw: st.DrawFn) -> list[str]:
    """Lines whose values an attacker chose, and sometimes lines that are nothing but his."""
    lines = []
    for number in range(draw(st.integers(1, 20))):
        values = {name: draw(CHOSEN) for name in "abc"}
        message = draw(st.sampled_from(ATTACKS)).format(pid=draw(st.integers(1, 3)), **values)
        text = f"2026-03-01T11:{number:02}:00Z {draw(HOSTS)} {message}"
        lines += text.replace("\r", "\n").split("\n")
    return lines


@given(log=hostile_logs())
@example(
    log=[
        f"2026-03-01T11:00:00Z gate sshd[1]: {text}"
        for text in (
            "Failed password for root from 192.0.2.1 port 22 ssh2",
            "Failed evil/pam for root from 192.0.2.1 port 22 ssh2",
            "Failed evil for root from 192.0.2.1 port 22 ssh2",
            "Accepted evil for root from 192.0.2.1 port 22 ssh2",
        )
    ]
)
@settings(max_examples=tries(40), suppress_health_check=[HealthCheck.too_slow])
def test_nobody_adds_a_series(tmp_path_factory: pytest.TempPathFactory, log: list[str]) -> None:
    """Names, addresses, commands, banners and host names of any kind stay in fields."""
    lines = write_everything(tmp_path_factory.mktemp("hostile"), log)
    assert unforeseen(lines) == set()
    assert [(line.text, faults(line)) for line in lines if faults(line)] == []


def test_many_attackers_add_no_series(tmp_path: Path) -> None:
    """A thousand attackers leave the series that twelve leave: ranks end, and the rest is one."""

    def attack(number: int) -> list[str]:
        return [
            f"2026-03-01T11:{n // 60 % 5:02}:{n % 60:02}Z gate sshd[{n % 7}]: Failed password for "
            f"invalid user name{n} from 192.0.{n // 250}.{n % 250} port 22 ssh2"
            for n in range(number)
        ]

    some = write_everything(tmp_path / "some", attack(12))
    many = write_everything(tmp_path / "many", attack(1000))
    assert len(many) > len(some)
    assert series_of(some) == series_of(many)


def series_of(lines: Iterable[Line]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """The series of all lines but findings: what is found depends on what was done."""
    series = ((line.measurement, drop_empty(line.tags)) for line in lines)
    return {one for one in series if one[0] != "findings"}


TEXT_FIELDS = ("user", "target_user", "source_ip", "source_domain", "object", "tty", "log_host")


@given(st.lists(ANY_EVENTS, min_size=1, max_size=30), st.data())
@settings(max_examples=tries(30), suppress_health_check=[HealthCheck.too_slow])
def test_reports_have_the_series_of_harmless_events(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], data: st.DataObject
) -> None:
    """Hostile values give the very series that as many harmless ones give."""
    harmless: dict[str, str] = {"": ""}
    written = []
    for number, event in enumerate(events):
        event.time = MIDNIGHT + number * SECOND
        event.host, event.source = "host", "feed0"
        texts = {name: getattr(event, name) for name in TEXT_FIELDS}
        plain = {
            name: text if text is None else harmless.setdefault(text[:256], f"v{len(harmless)}")
            for name, text in texts.items()
        }
        written.append((event, plain))
    rows = []
    for kind in ("hostile", "harmless"):
        folder = tmp_path_factory.mktemp(kind)
        with World(folder, rules=rules_of(FindingsConfig())) as world:
            for event, plain in written:
                for name, text in plain.items() if kind == "harmless" else ():
                    setattr(event, name, text)
                world.append([event])
            world.finish()
        rows.append(series_of(lines_of(folder / "reports.db")))
    assert rows[0] == rows[1]


def test_the_page_counts_every_series() -> None:
    """What the page counts for a host is what can be told to be possible, window by window."""
    counts = count_series(RULEBOOK)
    for name, (host, fleet) in counts.items():
        if name not in ("heartbeat", "state"):
            windows = len(WINDOWS) if name.startswith("report_") else 1
            assert host + fleet == len(possible(name)) * windows, name
    assert list(counts) == list(DECLARED)

"""What is written has the tags, fields and types that are declared, whoever attacks."""

import functools
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aggregator.finding import LISTS, SEVERITIES, Finding, Revision
from aggregator.findings import rules_of
from aggregator.reports import REPORTS, WINDOWS
from exporter.heartbeat import Account, Health, make_row
from heptad.commands.schema_page import BUCKETS, MEASURED
from heptad.commands.series import count_series, find_report_tags, find_tag_sets
from heptad.event import TAGS, Event
from heptad.event_row import EVENTS, row_of_event
from heptad.findings_config import FindingsConfig
from heptad.line_protocol import Value, decode_fields, decode_head
from heptad.schema import PART, TYPES, Field, Measurement, join_text
from heptad.store.outbox import line_of
from tests import needs
from tests.aggregator_world import MIDNIGHT, SECOND, World
from tests.feed import RULEBOOK
from tests.test_line_protocol import EVENTS as ANY_EVENTS
from tests.test_line_protocol import HOSTILE
from tests.written import Line, lines_of, parse_line, write_everything

DECLARED = {m.name: m for measurements in BUCKETS.values() for m in measurements}
SAMPLE = Path(__file__).parent.parent / "heptad" / "sample" / "auth.log"
PROBE = Measurement(
    "probe",
    "",
    "i",
    {},
    {
        "s": Field(str, ""),
        "i": Field(int, ""),
        "f": Field(float, ""),
        "b": Field(bool, ""),
        "t": Field(str, "", in_parts=True),
    },
)


def faults(line: Line) -> list[str]:
    """What of a line is not as declared."""
    declared = DECLARED[line.measurement]
    found = [f"tag {tag}" for tag in line.tags.keys() - declared.tags.keys()]
    for name, kind in line.types.items():
        known = declared.fields.get(name) or declared.fields.get(name.rpartition("_")[0])
        if known is None or TYPES[known.type] != kind:
            found.append(f"field {name} is {kind}")
    if declared.always not in line.types:
        found.append(f"{declared.always} is missing")
    return found


@functools.cache
def possible(measurement: str) -> set[frozenset[tuple[str, str]]]:
    """The tag sets of one host and source that the page counts, without the window."""
    tag_sets = find_tag_sets(RULEBOOK)
    where = {"host": "host", "source": "feed0"}
    if measurement == "events":
        found = [{**where, **dict(zip(TAGS[2:], tags, strict=True))} for tags in tag_sets]
    elif measurement == "not_understood":
        found = [{**where, "program": p.name} for p in RULEBOOK.programs.values()]
    elif measurement == "findings":
        names = [rule.name for rule in rules_of(FindingsConfig())]
        found = [{"rule": name, "severity": word} for name in names for word in SEVERITIES]
    else:
        report = next(report for report in REPORTS if report.name == measurement)
        return {drop_empty(dict(tags)) for tags in find_report_tags(report, tag_sets)}
    return set(map(drop_empty, found))


def drop_empty(tags: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Tags as InfluxDB has them."""
    return frozenset((name, value) for name, value in tags.items() if value)


def unforeseen(lines: Iterable[Line]) -> set[str]:
    """The series of lines that the page does not count."""
    found = set()
    for line in lines:
        tags = dict(line.tags)
        if line.measurement.startswith("report_"):
            assert tags.pop("window") in WINDOWS
        if drop_empty(tags) not in possible(line.measurement):
            found.add(f"{line.measurement} {tags}")
    return found


def test_a_value_is_written_as_its_declared_type() -> None:
    """An integer is written as a float where one is declared; None is left out."""
    assert PROBE.encode({"s": "3", "i": 3, "f": 3, "b": False}) == 's="3",i=3i,f=3.0,b=false'
    assert PROBE.encode({"s": None, "f": 2.5}) == "f=2.5"
    assert PROBE.row([("host", "h")], 7, {"i": 1}) == ("probe,host=h", 7, "i=1i", "")


@given(
    st.dictionaries(
        st.sampled_from(["s", "i", "f", "b"]),
        st.none() | st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans(),
    )
)
def test_no_field_changes_its_type(fields: dict[str, Value | None]) -> None:
    """Whatever values a row is given, it is of the declared types or it is not written."""
    try:
        body = PROBE.encode(fields)
    except (TypeError, ValueError):
        wrong = {
            name
            for name, value in fields.items()
            if value is not None
            and type(value) is not PROBE.fields[name].type
            and not (name == "f" and type(value) is int)
        }
        assert wrong or any(isinstance(v, float) and not math.isfinite(v) for v in fields.values())
        return
    if body:
        types = parse_line(f"probe {body} 1").types
        assert types == {name: TYPES[PROBE.fields[name].type] for name in decode_fields(body)}


@given(st.integers(0, 4), st.integers(-1, 1))
def test_a_long_text_is_written_in_parts(parts: int, more: int) -> None:
    """No field is longer than every InfluxDB takes, and the text comes back as it was."""
    text = "".join(map(chr, range(97, 123))) * (PART // 26 + 1)
    text = (text * 5)[: max(0, parts * PART + more)]
    fields = decode_fields(PROBE.encode({"i": 1, "t": text}))
    assert all(len(value) <= PART for value in fields.values() if isinstance(value, str))
    assert join_text("t", fields) == text
    assert join_text("s", fields) == ""


def test_what_is_not_declared_is_not_written() -> None:
    """A field without a declaration is an error, for nobody could know its type."""
    with pytest.raises(KeyError):
        PROBE.encode({"x": 1})


def test_declarations_agree_with_influxdb() -> None:
    """No name is used twice in a measurement or reserved, and 3.x's limit of columns is far."""
    for measurement in DECLARED.values():
        tags, fields = measurement.tags.keys(), measurement.fields.keys()
        assert not tags & fields
        assert not (tags | fields) & {"time", "_field", "_measurement"}
        assert measurement.always in fields
        assert len(tags) + len(fields) < 100
        assert tags, "3.x wants a tag"
    assert EVENTS.always == "count"


def test_sample_is_as_declared(tmp_path: Path) -> None:
    """Every row of the sample's events, findings and reports has what is declared and no more."""
    lines = write_everything(tmp_path, SAMPLE.read_text().splitlines())
    assert [(line.text, faults(line)) for line in lines if faults(line)] == []
    assert unforeseen(lines) == set()
    assert {line.measurement for line in lines} >= {
        "events",
        "findings",
        *(r.name for r in REPORTS),
    }


@pytest.mark.parametrize("log", MEASURED)
def test_real_logs_are_as_declared(tmp_path: Path, log: str) -> None:
    """So has every row of real logs; they have as many series as the page says."""
    path = needs.shared_data() / log
    text = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    lines = write_everything(tmp_path, text)
    assert [(line.text, faults(line)) for line in lines if faults(line)] == []
    assert unforeseen(lines) == set()
    series = Counter(
        name for name, _ in {(x.measurement, frozenset(x.tags.items())) for x in lines}
    )
    events = series.pop("events") + series.pop("not_understood", 0)
    assert (events, series.total()) == MEASURED[log][2:]


@given(ANY_EVENTS)
def test_an_event_is_as_declared(event: Event) -> None:
    """Whatever an event holds, its line has the declared types, and its count."""
    assert faults(parse_line(line_of(*row_of_event(event)))) == []


@given(
    st.builds(
        Health,
        now=st.integers(0, 2**62),
        offset=st.integers(-100, 100) | st.floats(-1e9, 1e9),
        behind=st.integers(0, 2**40),
        caught_up=st.booleans(),
        position=st.none() | st.text(),
    ),
    st.builds(Account, position=st.integers(0, 9), passed=st.integers(0, 9)),
)
def test_a_heartbeat_is_as_declared(health: Health, account: Account) -> None:
    """A heartbeat has the declared types, also where a clock is off by whole seconds."""
    row = make_row(account, health, "host", "0" * 32)
    assert faults(parse_line(line_of(*row))) == []
    assert decode_head(row[0]) == ("heartbeat", {"host": "host", "machine_id": "0" * 32})


@given(st.text(), st.dictionaries(st.sampled_from([*LISTS, "more", "evidence"]), st.lists(HOSTILE)))
def test_a_finding_is_as_declared(text: str, lists: dict[str, Any]) -> None:
    """Whatever names a finding holds, its row has the declared types and tags."""
    finding = Finding(
        rule="sweep", subject=text, first=1, last=2, day=0, severity="low", sentence=text, count=1
    )
    filled = {name: getattr(finding, name) for name in Finding.__struct_fields__} | lists
    for revision in (
        Revision(Finding(**filled), 0),
        Revision(Finding(**filled), 1, superseded_by=7),
        Revision(Finding(**filled), 2, withdrawn=True),
    ):
        line = parse_line(line_of(*revision.row()))
        assert faults(line) == []
        assert line.tags == {"rule": "sweep", "severity": "low"}


# --- Whoever attacks -----------------------------------------------------------------------------

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
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
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
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
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

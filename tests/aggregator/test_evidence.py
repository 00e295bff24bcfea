"""What a finding shows are the events that it is made of: all of them, and no other."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event as Stop
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from heptad.aggregator.app import Aggregator
from heptad.aggregator.detection import dispatch
from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.finding import Finding, last_revisions
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.detection.rules.new_network import NewNetwork
from heptad.cli.main import main
from heptad.core.config.findings import BaselineConfig, FindingsConfig, NewNetworkConfig
from heptad.core.config.schema import load_config
from heptad.core.config.types import Duration
from heptad.core.event import Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from heptad.core.store.sqlite import LocalStore
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, World, attack, login
from tests.support.effort import tries

NOON = MIDNIGHT + 12 * HOUR
DONE: dict[str, Any] = {"outcome": "success"}
BY_KEY = {**DONE, "method": "publickey", "user": "alice"}
SUDO = {"action": "privilege", "program": "sudo", "method": "", "user": "alice"}
SU = {**SUDO, "program": "su", "target_user": "root", **DONE}
CHANGE = {**DONE, "program": "useradd", "method": "", "user": None}
DAYS = range(1, 21)
KNOWN = [login(NOON - day * DAY, "198.51.100.7", **BY_KEY) for day in DAYS]
"""Days on which alice logs in at noon."""


def fail(number: int, step: int = SECOND, address: str = "192.0.2.1", **fields: Any) -> list[Event]:
    """Failed logins, ``step`` ns apart."""
    return [login(NOON + n * step, address, **{"user": "bob", **fields}) for n in range(number)]


NOISE = [
    *fail(3, address="198.51.100.3"),
    *[login(NOON + n * SECOND, "192.0.2.1", action="connect", outcome="unknown") for n in range(6)],
    *[login(NOON - MINUTE + n, "192.0.2.1", action="offer", method="publickey") for n in range(3)],
]
SCENES: dict[str, tuple[list[Event], list[Event]]] = {
    "brute_force": (fail(6, count=3), [*NOISE, *fail(2, address="192.0.2.11")]),
    "slow_brute_force": (fail(5, HOUR), NOISE),
    "success_after_failures": (
        [*fail(18), login(NOON + MINUTE, user="bob", **DONE)],
        [*NOISE, login(NOON + 2 * MINUTE, **BY_KEY), login(NOON - 2 * HOUR, user="bob")],
    ),
    "spraying": (
        [login(NOON + n * MINUTE, user=f"name{n}", reason="invalid_user") for n in range(12)],
        NOISE,
    ),
    "distributed": (
        [login(NOON + n * SECOND, f"203.0.113.{n}", user="carol") for n in range(25)],
        [*NOISE, login(NOON, "203.0.113.3", user="carol", reason="invalid_user")],
    ),
    "sweep": (
        [login(NOON + n * MINUTE, user="dave", host=f"db{n}") for n in range(4)],
        [*NOISE, login(NOON + MINUTE, "192.0.2.9", host="db1")],
    ),
    "new_network": (
        [login(NOON, "203.0.113.9", **BY_KEY), login(NOON + SECOND, "203.0.113.8", **BY_KEY)],
        # the network is known from its first minute on, and the other one was before
        [*KNOWN, *[login(NOON + 9 * MINUTE, a, **BY_KEY) for a in ("203.0.113.7", "198.51.100.7")]],
    ),
    "new_host": (
        [login(NOON, "198.51.100.7", host="db1", **BY_KEY)],
        [
            *KNOWN,
            *[login(NOON + MINUTE, "198.51.100.7", host=h, **BY_KEY) for h in ("db1", "web1")],
        ],
    ),
    "unusual_hour": (
        [login(NOON - 9 * HOUR, "198.51.100.7", **BY_KEY)],
        [*KNOWN, *[login(NOON - 21 * DAY + n * DAY, "198.51.100.7", **BY_KEY) for n in (-1, 0)]],
    ),
    "root_password_login": (
        [login(NOON + n * MINUTE, **DONE) for n in range(3)],
        [login(NOON + MINUTE, **{**BY_KEY, "user": "root"}), login(NOON, user="bob", **DONE)],
    ),
    "new_account_login": (
        [
            login(NOON, None, action="account_create", target_user="eve", **CHANGE),
            login(NOON + HOUR, user="eve", **DONE),
        ],
        [login(NOON + 2 * HOUR, user="eve", **DONE), login(NOON, user="bob", **DONE)],
    ),
    "sudo_refused": (
        [login(NOON + n, None, reason="not_in_sudoers", tty="pts/1", **SUDO) for n in range(2)],
        [
            login(NOON, None, tty="pts/1", **SUDO | DONE),
            login(NOON, None, **SUDO | {"user": "bob"}),
        ],
    ),
    "second_factor": (
        [
            login(NOON + n, None, action="authentication", reason=reason, user="alice")
            for n, reason in enumerate(["factor_skipped", "factor_exempt"])
        ],
        [
            login(NOON, None, action="authentication", reason="bad_credential", user="alice"),
            login(NOON, None, action="authentication", reason="factor_skipped", user="bob"),
        ],
    ),
    "first_sudo": (
        [login(NOON, None, object="/bin/id", **SUDO | DONE | {"user": "mallory"})],
        [*[login(NOON - day * DAY, None, **SUDO, **DONE) for day in DAYS], *KNOWN],
    ),
    "su_to_root": (
        [login(NOON + n * MINUTE, None, tty="pts/1", **SU) for n in range(2)],
        [login(NOON, None, **SU | {"user": "bob"}), login(NOON, None, **SU | {"program": "sudo"})],
    ),
    "account_change": (
        [login(NOON, None, action="member_add", object="wheel", target_user="dave", **CHANGE)],
        [login(NOON + n, None, action="group_create", object="x", **CHANGE) for n in range(3)],
    ),
    "password_change": (
        [
            login(NOON + n, None, action="password_change", target_user="bob", **CHANGE)
            for n in (0, 1)
        ],
        [login(NOON, None, action="password_change", target_user="dave", **CHANGE)],
    ),
}
"""Rule → the events of which its first finding is made, and others."""


def test_every_rule_has_a_scene() -> None:
    """No kind of finding is left out here."""
    assert set(SCENES) == {rule.name for rule in rules_of(FindingsConfig())}


def make(scene: str) -> tuple[list[Event], list[str]]:
    """The events of a scene in order of time, and the lines that belong to its finding."""
    own, others = SCENES[scene]
    marked = [
        replace(event, time=event.time + 1000 * n, raw=f"{n} {'own' if n < len(own) else 'other'}")
        for n, event in enumerate([*own, *others])
    ]
    lines = [event.raw for event in marked[: len(own)]]
    return sorted(marked, key=lambda event: event.time), lines


@pytest.fixture(params=["sqlite", pytest.param("influxdb", marks=pytest.mark.system)])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The configuration of a host's own stores, or of a server with empty buckets."""
    server, buckets = None, ("events", "reports", "heptad")
    settings: dict[str, Any] = {
        "store": {"path": str(tmp_path / "events.db")},
        "aggregator": {"store": {"path": str(tmp_path / "reports.db"), "max_age": "9999d"}},
    }
    if request.param == "influxdb":
        server = request.getfixturevalue("influxd")
        server.create(*buckets)
        retention = dict.fromkeys(buckets, "9999d")
        settings["influxdb"] = {"url": server.url, "version": 1, "retention": retention}
    path = tmp_path / "heptad.yaml"
    path.write_text(yaml.safe_dump(settings))
    yield path
    if server is not None:
        server.drop(*buckets)


def arrive(file: Path, request: pytest.FixtureRequest, events: list[Event]) -> None:
    """Events arrive in the store of this configuration, and the aggregator looks at them."""
    config = load_config(file)
    rows = [row_of_event(event) for event in events]
    if config.influxdb is not None:
        request.getfixturevalue("influxd").write("events", list(map(line_of, rows)))
    else:
        with LocalStore(Path(config.store.path), write=True) as store:
            store.append(rows)
    Aggregator(config, once=True, serve=False).run(Stop())


def ask(file: Path, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What a command prints."""
    assert main([*command, "--config", str(file)]) == 0
    return capsys.readouterr().out


@pytest.mark.table
@pytest.mark.parametrize("scene", SCENES)
def test_shows_its_own_events_and_no_other(
    scene: str, file: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Report and `heptad events --finding` show the lines of each finding; their counts add up."""
    events, own = make(scene)
    arrive(file, request, events)
    since = ("--since", "2023-11-01")
    report = json.loads(ask(file, capsys, "report", *since, "--format", "json"))
    found = [
        (finding, evidence)
        for finding, evidence in zip(report["findings"], report["evidence"], strict=False)
    ]
    assert found
    for finding, evidence in found:
        assert sum(line["count"] for line in evidence["lines"]) == finding["count"]
        assert evidence["note"] == ""
        printed = ask(file, capsys, "events", "--finding", evidence["id"]).splitlines()
        assert printed == [line["line"] for line in evidence["lines"]]
    shown = [evidence for finding, evidence in found if finding["rule"] == scene]
    assert sorted(line["line"] for line in shown[0]["lines"]) == sorted(own)


def times(world: World, finding: Finding) -> list[int]:
    """When the events of a finding were, as they are shown."""
    return [event.time for event in read_evidence(world.reports, world.read, finding).events]


@settings(max_examples=tries(20), deadline=None, derandomize=True)
@given(st.data())
def test_counts_add_up_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any events in any order, looks, kills and a midnight: the rows add up to each finding."""
    times = st.builds(
        lambda minute, second: MIDNIGHT + DAY + minute * MINUTE + second * SECOND,
        st.sampled_from([-2000, -61, -1, 0, 1, 70]),
        st.sampled_from([0, 0, 1, 30, 59]),
    )
    attempt = st.builds(
        login,
        times,
        st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
        outcome=st.sampled_from(["failure", "failure", "success"]),
        user=st.sampled_from(["root", "bob", "n" * 250 + "1", "n" * 250 + "2"]),
        host=st.sampled_from(["web1", "Web1", "web1."]),
        count=st.sampled_from([1, 1, 7]),
    )
    events = data.draw(st.lists(attempt, min_size=20, max_size=60))
    rules = rules_of(FindingsConfig())
    with World(tmp_path_factory.mktemp("world"), rules=rules, reports=[]) as world:
        world.now = MIDNIGHT + 3 * DAY
        for at in range(0, len(events), 15):
            world.append(events[at : at + 15])
            world.run_cycle(everything=data.draw(st.booleans()))
            if data.draw(st.booleans()):
                world.restart()
        world.finish()
        for finding in world.findings():
            evidence = read_evidence(world.reports, world.read, finding)
            assert (evidence.count, evidence.note(finding)) == (finding.count, "")


def test_failure_behind_the_success_in_its_minute_is_shown(tmp_path: Path) -> None:
    """Time is kept by the minute, so it counts; then it is among the events, each written once."""
    rules = rules_of(FindingsConfig())
    with World(tmp_path, rules=rules, reports=[]) as world:
        world.append([*fail(6), login(NOON + 20 * SECOND, user="bob", **DONE)])
        world.append(login(NOON + n * SECOND, user="bob") for n in (30, 40))
        world.finish()
        world.restart()
        world.append([login(NOON + 50 * SECOND, user="bob")])
        world.finish()
        (finding,) = [f for f in world.findings() if f.rule == "success_after_failures"]
        evidence = read_evidence(world.reports, world.read, finding)
        assert (finding.count, evidence.count, evidence.note(finding)) == (10, 10, "")
        own = [p for p in world.reports.read("evidence", 0, 2**62) if finding.id in str(p.fields)]
        assert len(own) == 10


def test_grows_with_the_finding(world: World) -> None:
    """Each event is written once, over revisions, restarts and late events."""
    events = [login(NOON + n * SECOND) for n in range(30)]
    for number in (4, 9, 20, 30):
        world.append(events[len(list(world.events.events(0, 2**62))) : number])
        world.run_cycle(everything=True)
        world.restart()
    world.append([late := login(NOON + SECOND // 2)])
    world.run_cycle(everything=True)
    (finding,) = world.findings()
    assert times(world, finding) == sorted(event.time for event in [*events, late])
    assert len(world.rows("evidence")) == 31


def test_says_of_how_many_it_shows_the_first(world: World) -> None:
    """Of more than 1,000 events the first 1,000 are kept, whatever came when."""
    world.append([login(NOON + n * SECOND // 10) for n in range(1500)])
    world.run_cycle(everything=True)
    (finding,) = world.findings()
    evidence = read_evidence(world.reports, world.read, finding)
    assert [event.time for event in evidence.events] == [
        NOON + n * SECOND // 10 for n in range(1000)
    ]
    assert evidence.note(finding) == "1,000 of 1,500 events"
    assert len(world.rows("evidence")) == 1000


def test_flood_of_a_minute_is_not_held_as_a_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many failures in a minute the first are kept, and what succeeds among them."""
    monkeypatch.setattr(dispatch, "_BATCH", 10)
    monkeypatch.setattr(dispatch, "MOST_SHOWN", 20)
    world.append([login(NOON + n * SECOND // 10) for n in range(100)])
    world.run_cycle(everything=True)
    (finding,) = world.findings()
    evidence = read_evidence(world.reports, world.read, finding)
    assert [event.time for event in evidence.events] == [NOON + n * SECOND // 10 for n in range(20)]
    assert evidence.note(finding) == "20 of 100 events"


def test_outlives_the_store_of_events(world: World) -> None:
    """What was shown is shown when the events are deleted, and that they are is said."""
    world.append(attack(NOON))
    world.run_cycle(everything=True)
    (finding,) = world.findings()
    before = read_evidence(world.reports, world.read, finding).events
    world.events.max_age = 0.0
    world.events.prune(now=1.0)
    world.events.prune(now=10_000.0)
    while world.events.prune(now=20_000.0):
        pass
    after = read_evidence(world.reports, world.read, finding)
    assert after.events == before
    assert after.note(finding) == "4 of these are deleted from the store of events"


@pytest.mark.parametrize("killed", [False, True])
def test_follows_what_late_events_change(tmp_path: Path, killed: bool) -> None:
    """A login that was not new after all leaves the evidence; a withdrawn finding keeps its own."""
    rule = NewNetwork(BaselineConfig(Duration("28d"), Duration("7d"), 5), NewNetworkConfig())
    new = [login(NOON + n * MINUTE, f"203.0.{113 + n}.1", **BY_KEY) for n in range(2)]
    with World(tmp_path, rules=[rule], reports=[]) as world:
        world.now = NOON + HOUR
        world.append([*KNOWN, *new])
        world.run_cycle(everything=True)
        (finding,) = world.findings()
        assert times(world, finding) == [event.time for event in new]
        if killed:
            world.restart()
        world.append([login(NOON - DAY, "203.0.114.9", **BY_KEY)])
        world.run_cycle(everything=True)
        (finding,) = [f for f in world.findings() if f.first == NOON]
        assert times(world, finding) == [NOON]
        if killed:
            world.restart()
        world.append([login(NOON - DAY, "203.0.113.9", **BY_KEY)])
        world.run_cycle(everything=True)
        revision = last_revisions(world.reports, NOON, NOON + 1)[finding.key]
        assert not revision.is_current
        assert times(world, revision.finding) == [NOON]

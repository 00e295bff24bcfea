"""A flood gives few findings, in whatever order it comes, and hides nothing that succeeded."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.facts import owner_of
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.web.findings import list_findings
from heptad.aggregator.web.query import Query
from heptad.core.config.findings import BruteForceConfig, FindingsConfig
from heptad.core.config.types import Duration
from heptad.core.event import Event
from tests.support.aggregator_world import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, World, attack, login
from tests.support.effort import tries

NOON = MIDNIGHT + 12 * HOUR
DONE: dict[str, Any] = {"outcome": "success"}


def address(n: int) -> str:
    """One of many of an IPv4 network, or in a /64 of its own."""
    return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" if n % 2 else f"2001:db8:0:{n:x}::1"


def privilege(n: int, **fields: Any) -> list[Event]:
    """A user of their own at sudo or su."""
    own = {"action": "privilege", "method": "", "user": f"user{n}", "target_user": "root"}
    return [login(NOON + n * SECOND, None, **{**own, **fields})]


def change(n: int, action: str) -> list[Event]:
    """A change of an account of its own."""
    own = {**DONE, "action": action, "method": "", "user": None, "target_user": f"user{n}"}
    return [login(NOON + n * SECOND, None, **own)]


def guess(n: int, number: int, step: int, **fields: Any) -> list[Event]:
    """Failed logins from an address of their own."""
    begin = NOON + n * SECOND
    return [login(begin + m * step, address(n), **fields) for m in range(number)]


FLOODS: dict[str, Callable[[int], list[Event]]] = {
    "brute_force": lambda n: guess(n, 6, SECOND),
    "slow_brute_force": lambda n: guess(n, 4, HOUR),
    "spraying": lambda n: [e for m in range(10) for e in guess(n, 1, 0, user=f"name{m}")],
    "sweep": lambda n: [e for m in range(3) for e in guess(n, 1, 0, host=f"host{m}")],
    "distributed": lambda n: [
        login(NOON + n * SECOND + m, address(m), user=f"user{n}", reason="bad_credential")
        for m in range(20)
    ],
    "sudo_refused": lambda n: privilege(n, program="sudo", reason="not_in_sudoers"),
    "su_to_root": lambda n: privilege(n, program="su", **DONE),
    "account_change": lambda n: change(n, "account_create"),
    "password_change": lambda n: change(n, "password_change"),
    "root_password_login": lambda n: guess(n, 1, 0, **DONE),
    "new_network": lambda n: (
        [login(NOON - day * DAY + n, "192.0.2.1", user=f"user{n}", **DONE) for day in range(1, 10)]
        + [login(NOON + n, "198.51.100.1", user=f"user{n}", **DONE)]
    ),
}


@pytest.mark.table
@pytest.mark.parametrize("rule", FLOODS)
@pytest.mark.parametrize("order", ["straight", "reverse", "shuffled"])
def test_flood_is_one_finding(tmp_path: Path, rule: str, order: str) -> None:
    """However it arrives: what a reader sees is the same, bounded, and counted a few times."""
    number = 60
    events = sorted((e for n in range(number) for e in FLOODS[rule](n)), key=lambda e: e.time)
    if order == "reverse":
        events.reverse()
    elif order == "shuffled":
        random.Random(7).shuffle(events)
    rules = [one for one in rules_of(FindingsConfig()) if one.name == rule]
    with World(tmp_path, rules=rules, reports=[]) as world:
        world.now = NOON + 10 * HOUR
        step = len(events) // 7 + 1
        for at in range(0, len(events), step):
            world.append(events[at : at + step])
            world.run_cycle()
        world.finish()
        (finding,) = world.findings()
        assert (finding.subject, finding.joined) == ("", number)
        assert world.counter("heptad_findings_total") <= rules[0].most + 3
        evidence = read_evidence(world.reports, world.read, finding)
        assert evidence.count == min(finding.count, 1000)


def test_what_succeeds_in_a_flood_is_a_finding_of_its_own(tmp_path: Path) -> None:
    """One address of hundreds guesses a password, another goes on and on: both are seen."""
    with World(tmp_path, rules=rules_of(FindingsConfig()), reports=[]) as world:
        world.now = NOON + 10 * HOUR
        world.append(e for n in range(300) for e in guess(n, 6, SECOND, user="bob"))
        world.append([login(NOON + 10 * MINUTE, address(77), user="bob", **DONE)])
        world.append(attack(NOON, 70, "192.0.2.9"))
        world.finish()
        found = world.findings()
        assert len(found) <= 100
        (success,) = [f for f in found if f.rule == "success_after_failures"]
        assert (success.subject, success.users, success.count) == (
            owner_of(address(77)),
            ("bob",),
            7,
        )
        told = {f.subject: f.severity for f in found if f.rule == "brute_force"}
        assert told == {"": "low", "192.0.2.9": "medium"}


def test_one_64_is_one_attacker(tmp_path: Path) -> None:
    """Whoever tries each password from another address of it is one finding, and gets in as one."""
    with World(tmp_path, rules=rules_of(FindingsConfig()), reports=[]) as world:
        own = [f"2001:db8:0:7:{n:x}:{n:x}::1" for n in range(1, 400)]
        world.append(login(NOON + n * SECOND, ip, user="bob") for n, ip in enumerate(own))
        world.append([login(NOON + 10 * MINUTE, "2001:db8:0:7::9", user="bob", **DONE)])
        world.append(attack(NOON, 5, "2001:db8:0:8::1"))
        world.finish()
        found = {(f.rule, f.subject): f for f in world.findings()}
        assert {(f.rule, f.subject): (f.count, f.severity) for f in found.values()} == {
            ("brute_force", "2001:db8:0:7::/64"): (399, "medium"),
            ("brute_force", "2001:db8:0:8::/64"): (5, "low"),
            ("distributed", "bob"): (399, "medium"),
            ("success_after_failures", "2001:db8:0:7::/64"): (400, "high"),
        }
        for finding in found.values():
            assert read_evidence(world.reports, world.read, finding).count == finding.count
        told = {f.subject: f.sentence for f in found.values() if f.rule == "brute_force"}
        assert told["2001:db8:0:7::/64"].startswith("Brute force · 2001:db8:0:7::/64 → ")
        assert told["2001:db8:0:8::/64"].startswith("Brute force · 2001:db8:0:8::1 → ")


@pytest.mark.parametrize("form", ["64:ff9b::c000:2{:02x}", "fe80::{}", "192.0.2.{}"])
def test_what_is_no_ones_network_is_told_by_address(tmp_path: Path, form: str) -> None:
    """IPv4 in IPv6 and the hosts of a link share a /64, and are not one attacker."""
    rules = [BruteForce(BruteForceConfig(4, Duration("3m")))]
    with World(tmp_path, rules=list(rules), reports=[]) as world:
        world.append(e for n in range(10, 13) for e in attack(NOON, 4, form.format(n)))
        world.finish()
        assert sorted(f.subject for f in world.findings()) == [
            form.format(n) for n in range(10, 13)
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Brute force alone."""
    with World(tmp_path, reports=[]) as world:
        world.now = NOON + 10 * HOUR
        yield world


def subjects(world: World) -> list[str]:
    """Whom the findings are about that a reader sees."""
    return sorted(finding.subject for finding in world.findings())


def test_up_to_twenty_are_told_each(world: World) -> None:
    """One more joins them all; those of before say what took their place."""
    for n in range(20):
        world.append(attack(NOON + n * SECOND, 4, address(n)))
        world.run_cycle()
    assert subjects(world) == sorted(owner_of(address(n)) for n in range(20))
    world.append(attack(NOON + MINUTE, 4, address(20)))
    world.run_cycle(everything=True)
    assert subjects(world) == [""]
    (finding,) = world.findings()
    assert finding.sentence == (
        "Brute force · on web1 · 21 findings about 21 addresses, 84 events within 2 minutes"
    )
    rows = [p.fields for p in world.reports.read("findings", 0, 2**62)]
    assert [r["superseded_by"] for r in rows if r["state"] == "superseded"] == [NOON] * 20


def test_late_event_that_makes_them_fewer_tells_them_again(world: World) -> None:
    """Where two findings become one, 20 are left, and each is told by itself."""
    world.append(e for n in range(19) for e in attack(NOON + n * SECOND, 4, address(n)))
    world.append([*attack(NOON, 4, "192.0.2.1"), *attack(NOON + 6 * MINUTE, 4, "192.0.2.1")])
    world.run_cycle(everything=True)
    assert subjects(world) == [""]
    world.append([login(NOON + 3 * MINUTE)])
    world.run_cycle(everything=True)
    assert subjects(world) == sorted([*(owner_of(address(n)) for n in range(19)), "192.0.2.1"])


def test_severe_ones_are_told_besides(world: World) -> None:
    """Of many findings those of medium severity stay findings of their own, up to ten."""
    world.append(e for n in range(20) for e in attack(NOON + n * SECOND, 4, address(n)))
    world.append(e for n in range(10) for e in attack(NOON, 40, f"192.0.2.{n}"))
    world.run_cycle(everything=True)
    assert subjects(world) == ["", *[f"192.0.2.{n}" for n in range(10)]]
    world.append(attack(NOON, 40, "192.0.2.10"))
    world.run_cycle(everything=True)
    (finding,) = world.findings()
    assert (finding.severity, finding.joined) == ("medium", 31)


def on(host: str, events: list[Event]) -> list[Event]:
    """The same on another host."""
    return [msgspec.structs.replace(event, host=host) for event in events]


def test_noise_of_one_host_hides_nothing_on_another(world: World) -> None:
    """Up to five findings of a quiet host are told besides, whenever they come."""
    world.append(on("quiet", attack(NOON, 4, "192.0.2.1")))
    world.append(e for n in range(30) for e in attack(NOON + n * SECOND, 4, address(n)))
    world.run_cycle(everything=True)
    assert subjects(world) == ["", "192.0.2.1"]
    for n in range(2, 6):
        world.append(on("quiet", attack(NOON + n * MINUTE, 4, f"192.0.2.{n}")))
        world.run_cycle()
    assert subjects(world) == ["", *[f"192.0.2.{n}" for n in range(1, 6)]]
    world.append(on("quiet", attack(NOON + 6 * MINUTE, 4, "192.0.2.6")))
    world.run_cycle(everything=True)
    assert subjects(world) == [""]
    (finding,) = world.findings()
    assert (finding.joined, finding.hosts) == (36, ("quiet", "web1"))


def test_a_host_that_gets_quiet_again_is_told(world: World) -> None:
    """Where a late event shows that a finding began elsewhere, the others are told besides."""
    world.append(e for n in range(30) for e in attack(NOON + n * SECOND, 4, address(n)))
    for n in range(1, 7):
        world.append(on("quiet", attack(NOON + n * MINUTE, 4, f"192.0.2.{n}")))
    world.run_cycle(everything=True)
    assert subjects(world) == [""]
    world.append(attack(NOON + 5 * MINUTE, 4, "192.0.2.6"))
    world.run_cycle(everything=True)
    assert subjects(world) == ["", *[f"192.0.2.{n}" for n in range(1, 6)]]


def test_very_many_quiet_hosts_are_one_finding(world: World) -> None:
    """Whoever can write events of a thousand hosts gets one finding for them."""
    world.append(
        e for n in range(1001) for e in on(f"host{n}", attack(NOON + n * SECOND, 4, address(n)))
    )
    world.run_cycle(everything=True)
    assert subjects(world) == [""]


def test_restart_changes_nothing(world: World) -> None:
    """What is joined is written once, and goes on after a kill."""
    world.append(e for n in range(24) for e in attack(NOON + n * SECOND, 4, address(n)))
    world.run_cycle(everything=True)
    world.restart()
    world.finish()
    world.backfill(NOON - DAY, NOON + DAY)
    assert len(world.rows("findings")) == 1
    world.append(attack(NOON + MINUTE, 4, address(24)))
    world.restart()
    world.finish()
    (finding,) = world.findings()
    assert (finding.joined, finding.count) == (25, 100)


CROWDED = st.lists(
    st.builds(
        lambda n, minute, number, host: on(
            host, attack(NOON + minute * MINUTE, number, f"192.0.2.{n}")
        ),
        st.integers(0, 40),
        st.sampled_from([0, 1, 3, 8, 720, 721]),
        st.sampled_from([2, 4, 4, 5, 40]),
        st.sampled_from(["web1", "web1", "web1", "web2", "web3"]),
    ),
    max_size=40,
)


@settings(max_examples=tries(30), deadline=None)
@given(CROWDED, st.data())
def test_path_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, attacks: list[list[Event]], data: st.DataObject
) -> None:
    """Any order, looks and kills anywhere: readers see what one look at all events gives."""
    rules = [BruteForce(BruteForceConfig(4, Duration("3m")))]
    waiting = data.draw(st.permutations(attacks))
    with (
        World(tmp_path_factory.mktemp("world"), rules=list(rules), reports=[]) as world,
        World(tmp_path_factory.mktemp("straight"), rules=list(rules), reports=[]) as straight,
    ):
        world.now = NOON + 2 * DAY
        for number, events in enumerate(waiting):
            world.append(events)
            if data.draw(st.booleans()):
                world.run_cycle(everything=data.draw(st.booleans()))
            if number % 5 == 4:
                world.restart()
        world.finish()
        straight.append(world.events.events(0, 2**62))
        straight.finish()
        assert world.findings() == straight.findings()
        per_day = Counter((finding.rule, finding.day) for finding in world.findings())
        assert max(per_day.values(), default=0) <= 25


def test_page_names_what_is_joined(world: World) -> None:
    """The page shows it with its number, and its events."""
    world.append(e for n in range(30) for e in attack(NOON + n * SECOND, 4, address(n)))
    world.run_cycle(everything=True)
    (shown,) = list_findings(world.reports, Query(since=NOON - DAY, until=NOON + DAY))["findings"]
    assert (shown["subject"], shown["joined"]) == ("", 30)

"""Findings by host in metrics: which names are labels, and what the numbers add up to."""

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.registry import CollectorRegistry

from heptad.aggregator.detection.finding import Finding, Revision
from heptad.aggregator.detection.open_findings import MOST_HOSTS
from heptad.aggregator.detection.rules.success_after_failures import SuccessAfterFailures
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.stores import open_stores
from heptad.core.config.findings import SuccessAfterFailuresConfig
from heptad.core.config.schema import load_config
from heptad.core.config.types import Duration
from heptad.core.influxdb.heartbeats import Fleet, Heartbeat
from heptad.core.validation import Intake
from tests.support.aggregator_world import HOUR, MIDNIGHT, MINUTE, SECOND, login
from tests.support.effort import tries
from tests.support.fleet_world import FleetWorld
from tests.support.influxdb import Influxd

RULE = "success_after_failures"


def finding(
    number: int, *hosts: str, severity: str = "high", age: int = MINUTE, **more: Any
) -> Finding:
    """A finding of a rule whose last event was so long ago."""
    at = time.time_ns() - age
    return Finding(
        rule=RULE,
        subject=f"subject {number}",
        first=at,
        last=at,
        day=1,
        severity=severity,
        sentence="",
        count=1,
        hosts=hosts,
        **more,
    )


def metrics_of(*findings: Finding, vouched: frozenset[str] | set[str]) -> AggregatorMetrics:
    """The metrics where these findings are current."""
    metrics = AggregatorMetrics([RULE])
    metrics.recall({})
    metrics.open.vouch(vouched)
    for one in findings:
        metrics.note(Revision(one, 0))
    return metrics


def samples(metrics: AggregatorMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Values of labels, in the order of their names, → the value."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    (family,) = (one for one in registry.collect() if one.name == name)
    return {tuple(v for _, v in sorted(s.labels.items())): s.value for s in family.samples}


def open_by_host(metrics: AggregatorMetrics, severity: str = "high") -> dict[str, float]:
    """Host → its findings of the last day."""
    found = samples(metrics, "heptad_host_findings_open")
    return {
        host: n
        for (host, level, within), n in found.items()
        if (level, within) == (severity, "24h")
    }


def test_a_name_that_nothing_vouches_for_is_no_label() -> None:
    """Of 10,000 names that somebody typed none is a label: all their findings are of `other`."""
    typed = [finding(n, f"typed-{n}") for n in range(10_000)]
    metrics = metrics_of(*typed, finding(0, "web-1"), vouched={"web-1"})
    assert open_by_host(metrics) == {"web-1": 1, "other": 10_000}
    last = samples(metrics, "heptad_host_findings_last_timestamp_seconds")
    assert {host for host, _, _ in last} == {"web-1", "other"}


def test_a_low_finding_makes_no_host_a_label() -> None:
    """Hosts are named for what somebody has to look at."""
    assert open_by_host(metrics_of(finding(1, "web-1", severity="low"), vouched={"web-1"})) == {}


def test_the_worst_hosts_have_labels() -> None:
    """Of more hosts than may be labels those with high findings go first; `other` has the rest."""
    names = [f"h{n:03}" for n in range(MOST_HOSTS + 50)]
    found = [finding(n, name, severity="medium") for n, name in enumerate(names)]
    found += [finding(1000 + n, name) for n, name in enumerate(names[-10:])]
    metrics = metrics_of(*found, vouched=frozenset(names))
    assert open_by_host(metrics) == dict.fromkeys(names[-10:], 1.0)
    medium = open_by_host(metrics, "medium")
    assert len(medium.keys() | open_by_host(metrics)) == MOST_HOSTS + 1
    assert medium["other"] == 50
    assert sum(medium.values()) == len(names)


def test_names_of_a_process_are_bounded() -> None:
    """Whoever can vouch for ever new names makes so many series of them, and no more."""
    metrics = metrics_of(vouched=frozenset())
    seen: set[str] = set()
    for turn in range(60):
        names = [f"{turn}-{n}" for n in range(MOST_HOSTS)]
        metrics.open.vouch(names)
        for n, name in enumerate(names):
            metrics.note(Revision(finding(turn * 1000 + n, name, age=(60 - turn) * SECOND), 0))
        seen |= open_by_host(metrics).keys()
    assert len(seen - {"other"}) == 5000


hosts = st.lists(st.sampled_from(["a", "b", "other", "typed", 'x"} 1\n']), max_size=3, unique=True)


@settings(max_examples=tries(100), deadline=None)
@given(
    st.lists(
        st.tuples(hosts, st.sampled_from(["high", "medium", "low"]), st.booleans()), max_size=9
    )
)
def test_sums_agree(told: list[tuple[list[str], str, bool]]) -> None:
    """A host has as many findings as name it; a name that is not vouched for is in `other`, once."""
    found = [
        finding(n, *names, severity=severity, age=HOUR * 2 if old else MINUTE)
        for n, (names, severity, old) in enumerate(told)
    ]
    metrics = metrics_of(*found, vouched={"a", "b", "other"})
    expected: dict[tuple[str, str, str], float] = defaultdict(float)
    for one in found:
        for host in {name if name in "ab" else "other" for name in one.hosts or ("other",)}:
            for within in ("1h", "24h")[one.last < time.time_ns() - HOUR :]:
                if one.severity != "low":
                    expected[host, one.severity, within] += 1
    assert samples(metrics, "heptad_host_findings_open") == expected
    total = samples(metrics, "heptad_findings_open")
    assert sum(n for (_, _, within), n in total.items() if within == "24h") == len(found)


def test_the_last_event_of_the_newest_finding() -> None:
    """By rule and severity, and by host; what was withdrawn leaves no host behind."""
    older, newer = finding(1, "web-1", age=HOUR), finding(2, "web-1")
    metrics = metrics_of(older, newer, vouched={"web-1"})
    last = {("web-1", RULE, "high"): newer.last / SECOND}
    assert samples(metrics, "heptad_host_findings_last_timestamp_seconds") == last
    found = samples(metrics, "heptad_findings_last_timestamp_seconds")
    assert found == {(RULE, "high"): newer.last / SECOND, (RULE, "medium"): 0, (RULE, "low"): 0}
    for one in (older, newer):
        metrics.note(Revision(one, 1, withdrawn=True))
    assert samples(metrics, "heptad_host_findings_last_timestamp_seconds") == {}


def test_a_configuration_vouches_for_its_names(tmp_path: Path) -> None:
    """Its own host, and those that its sources list."""
    file = tmp_path / "heptad.yaml"
    source = {"name": "fleet", "type": "file", "paths": ["/var/log/x"], "hosts": ["db-1", "web-1"]}
    stores = {"path": str(tmp_path / "reports.db")}
    file.write_text(
        yaml.safe_dump({"host": "loghost", "sources": [source], "aggregator": {"store": stores}})
    )
    opened = open_stores(load_config(file), Intake())
    assert set(opened.hosts()) == {"loghost", "db-1", "web-1"}
    opened.close()


def test_a_heartbeat_vouches_for_a_name_that_a_configuration_can_have() -> None:
    """An exporter is known by its heartbeats; a name that no `host` can be is not one."""
    beats = [Heartbeat((host, "m"), 1, 1) for host in ("web-1", 'x"} 1', "a" * 300, "new\nline")]
    assert Fleet.of(beats, 2).hosts() == {"web-1"}


@pytest.mark.system
def test_a_host_in_a_point_is_not_one_with_a_heartbeat(influxd: Influxd) -> None:
    """On a real InfluxDB: who writes points of a host does not make its name a label."""
    rule = SuccessAfterFailures(SuccessAfterFailuresConfig(4, Duration("1h")))
    with FleetWorld(influxd, rules=[rule]) as world:
        for host in ("web1", "typed"):
            address = f"192.0.2.{len(host)}"
            tries = [login(MIDNIGHT + n * SECOND, address, host=host) for n in range(8)]
            world.append([*tries, login(MIDNIGHT + MINUTE, address, host=host, outcome="success")])
        world.finish()
        hosts = {host for one in world.findings() for host in one.hosts}
        assert hosts == {"web1", "typed"}
        assert world.fleet.hosts() == {"web1"}

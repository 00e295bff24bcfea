"""The current row of each finding, by which dashboards list findings, on real servers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from dashboards.current import query
from heptad.aggregator.detection.current import HOUR, current_row, looked_row, slot_of
from heptad.aggregator.detection.finding import Finding, Revision
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.core.config.schema import load_config
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Row
from tests.aggregator.test_service import fetch
from tests.aggregator.test_service import running as running_aggregator
from tests.support.aggregator_world import MINUTE, SECOND, attack
from tests.support.grafana import BOARDS, panels_of, put_in, rows_after
from tests.support.influxdb import Influxd
from tests.support.waiting import until

NOW: Final = time.time_ns()
MANY: Final = 100_000


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.system) for name in ("influxd", "influxd_2")]
)
def server(request: pytest.FixtureRequest) -> Influxd:
    """Each real generation."""
    found: Influxd = request.getfixturevalue(request.param)
    return found


@contextmanager
def buckets(server: Influxd, *names: str) -> Iterator[tuple[str, ...]]:
    """Buckets of a test's own."""
    server.create(*names)
    try:
        yield names
    finally:
        server.drop(*names)


def finding(number: int = 1, severity: str = "high", age: int = MINUTE) -> Finding:
    """A finding that began so long ago."""
    address = f"203.0.113.{number}"
    return Finding(
        rule="success_after_failures" if severity == "high" else "brute_force",
        subject=address,
        first=NOW - age,
        last=NOW - age,
        day=1,
        severity=severity,
        sentence=f"{address} is {severity}",
        count=1,
        addresses=(address,),
        users=("bob", "root", "mail", "git"),
        hosts=("web-1",),
    )


def shown(
    server: Influxd, bucket: str, back: int = 24 * HOUR, **of: str
) -> list[dict[str, object]]:
    """The rows of the dashboards' query for a range that ends now."""
    values = {"__from": str((NOW - back) // 10**6), "__to": str(NOW // 10**6)}
    values |= {name: of.get(name, "") for name in ("address", "user", "finding")}
    text = query(narrow=("address", "user", "finding")).query
    return server.rows(put_in(text, {**values, "host": {"all": ".*"}}), bucket)


def write(server: Influxd, bucket: str, rows: Sequence[Row]) -> None:
    """Write rows as they are."""
    server.write(bucket, map(line_of, rows))


def test_a_high_finding_survives_all_others(server: Influxd) -> None:
    """100,000 revisions of lower findings and of other high ones do not push it out.

    It is above all lower ones in the panel, and what was withdrawn in the end is gone.
    """
    with buckets(server, "current_many") as (bucket,):
        write(server, bucket, [looked_row(NOW - SECOND)])
        lone = Revision(finding(99, age=20 * HOUR), 0)
        write(server, bucket, [current_row(lone, replaces=True)])
        most = MANY // 90 + 1
        for shift, severity in ((0, "low"), (100, "medium"), (0, "high")):
            rows = [
                current_row(Revision(finding(n + shift, severity), 0), replaces=True)
                for n in range(90)
            ]
            number = 1 if severity == "medium" else most
            for begin in range(0, number, 139):
                some = range(begin, min(begin + 139, number))
                server.write(bucket, (_revised(row, n) for row in rows for n in some))
        gone = [Revision(finding(n, "high"), most, withdrawn=True) for n in range(30)]
        write(server, bucket, [current_row(one, replaces=True) for one in gone])
        begun = time.monotonic()
        found = rows_after(shown(server, bucket), _transformations("Look at these first"))
        assert time.monotonic() - begun < 10
        severities = [row["Severity"] for row in found]
        assert severities == ["high"] * 61 + ["medium"] * 90 + [None]
        assert found[60]["From"] == "203.0.113.99"
        assert {row["From"] for row in found[:60]} == {f"203.0.113.{n}" for n in range(30, 90)}
        assert sum(float(str(row["high"])) for row in found) == 61.25


def _revised(row: Row, number: int) -> str:
    """The line of the same finding at its revision of this number, as ``current_row`` makes it."""
    body = row.body.replace("revision=0i", f"revision={number}i")
    return line_of(msgspec.structs.replace(row, body=body))


def _transformations(panel: str) -> list[dict[str, Any]]:
    found = next(one for one in panels_of(BOARDS["now"]) if one["title"] == panel)
    return list(found["transformations"])


@pytest.mark.parametrize("replaces", [True, False])
def test_each_finding_has_one_row(server: Influxd, replaces: bool) -> None:
    """The last revision counts, whether it replaced the ones before or lies beside them.

    One that rose is listed once, one that was withdrawn or merged not at all.
    """
    rose, gone, merged = finding(1), finding(2), finding(3, "medium")
    told = [
        Revision(finding(1, "high"), 0),
        Revision(rose, 1),
        Revision(gone, 0),
        Revision(gone, 1, withdrawn=True),
        Revision(merged, 0),
        Revision(merged, 1, superseded_by=NOW),
        Revision(finding(4, "medium"), 0),
    ]
    with buckets(server, "current_one") as (bucket,):
        write(server, bucket, [current_row(one, replaces=replaces) for one in told])
        write(server, bucket, [looked_row(NOW - SECOND)])
        rows = shown(server, bucket)
        named = [(row["Severity"], row["From"]) for row in rows if row["level"]]
        assert sorted(named) == [("high", "203.0.113.1"), ("medium", "203.0.113.4")]
        (first,) = (row for row in rows if row["Severity"] == "high")
        assert (first["user"], first["Who"]) == ("bob", "bob, root, mail and 1 other")


def test_only_a_recent_look_is_proof(server: Influxd) -> None:
    """A sum of findings has the proof's part only while the aggregator looks."""
    with buckets(server, "current_proof") as (bucket,):
        assert shown(server, bucket) == []
        write(server, bucket, [looked_row(NOW - 10 * MINUTE)])
        assert shown(server, bucket) == []
        write(server, bucket, [looked_row(NOW - SECOND)])
        (row,) = shown(server, bucket)
        assert (row["level"], row["high"], row["medium"]) == (0, 0.25, 0.25)


def test_findings_are_narrowed(server: Influxd) -> None:
    """By address, user and the finding's own name; the proof stays."""
    with buckets(server, "current_narrow") as (bucket,):
        rows = [current_row(Revision(finding(n), 0), replaces=True) for n in (1, 2)]
        write(server, bucket, [*rows, looked_row(NOW - SECOND)])
        for of in ({"address": "203.0.113.2"}, {"finding": finding(2).id}):
            assert [row["From"] for row in shown(server, bucket, 24 * HOUR, **of)] == [
                "203.0.113.2",
                None,
            ]
        assert len(shown(server, bucket, user="bob")) == 3
        assert len(shown(server, bucket, user="eve")) == 1


def test_findings_have_places_of_their_own() -> None:
    """Two of one rule that begin at the same time do not share a microsecond."""
    places = {slot_of(("brute_force", str(n), NOW)) for n in range(10_000)}
    assert len(places) == 10_000
    assert {place // HOUR for place in places} == {NOW // HOUR}
    assert {place % 1000 for place in places} == {0}


def test_the_aggregator_writes_current_rows(server: Influxd, tmp_path: Path) -> None:
    """Those of new findings, and after a start those that are missing; and that it looked."""
    names = ("w_events", "w_reports", "w_heptad")
    with buckets(server, *names):
        settings = {
            "influxdb": {
                "url": server.url,
                **server.keys,
                "buckets": dict(zip(("events", "reports", "heptad"), names, strict=True)),
            },
            "aggregator": {
                "listen": "127.0.0.1:0",
                "poll": "10ms",
                "store": {"path": str(tmp_path / "none.db")},
                "findings": {"brute_force": {"attempts": 4, "span": "3m"}},
            },
        }
        (tmp_path / "heptad.yaml").write_text(yaml.safe_dump(settings))
        config = load_config(tmp_path / "heptad.yaml")
        with running_aggregator(config) as aggregator:
            events = attack(time.time_ns() - 10 * SECOND, address="192.0.2.9")
            server.write("w_events", [line_of(row_of_event(event)) for event in events])
            until(lambda: _subjects(server) == {"192.0.2.9"})
            until(lambda: server.count("w_reports", "looked", "last") > 0)
            counted = 'heptad_findings_open{rule="brute_force",severity="low",within="1h"} 1.0'
            until(lambda: counted in fetch(aggregator, "/metrics")[1])
        _forget_current(server)
        assert _subjects(server) == set()
        with running_aggregator(config):
            until(lambda: _subjects(server) == {"192.0.2.9"})


def _subjects(server: Influxd) -> set[str]:
    return {row["subject"] for row in server.rows('SELECT * FROM "findings_current"', "w_reports")}


def _forget_current(server: Influxd) -> None:
    delete = getattr(server, "call", None)
    if delete is None:
        server.query('DROP MEASUREMENT "findings_current"', "w_reports")
        return
    where = "org=heptad&bucket=w_reports"
    span = {"start": "1970-01-01T00:00:00Z", "stop": "2200-01-01T00:00:00Z"}
    delete("POST", f"/api/v2/delete?{where}", {**span, "predicate": '_measurement="findings_current"'})  # fmt: skip


def test_open_findings_are_counted_by_age() -> None:
    """One that was withdrawn is no longer open, and one of yesterday only for the longer span."""
    metrics = AggregatorMetrics(["brute_force", "success_after_failures"])
    metrics.recall({})
    now = time.time_ns()
    recent = [finding(n, "high", age=NOW - now + MINUTE) for n in (1, 2)]
    for one in (*recent, finding(3, "high", age=5 * HOUR), finding(4, "low", age=30 * HOUR)):
        metrics.note(Revision(one, 0))
    metrics.note(Revision(recent[0], 1, withdrawn=True))
    (family,) = (one for one in metrics.collect() if one.name == "heptad_findings_open")
    counts = {tuple(sample.labels.values()): sample.value for sample in family.samples}
    assert counts[("success_after_failures", "high", "1h")] == 1
    assert counts[("success_after_failures", "high", "24h")] == 2
    assert counts[("brute_force", "low", "24h")] == counts[("brute_force", "medium", "1h")] == 0


def test_a_row_leads_to_the_first_event_after_a_restart_too() -> None:
    """A finding that was read back has its evidence elsewhere, and knows where it begins."""
    whole = msgspec.structs.replace(finding(1), evidence=((NOW - HOUR, "a"), (NOW, "b")))
    begin = f"begin={NOW - HOUR}i"
    assert begin in line_of(current_row(Revision(whole, 0), replaces=True))
    back = msgspec.structs.replace(whole, evidence=(), evidence_from=NOW - HOUR)
    assert begin in line_of(current_row(Revision(back, 0), replaces=True))


def test_a_row_has_an_address_where_there_is_only_one() -> None:
    """The link of a finding narrows to it; of several the first would hide the others."""
    for addresses, more, only in (
        (("192.0.2.9",), (), "192.0.2.9"),
        (("192.0.2.9", "192.0.2.10"), (), ""),
        (("192.0.2.9",), ("addresses",), ""),
        ((), (), ""),
    ):
        told = msgspec.structs.replace(finding(1), addresses=addresses, more=more)
        line = line_of(current_row(Revision(told, 0), replaces=True))
        assert f'one_address="{only}"' in line

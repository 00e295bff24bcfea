"""heptad exporter resend: what was delivered is sent once more, where the other end lost it."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from heptad.cli.commands.exporter import run_resend
from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Payload, Retry
from heptad.core.store.field_conflict import Conflict
from heptad.core.store.held import HeldPoint as Held
from heptad.core.store.outbox import Outbox
from heptad.core.store.point import Row
from heptad.exporter.delivery import redelivery
from heptad.exporter.delivery.redelivery import request_resend
from tests.exporter.test_forwarder import NOW, Bucket, Host, Patient
from tests.support.clock import Clock

CONFLICT = Conflict("events", "count", "integer", "float")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of what is sent again."""
    clock = Clock(0)
    monkeypatch.setattr(redelivery, "time", clock)
    monkeypatch.setattr(clock, "time_ns", lambda: NOW + int(clock.now), raising=False)
    return clock


@pytest.fixture
def host(tmp_path: Path, clock: Clock) -> Iterator[Host]:
    """A host that delivered 20 points, and whose bucket is then lost."""
    host = Host(tmp_path / "events.db")
    add(host, 0, 20)
    host.step_until_done()
    assert len(host.events.points) == 20
    host.events.points.clear()
    yield host
    host.kill()


def add(host: Host, since: int, until: int) -> None:
    """Store these points."""
    rows = [Row("events,host=a", NOW + n, "count=1i", f"line {n}") for n in range(since, until)]
    host.store.append(rows)


def numbers(bucket: Bucket) -> list[int]:
    """The points that are there."""
    return sorted(int(raw.split()[1]) for raw in bucket.raws())


def ask(host: Host, clock: Clock) -> None:
    """As the command does, while the exporter runs; it looks every few seconds."""
    clock.now += 10
    assert request_resend(host.path) == 20


def test_everything_is_sent_once_more(host: Host, clock: Clock) -> None:
    """All that the store has arrives again, once; also where new points come meanwhile."""
    ask(host, clock)
    add(host, 20, 30)
    host.step_until_done()
    assert numbers(host.events) == list(range(30))
    assert "line 20" in "".join(host.events.parcels[3].lines)  # new ones come first
    sent = len(host.events.parcels)
    clock.now += 10
    host.step_until_done()
    assert len(host.events.parcels) == sent


def test_it_goes_on_after_a_kill(host: Host, clock: Clock) -> None:
    """An exporter that is killed goes on where it was, and does not begin anew."""
    ask(host, clock)
    host.forwarder.step(host.stop)
    host.kill()
    host.start()
    host.step_until_done()
    assert numbers(host.events) == list(range(20))
    assert len([line for payload in host.events.parcels for line in payload.lines]) == 40


@pytest.mark.parametrize("outcome", [Retry("no answer"), Blocked("no bucket")])
def test_a_sink_that_does_not_take_it(host: Host, clock: Clock, outcome: DeliveryOutcome) -> None:
    """It is tried again later, and the reason is a problem until then."""
    ask(host, clock)
    host.events.plan = lambda _: outcome
    host.events.written = False
    host.step_until_done()
    assert any(outcome.reason in problem for problem in host.forwarder.problems())  # type: ignore[union-attr]
    host.events.plan = lambda _: None
    host.step_until_done()
    assert numbers(host.events) == []
    clock.now += 20
    host.step_until_done()
    assert numbers(host.events) == list(range(20))
    assert host.forwarder.problems() == []


def test_what_was_refused_is_sent_too(host: Host, clock: Clock) -> None:
    """A refused point that is taken now is refused no more; one that is not, still is."""
    outbox = Outbox(host.path)
    outbox.keep({}, [(1, NOW, "too long"), (2, NOW, "too long")], newly_held=[held(3)])
    outbox.close()
    assert len(host.rejected()) == 3
    host.events.plan = refuse_second
    ask(host, clock)
    host.step_until_done()
    assert [told.split(": ")[0] for told in host.rejected()] == ["still"]
    assert numbers(host.events) == [0, *range(2, 20)]


def held(number: int) -> Held:
    """A point that is held."""
    return (number, NOW, NOW, CONFLICT)


def refuse_second(payload: Payload) -> DeliveryOutcome:
    """Refuse the second point."""
    refused = [n for n, line in enumerate(payload.lines) if 'raw="line 1"' in line]
    return Delivered(rejected=dict.fromkeys(refused, "still"))


def test_what_is_too_old_is_not_counted_twice(host: Host, clock: Clock) -> None:
    """Points that are older than the retention by now are left out, and are no loss."""
    host.now = NOW + 91 * 86_400 * 10**9
    ask(host, clock)
    host.step_until_done()
    assert numbers(host.events) == []
    assert host.count("expired") == 0


def test_a_drain_sends_it_too(host: Host, clock: Clock) -> None:
    """`heptad exporter --once` ends when everything is there again."""
    ask(host, clock)
    assert host.forwarder.drain(Patient())
    assert numbers(host.events) == list(range(20))


@pytest.mark.parametrize("state", [b"[", b'{"at": 5, "until": 1e99}', b'{"until": -4}'])
def test_a_damaged_request_is_none(host: Host, clock: Clock, state: bytes) -> None:
    """A request that cannot be read stops nothing."""
    outbox = Outbox(host.path)
    outbox.keep({"resend": state})
    outbox.close()
    clock.now += 10
    add(host, 20, 21)
    host.step_until_done()
    assert numbers(host.events) == [20]


def test_the_command(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how many, and where there is nothing to send what is missing."""
    config = tmp_path / "heptad.yaml"
    keys = {"store": {"path": str(host.path)}, "influxdb": {"url": "http://127.0.0.1:9"}}
    for told, status, words in (
        (keys, 0, "20 events of"),
        (
            keys | {"store": {"path": "/nonexistent/events.db"}},
            1,
            "/nonexistent/events.db does not exist",
        ),
        ({"store": keys["store"]}, 2, "InfluxDB is not configured"),
    ):
        config.write_text(yaml.safe_dump(told))
        assert run_resend(argparse.Namespace(config=config)) == status
        printed = capsys.readouterr()
        assert words in printed.out + printed.err

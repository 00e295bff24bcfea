"""From the local store to a sink: whatever the sink does, every point arrives once."""

import random
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Payload, Retry
from heptad.core.store.field_conflict import Conflict, HeldGroup, HeldPoints, Shard
from heptad.core.store.line_protocol import decode_fields
from heptad.core.store.outbox import Outbox, read_rejections, restore
from heptad.core.store.point import Row, Value
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.exporter.delivery.circuit_breaker import CircuitBreaker
from heptad.exporter.delivery.delivery_state import DeliveryState, read_position
from heptad.exporter.delivery.forwarder import COUNTER, Forwarder, Limits
from heptad.exporter.delivery.heartbeat import HeartbeatSender
from heptad.exporter.metrics import ExporterMetrics
from tests.support.clock import Clock
from tests.support.effort import tries

NOW = 1_772_366_400 * 10**9
MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
CONFLICT = Conflict("events", "count", "integer", "float")
KEY = b"key of a machine" * 4
HEADS = ("events,host=a", "events,host=b")


class Patient(threading.Event):
    """A stop that no wait takes time of; ``waits`` are the seconds that were to be waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """At once."""
        self.waits.append(timeout or 0)
        return self.is_set()


class Bucket:
    """A sink in memory that does as it is told: ``plan`` is asked for each parcel's outcome."""

    def __init__(self, plan: Callable[[Payload], DeliveryOutcome | None] | None = None) -> None:
        self.points: dict[str, str] = {}
        self.plan = plan or (lambda _: None)
        self.written = True
        self.parcels: list[Payload] = []

    def encode(self, lines: Sequence[str]) -> Payload:
        """As they are."""
        return Payload(lines, b"")

    def deliver(self, payload: Payload) -> DeliveryOutcome:
        """Keep them, unless told otherwise; a point that comes again must be the same."""
        self.parcels.append(payload)
        outcome = self.plan(payload) or Delivered()
        refused = outcome.rejected | outcome.held if isinstance(outcome, Delivered) else {}
        if isinstance(outcome, Delivered) or (isinstance(outcome, Retry) and self.written):
            for number, line in enumerate(payload.lines):
                if number in refused:
                    continue
                series, _, rest = line.partition(" ")
                body, _, time = rest.rpartition(" ")
                assert self.points.setdefault(f"{series} {time}", body) == body
        return outcome

    def gather(self, groups: Iterable[HeldGroup]) -> list[HeldPoints]:
        """Shards are hours."""
        return [
            HeldPoints(
                conflict, Shard(time // HOUR * HOUR, (time // HOUR + 1) * HOUR), time, points
            )
            for conflict, time, points in groups
        ]

    def raws(self) -> list[str]:
        """The lines of log in it."""
        return sorted(str(decode_fields(body)["raw"]) for body in self.points.values())


class Host:
    """A store, the forwarder that delivers it, and the buckets."""

    def __init__(self, path: Path, **limits: float) -> None:
        self.path = path
        self.events, self.heptad = Bucket(), Bucket()
        self.limits = Limits(**{"interval": 0.0, "max_lines": 7, **limits})  # type: ignore[arg-type]
        self.behind = False
        self.now = NOW
        self.stop = Patient()
        self.start()

    def start(self) -> None:
        """A store and a forwarder that go on where others stopped."""
        self.store = LocalStore(self.path, write=True, max_size=2**20, outbox=True)
        self.metrics = ExporterMetrics(self.store.counters(), [])
        self.pulse = HeartbeatSender(
            self.heptad, "a", "m" * 32, KEY, lambda: 2.0, lambda: self.behind, lambda: self.now
        )
        self.forwarder = Forwarder(
            self.store,
            self.events,
            self.pulse,
            self.metrics,
            self.limits,
            CircuitBreaker(self.metrics, lambda: 1.0),
            lambda: self.now,
        )

    def kill(self) -> None:
        """Nothing is kept but what is in the store already."""
        self.forwarder.close()
        self.store.close()

    def step_until_done(self) -> None:
        """Deliver all that is there."""
        while self.forwarder.step(self.stop):
            pass

    def count(self, result: str) -> float:
        """What the store counted."""
        return self.store.counters().get(counter_key(COUNTER, result=result), 0)

    def held(self) -> dict[tuple[str, ...], float]:
        """The metric of held points, by its labels."""
        (family,) = (f for f in self.metrics.collect() if f.name == "heptad_delivery_held_events")
        return {tuple(sample.labels.values()): sample.value for sample in family.samples}

    def rejected(self) -> list[str]:
        """The lines that were set aside, and why."""
        return [f"{r.reason}: {r.line}" for r in read_rejections(self.path)]


def rows(*raws: str, time: int = NOW, series: str = HEADS[0]) -> list[Row]:
    """Rows of one stamp."""
    return [Row(series, time, "count=1i", raw) for raw in raws]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with an empty store."""
    host = Host(tmp_path / "events.db")
    yield host
    host.kill()


STAMPS = st.one_of(st.integers(0, 3), st.sampled_from([HOUR, HOUR + 1, 5 * HOUR]))


class Deliveries(RuleBasedStateMachine):
    """Any order of appends, deliveries, faults of the sink and kills."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.host = Host(Path(self.folder.name) / "events.db")
        self.random = random.Random(7)
        self.appended: list[str] = []
        self.poison: set[str] = set()
        self.shut: set[int] = set()

    @rule(
        stamps=st.lists(st.tuples(st.sampled_from(HEADS), STAMPS), max_size=20),
        poison=st.booleans(),
    )
    def append(self, stamps: list[tuple[str, int]], poison: bool) -> None:
        """Points, many of one time; some of them the sink will never take."""
        batch = []
        for series, at in stamps:
            raw = f'line "{len(self.appended)}" \\'
            if poison and self.random.random() < 0.3:
                self.poison.add(raw)
            self.appended.append(raw)
            batch += rows(raw, time=NOW + at, series=series)
        self.host.store.append(batch)

    def judge(self, payload: Payload) -> DeliveryOutcome:
        """What a healthy sink says: poisoned lines are refused."""
        bodies = (line.partition(" ")[2].rpartition(" ")[0] for line in payload.lines)
        raws = [decode_fields(body)["raw"] for body in bodies]
        refused = {n: "bad" for n, raw in enumerate(raws) if raw in self.poison}
        hours = [int(line.rpartition(" ")[2]) // HOUR for line in payload.lines]
        held = {
            n: CONFLICT for n, hour in enumerate(hours) if hour in self.shut and n not in refused
        }
        return Delivered(refused, held=held)

    @rule(hours=st.sets(st.sampled_from([NOW // HOUR, NOW // HOUR + 1, NOW // HOUR + 5])))
    def shut_hours(self, hours: set[int]) -> None:
        """In these the sink has another type of a field; in others not any more."""
        self.shut = hours

    @rule(
        faults=st.lists(
            st.sampled_from([Retry("down"), Retry("busy", 5.0), Blocked("no token")]), max_size=8
        ),
        written=st.booleans(),
    )
    def deliver(self, faults: list[DeliveryOutcome], written: bool) -> None:
        """A few steps, of which some fail, with or without having written."""
        left = list(faults)
        self.host.events.written = written and not self.poison and not self.shut
        self.host.events.plan = lambda p: left.pop() if left else self.judge(p)
        self.host.forwarder.step(self.host.stop)

    @rule()
    def kill(self) -> None:
        """The exporter is killed and started again."""
        self.host.kill()
        self.host.now += 10**9
        self.host.start()

    @precondition(lambda self: self.appended)
    @rule()
    def lose_position(self) -> None:
        """A power cut takes what was kept last: some of it is delivered again."""
        outbox = Outbox(self.host.path)
        account = msgspec.json.decode(outbox.recall("forwarder") or b"{}", type=DeliveryState)
        outbox.keep({"forwarder": msgspec.json.encode(DeliveryState(max(0, account.position - 5)))})
        outbox.close()
        self.kill()

    def teardown(self) -> None:
        """In the end everything is there, or set aside if it was poison, and never both."""
        self.shut = set()
        self.host.events.plan = self.judge
        self.kill()
        self.host.step_until_done()
        assert self.host.events.raws() == sorted(set(self.appended) - self.poison)
        assert len(self.host.rejected()) == len(self.poison)
        assert self.host.forwarder.problems() == []
        self.host.kill()
        self.folder.cleanup()


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(deadline=None, max_examples=tries(60), stateful_step_count=25)


def test_a_chunk_is_bounded_by_lines_and_by_bytes(host: Host) -> None:
    """No chunk has more lines or bytes than allowed, but a single line that is longer goes too."""
    host.forwarder._limits = msgspec.structs.replace(host.limits, max_bytes=400)  # noqa: SLF001
    host.store.append(rows(*(f"{n}" + "x" * 100 * (n % 3) for n in range(40)), "y" * 1000))
    host.step_until_done()
    assert len(host.events.points) == 41
    for payload in host.events.parcels:
        size = sum(len(line) + 1 for line in payload.lines)
        assert len(payload.lines) <= 7
        assert size <= 400 or len(payload.lines) == 1


def test_little_waits_for_more(host: Host) -> None:
    """A chunk that is not full is sent once it has waited for the interval, and not before."""
    host.forwarder._limits = msgspec.structs.replace(host.limits, interval=3600.0)  # noqa: SLF001
    host.store.append(rows("1", "2"))
    assert not host.forwarder.step(host.stop)
    assert host.events.points == {}
    host.store.append(rows(*"345678"))
    assert host.forwarder.step(host.stop)
    assert len(host.events.points) == 7
    assert not host.forwarder.step(host.stop)
    assert host.forwarder.drain(host.stop)
    assert len(host.events.points) == 8


def test_what_is_too_old_is_counted_and_not_sent(tmp_path: Path) -> None:
    """Events older than the bucket's retention are counted as expired; so is what it says itself."""
    host = Host(tmp_path / "events.db", retention=60.0)
    host.store.append(
        rows("old", time=NOW - 61 * 10**9) + rows("new") + rows("old", time=NOW - MINUTE * 9)
    )
    host.store.append(rows("late", time=NOW + 1))
    host.events.plan = lambda _: Delivered(expired=1)
    host.step_until_done()
    assert host.events.raws() == ["late", "new"]
    assert (host.count("expired"), host.count("delivered")) == (3, 1)
    host.kill()


def test_only_old_events(tmp_path: Path) -> None:
    """A backlog of nothing but expired events is passed over without a request."""
    host = Host(tmp_path / "events.db", retention=60.0)
    host.store.append(rows(*map(str, range(50)), time=NOW - MINUTE * 9))
    host.step_until_done()
    assert host.events.parcels == []
    assert host.count("expired") == 50
    host.kill()


def test_back_off_and_breaker(host: Host) -> None:
    """Pauses grow; after five failures the breaker opens, and one trial closes it or not."""
    outcomes: list[DeliveryOutcome] = [*[Retry("down")] * 7, Retry("busy", 90.0)]
    host.events.plan = lambda _: outcomes.pop(0) if outcomes else None
    host.events.written = False
    host.store.append(rows("1"))
    host.step_until_done()
    assert host.stop.waits[:8] == [0.5, 1.0, 2.0, 4.0, 30.0, 30.0, 30.0, 90.0]
    assert host.events.raws() == ["1"]
    value = {
        (s.name, *s.labels.values()): s.value for f in host.metrics.collect() for s in f.samples
    }
    assert value["heptad_delivery_breaker_openings_total",] == 4
    assert value["heptad_delivery_breaker_trials_total",] == 4
    assert value["heptad_delivery_breaker_state", "closed"] == 1
    assert value["heptad_delivery_breaker_state", "open"] == 0
    assert value["heptad_deliveries_total", "failed"] == 8
    assert value["heptad_deliveries_total", "delivered"] == 1


def test_a_hold_is_told_and_tried_ever_more_slowly(host: Host) -> None:
    """What only a person can mend opens no breaker; it is told until it is mended."""
    told: list[list[str]] = []
    outcomes: list[DeliveryOutcome] = [Blocked("the token is wrong")] * 6

    def plan(_: Payload) -> DeliveryOutcome | None:
        told.append(host.forwarder.problems())
        return outcomes.pop() if outcomes else None

    host.events.plan = plan
    host.store.append(rows("1"))
    host.step_until_done()
    assert host.stop.waits[:6] == [15.0, 30.0, 60.0, 120.0, 240.0, 300.0]
    assert told[-1] == ["delivery: the token is wrong"]
    assert host.forwarder.problems() == []


def test_a_full_store_takes_no_more(tmp_path: Path) -> None:
    """What is not delivered is never deleted: a full store refuses, until deliveries make room."""
    host = Host(tmp_path / "events.db", max_lines=5000)
    stored = 0
    while not host.store.is_full():
        host.store.append(rows(*(f"{stored + n} " + "x" * 500 for n in range(100))))
        stored += 100
        while host.store.prune(0):
            pass
    assert host.store.newest_position() == stored
    host.step_until_done()
    assert len(host.events.points) == stored
    while host.store.prune(0):
        pass
    assert not host.store.is_full()
    assert not host.store.excess()
    host.kill()


def test_late_points_do_not_overwrite_deleted_ones(tmp_path: Path) -> None:
    """Points of a stamp whose points were deleted after delivery get times of their own."""
    host = Host(tmp_path / "events.db", max_lines=5000)
    for round_ in range(4):
        host.store.append(rows(*(f"{round_}-{n} " + "x" * 500 for n in range(2000))))
        host.step_until_done()
        while host.store.prune(0):
            pass
    assert len(host.events.points) == 8000
    host.kill()


def test_a_store_that_is_begun_anew(host: Host) -> None:
    """After the file was set aside the new one is delivered from its beginning, over nothing."""
    host.store.append(rows("1", "2", "3"))
    host.step_until_done()
    host.store.begin_anew()
    host.store.append(rows("4", "5"))
    host.step_until_done()
    assert host.events.raws() == ["1", "2", "3", "4", "5"]


def beat_of(payload: Payload) -> tuple[dict[str, Value], int]:
    """Fields and time of a heartbeat."""
    body, _, time = payload.lines[0].partition(" ")[2].rpartition(" ")
    return decode_fields(body), int(time)


def is_shut(payload: Payload) -> DeliveryOutcome:
    """A sink that has another type in the hour of NOW."""
    hours = [int(line.rpartition(" ")[2]) // HOUR for line in payload.lines]
    return Delivered(held={n: CONFLICT for n, hour in enumerate(hours) if hour == NOW // HOUR})


def test_what_is_held_is_told(host: Host) -> None:
    """Health, the metric, the list and the next heartbeat name it; it holds up nothing else."""
    host.step_until_done()
    host.events.plan = is_shut
    host.store.append(rows("1", "2") + rows("3", time=NOW + HOUR))
    host.step_until_done()
    assert host.events.raws() == ["3"]
    (problem,) = host.forwarder.problems()
    assert "rejects 2 points" in problem
    assert "`count` of `events` is sent as integer and stored as float" in problem
    assert "shard 2026-03-01T12:00Z to 2026-03-01T13:00Z" in problem
    assert host.held() == {
        ("events", "count", "integer", "float", "2026-03-01T12:00Z", "2026-03-01T13:00Z", ""): 2
    }
    first, second = map(beat_of, host.heptad.parcels)
    assert "held" not in first[0]
    told = msgspec.json.decode(str(second[0]["held"]))
    assert told == [["events", "count", "integer", "float", NOW, 2]]
    assert "position" not in second[0]
    listed = host.rejected()
    assert ['raw="1"' in listed[0], 'raw="2"' in listed[1], len(listed)] == [True, True, 2]
    assert all(one.startswith("held and retried: field `count` of") for one in listed)
    assert (host.count("delivered"), host.count("rejected")) == (1, 0)


def test_what_is_held_is_offered_until_it_is_taken(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One point an hour is offered every 15 seconds; when it is taken, all of them follow."""
    clock = Clock(0)
    monkeypatch.setattr("heptad.exporter.delivery.held.time", clock)
    host.events.plan = is_shut
    host.store.append(rows(*map(str, range(20))))
    host.step_until_done()
    host.events.parcels.clear()
    for _ in range(4):
        clock.now += 15
        host.step_until_done()
    assert [len(payload.lines) for payload in host.events.parcels] == [1, 1, 1, 1]
    host.events.plan = lambda _: None
    host.step_until_done()
    assert host.events.raws() == []
    clock.now += 15
    host.step_until_done()
    assert len(host.events.raws()) == 20
    assert (host.forwarder.problems(), host.held(), host.count("delivered")) == ([], {}, 20)
    assert host.rejected() == []


def test_what_is_held_outlasts_the_bounds(tmp_path: Path) -> None:
    """A store beyond its size gives up what was delivered, and not what is held."""
    host = Host(tmp_path / "events.db", max_lines=500)
    host.store.max_size = 200_000
    host.events.plan = is_shut
    host.store.append(rows(*(f"held {n}" for n in range(300))))
    for part in range(20):
        line = "x" * 200
        host.store.append(rows(*(f"{part} {n} {line}" for n in range(100)), time=NOW + 2 * HOUR))
        host.step_until_done()
        while host.store.prune(NOW / 10**9):
            pass
    assert host.store.size() < 400_000
    assert not host.store.is_full()
    assert len(host.rejected()) == 300
    host.kill()
    host.start()
    host.events.plan = lambda _: None
    host.step_until_done()
    assert sum(raw.startswith("held") for raw in host.events.raws()) == 300
    host.kill()


def test_a_store_full_of_what_is_held(tmp_path: Path) -> None:
    """It takes no more, as where the server is away: nothing is lost."""
    host = Host(tmp_path / "events.db", max_lines=5000)
    host.events.plan = is_shut
    host.store.append(rows(*(f"{n}" + "x" * 200 for n in range(3000))))
    host.step_until_done()
    host.store.max_size = 200_000
    assert host.store.prune(NOW / 10**9) == 0
    assert host.store.is_full()
    host.kill()


def test_what_is_held_expires(host: Host) -> None:
    """What became older than the server keeps is counted and held no longer."""
    host.events.plan = is_shut
    host.store.append(rows("1", "2"))
    host.step_until_done()
    host.kill()
    host.now += 91 * 24 * HOUR
    host.start()
    host.step_until_done()
    assert (host.count("expired"), host.rejected(), host.forwarder.problems()) == (2, [], [])


def test_a_drain_offers_what_is_held(host: Host) -> None:
    """A run that ends offers it once more, and says what is still not taken."""
    host.events.plan = is_shut
    host.store.append(rows("1"))
    host.step_until_done()
    assert not host.forwarder.drain(host.stop)
    host.events.plan = lambda _: None
    assert host.forwarder.drain(host.stop)
    assert host.events.raws() == ["1"]


def test_heartbeats(host: Host) -> None:
    """A heartbeat tells the minutes that were delivered since the last that arrived."""
    host.store.append(rows("1", "2") + rows("3", time=NOW - 5 * MINUTE))
    host.step_until_done()
    (fields, time), *others = map(beat_of, host.heptad.parcels)
    assert not others
    minute = NOW // MINUTE
    spans = [(minute - 5, minute - 4, 1), (minute, minute + 1, 2)]
    assert msgspec.json.decode(str(fields["spans"]), type=list[tuple[int, int, int]]) == spans
    assert (fields["oldest"], fields["newest"]) == (NOW - 5 * MINUTE, NOW + 1)
    assert (fields["caught_up"], fields["behind"], fields["passed"]) == (True, 0, NOW)
    assert time == NOW - 2 * 10**9  # by the server's clock


def test_a_heartbeat_that_failed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is another point and tells what the failed one did; there is one a minute."""
    monkeypatch.setattr("heptad.exporter.delivery.heartbeat.EVERY", 0.0)
    host.heptad.plan = lambda _: Retry("down")
    host.store.append(rows("1"))
    host.step_until_done()
    assert host.forwarder.problems() == ["delivery: down"]
    failed = len(host.heptad.parcels)
    host.heptad.plan = lambda _: None
    host.now += MINUTE
    host.behind = True
    host.step_until_done()
    first, second = map(beat_of, (host.heptad.parcels[0], host.heptad.parcels[failed]))
    one, other = first[0], second[0]
    assert one["spans"] == other["spans"]
    assert second[1] > first[1]
    assert int(other["sequence"]) > int(one["sequence"])
    assert (other["caught_up"], other["passed"]) == (False, NOW)


def test_a_restart_is_no_reason_for_a_heartbeat(host: Host) -> None:
    """There is one heartbeat a minute, however often the exporter is started."""
    for _ in range(3):
        host.step_until_done()
        host.kill()
        host.now += 10**9
        host.start()
    assert len(host.heptad.parcels) == 1


def test_a_lost_store_goes_on(tmp_path: Path) -> None:
    """A new store that takes up the last position gives what is read again the same identities."""
    host = Host(tmp_path / "events.db")
    host.store.append(rows("1", "2", "3"), {"source/auth": b"at 3", "unrelated": b"x"})
    host.step_until_done()
    (fields, time), *_ = map(beat_of, host.heptad.parcels)
    host.store.append(rows("4", "5"), {"source/auth": b"at 5"})
    host.step_until_done()
    host.kill()
    for file in tmp_path.iterdir():
        file.unlink()
    state, taken = read_position(str(fields["position"]), KEY)
    assert state == {"source/auth": b"at 3"}
    LocalStore(tmp_path / "events.db", write=True).close()
    account = DeliveryState(sequence=int(fields["sequence"]), at=time)
    known = {"forwarder": msgspec.json.encode(account)}
    restore(tmp_path / "events.db", state | known, taken)
    host.start()
    assert host.store.recall("source/auth") == b"at 3"
    host.store.append(rows("4", "5", "6"))
    host.step_until_done()
    assert host.events.raws() == ["1", "2", "3", "4", "5", "6"]
    host.kill()


@pytest.mark.parametrize("text", ["", "x", "eJwDAAAAAAE=", "!" * 99])
def test_what_is_no_position(text: str) -> None:
    """Something else in the place of a position is told as such."""
    with pytest.raises(ValueError, match="not a position"):
        read_position(text, KEY)

"""The pipeline and a store that fails: it waits, says so once, and loses and doubles nothing."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from heptad.core.store.api import StoreError
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.exporter import committer
from heptad.exporter.committer import Transaction
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.sources import RecordBatch
from tests.exporter.test_forwarder import Patient
from tests.support.feed import FAILED, Bench, Retry, line
from tests.support.local_store import limit


def test_a_full_disk(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A store without room makes the pipeline wait, say so once, and go on with nothing lost."""
    caplog.set_level(logging.INFO, "heptad.committer")
    log: list[RecordBatch | list[str]] = [
        [line(f"12:{b:02}:{n:02}", b * 50 + n) for n in range(50)] for b in range(20)
    ]
    bench.start(log)

    def meanwhile(waits: int) -> None:
        assert bench.metric("heptad_store_failing") == 1
        assert any("store: " in problem for problem in bench.pipelines[-1].problems())
        if waits == 3:
            limit(bench.store, 10**6)

    limit(bench.store, 25)
    stop = Retry(meanwhile)
    bench.run(stop)
    assert stop.waits == 3
    assert bench.metric("heptad_store_failing") == 0
    assert bench.pipelines[-1].problems() == []
    assert len(set(bench.events())) == len(bench.events()) == 1000
    assert bench.metric("auth_events_total", *FAILED) == 1000
    assert bench.store.counters()[auth_key()] == 1000
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("WARNING", "store: problem"), ("INFO", "store: recovered")]


def auth_key() -> tuple[str, str]:
    """The key of the counter of wrong passwords."""
    labels = dict(zip(("program", "action", "outcome", "method"), FAILED, strict=True))
    return counter_key("auth_events_total", **labels)


def test_sources_are_asked_while_the_disk_is_full(bench: Bench) -> None:
    """What the sources say of themselves stays true while nothing can be read from them."""
    log: list[RecordBatch | list[str]] = [[line("12:00:00", n) for n in range(2000)]]
    bench.start(log)

    def meanwhile(waits: int) -> None:
        assert bench.metric("heptad_source_behind_bytes", "feed0") == len(log) - 1
        assert bench.metric("heptad_source_up", "feed0") == (waits == 1)
        bench.feeds[0].problem = "gone"
        log.append([line("12:00:01", waits)])
        if waits == 3:
            limit(bench.store, 10**6)

    limit(bench.store, 25)
    stop = Retry(meanwhile)
    bench.run(stop)
    assert stop.waits == 3


def test_stopping_while_the_disk_is_full(bench: Bench) -> None:
    """Told to stop, a pipeline that waits for room stops; the next start reads the lines again."""
    log: list[RecordBatch | list[str]] = [
        [line("12:00:00", n) for n in range(2000)],
        [line("12:00:01")],
    ]
    bench.start(log)
    limit(bench.store, 25)
    stop = Retry(lambda waits: True)
    stop.set()
    bench.pipelines[-1].step(stop)
    bench.pipelines.pop().close(stop)
    assert bench.events() == []
    bench.store.close()
    bench.start(log)
    bench.run()
    assert len(bench.events()) == 2001


def test_a_fault_after_the_commit_doubles_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rows were committed and only the pruning after it failed, they are not written again."""
    bench.start([[line("12:00:00", n)] for n in range(3)])

    def fail(now: float | None = None) -> int:
        raise StoreError("disk full")

    monkeypatch.setattr(bench.store, "prune", fail)
    bench.run(Retry(lambda waits: True))
    assert len(bench.events()) == 3
    assert bench.metric("auth_events_total", *FAILED) == 3
    assert bench.store.counters()[auth_key()] == 3


def test_a_store_that_becomes_corrupt(bench: Bench) -> None:
    """The file is set aside, and counters and positions go on in the new one, also after a start."""
    log: list[RecordBatch | list[str]] = [
        [line("12:00:00")],
        [line("12:00:01", 2)],
        [line("12:00:02", 3)],
    ]
    bench.start(log)
    bench.pipelines[-1].step(threading.Event())
    bench.pipelines[-1].step(threading.Event())
    bench.start(log)
    bench.store._db.execute("DROP TABLE state")  # noqa: SLF001 - as if its page had been lost
    bench.run()
    assert bench.metric("heptad_store_set_aside") == 1
    assert bench.events() == [line("12:00:02", 3)]
    assert bench.metric("auth_events_total", *FAILED) == 3
    bench.start([*log, [line("11:00:00", 4)]])
    bench.run()
    assert bench.metric("auth_events_total", *FAILED) == 4
    assert len(bench.events()) == 2
    assert list(bench.path.parent.glob("*.corrupt-*"))


@pytest.mark.parametrize("held_after", [None, 0])
def test_beginning_anew_that_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, held_after: int | None
) -> None:
    """Where the new file cannot be begun at once either, counters and positions still go on."""
    log: list[RecordBatch | list[str]] = [[line(f"12:00:0{n}", n)] for n in range(3)]
    bench.start(log)
    bench.pipelines[-1].step(threading.Event())
    bench.pipelines[-1].step(threading.Event())
    bench.start(log)
    bench.store.held_after = held_after
    bench.store._db.execute("DROP TABLE state")  # noqa: SLF001 - as if its page had been lost
    monkeypatch.setattr("heptad.core.store.sqlite.set_aside", refuse)

    def meanwhile(waits: int) -> None:
        if waits == 2:
            monkeypatch.undo()

    stop = Retry(meanwhile)
    bench.run(stop)
    assert stop.waits == 2
    assert bench.store.recall("source/feed0") == b"3"
    assert bench.store.counters()[auth_key()] == 3


def refuse(*_: object) -> int:
    """Fail as a store does."""
    raise StoreError("refused")


def many(count: int, batches: int) -> list[RecordBatch | list[str]]:
    """A log of batches with so many lines each."""
    return [[line(f"12:{b:02}:00", n) for n in range(count)] for b in range(batches)]


def test_bounded_under_load(bench: Bench) -> None:
    """However much comes at once, the store grows no further than one transaction beyond its size."""
    bench.start(many(8000, 12))
    bench.store.max_size = 2 * 2**20
    stop, most = threading.Event(), 0
    while bench.pipelines[-1].step(stop):
        most = max(most, bench.store.size())
    assert most < bench.store.max_size + 16_000 * 600
    assert bench.store.size() <= bench.store.max_size
    kept = bench.events()
    assert kept[-1] == line("12:11:00", 7999)
    assert bench.metric("auth_events_total", *FAILED) == 96_000
    assert bench.metric("heptad_store_size_bytes") == bench.store.size()
    assert bench.pipelines[-1].problems() == []


def test_bounded_at_the_end_of_once(bench: Bench) -> None:
    """Reading once ends with a store in its bounds, also where they were lowered by much."""
    bench.start(many(8000, 3))
    bench.run()
    bench.start([*many(8000, 3), [line("12:30:00")]])
    bench.store.max_size = 2**20
    pipeline = bench.pipelines.pop()
    pipeline.drain(threading.Event())
    assert 0 < bench.store.size() <= 2**20
    assert bench.events()[-1] == line("12:30:00")
    bench.store.close()
    bench.start([])


def test_bounded_while_no_line_comes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered after the last line makes room too, and /healthz is content again."""
    monkeypatch.setattr("heptad.exporter.committer._BOUNDS_EVERY", 0.0)
    bench.start(many(8000, 1))
    bench.store.held_after, bench.store.max_size = 0, 2**20
    bench.run()
    [problem] = bench.pipelines[-1].problems()
    assert problem.endswith(" bytes above max_size, and the remaining events are not delivered yet")
    bench.start(many(8000, 1))
    bench.store.held_after, bench.store.max_size = bench.store.newest_position(), 2**20
    stop = threading.Event()
    for _ in range(10):
        assert not bench.pipelines[-1].step(stop)
    assert bench.store.size() <= 2**20
    assert bench.pipelines[-1].problems() == []


def test_a_full_outbox_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While deliveries make room bit by bit for what waits to be read, nothing is called well."""
    caplog.set_level(logging.INFO, "heptad.committer")
    metrics = ExporterMetrics({}, [])
    stop, told = Patient(), []

    def full() -> float:
        [family] = [f for f in metrics.collect() if f.name == "heptad_store_full"]
        return family.samples[0].value

    with LocalStore(tmp_path / "events.db", write=True, max_size=2**20, outbox=True) as store:

        def deliver() -> None:
            store.held_after = (store.held_after or 0) + 150
            told.append(full())

        writer = committer.Committer(store, metrics, deliver)
        for number in range(200):
            rows = [Row("events,host=a", number, "count=1i", "x" * 500)] * 100
            writer.submit(Transaction(rows, {}, {}), stop)
            assert writer.wait(stop)
        assert len(told) > 10
        assert set(told) == {1}
        assert full() == 1
        assert len(writer.problems()) == 2
        store.held_after = store.newest_position() - 200
        writer.finish(stop)  # also where no line comes any more
        assert full() == 0
        assert writer.problems() == []
        assert store.newest_position() == 20_000
        writer.close()
    messages = [record.getMessage() for record in caplog.records]
    told_once = [f"{n}: {what}" for n in ("pruning", "store") for what in ("problem", "recovered")]
    assert sorted(messages) == told_once


def test_a_store_that_cannot_be_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be kept in its bounds is a reason for /healthz, and work goes on."""
    bench.start([[line("12:00:00")]])
    bench.store.max_size = 1
    bench.run()
    [problem] = bench.pipelines[-1].problems()
    assert problem.startswith("pruning: ")
    assert problem.endswith(" bytes above max_size, and there are no events left to delete")
    bench.start([[line("12:00:00")], [line("12:00:01")]])
    monkeypatch.setattr(bench.store, "size", refuse)
    bench.run()
    assert bench.pipelines[-1].problems() == ["pruning: refused"]
    assert len(bench.events()) == 1


@pytest.mark.parametrize(("gathering", "committed"), [(0, [1, 3]), (60, [4])])
def test_what_comes_at_once_is_committed_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, gathering: float, committed: list[int]
) -> None:
    """Batches read in quick succession, or while the store is busy, become one transaction."""
    monkeypatch.setattr(committer, "_LONGEST_GATHERING", gathering)
    bench.start([[line(f"12:01:0{n}", n)] for n in range(4)])
    busy, sizes = threading.Event(), []
    append = LocalStore.append

    def slow(store: LocalStore, rows: Sequence[Row], *rest: object) -> None:
        busy.wait(10)
        sizes.append(len(rows))
        append(store, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalStore, "append", slow)
    stop = threading.Event()
    for _ in range(4):
        bench.pipelines[-1].step(stop)
    busy.set()
    bench.run()
    assert [size for size in sizes if size] == committed
    assert len(bench.events()) == 4
    assert bench.metric("auth_events_total", *FAILED) == 4

"""The local store: all of a batch or nothing, read in order, bounded by age and size."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from heptad.core.intervals import MINUTE
from heptad.core.store.api import StoreError
from heptad.core.store.line_protocol import row_of
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore, counter_key
from tests.support.local_store import path, store, times

__all__ = ["path", "store"]  # fixtures

DAY = 86_400
COUNTER = counter_key("n_total", program="sshd")
TAGS = "source=s,program=p,action=login,outcome=success"


def rows(first: int, last: int, host: str = "a", size: int = 10) -> list[Row]:
    """Points at the times from ``first`` up to ``last``, each with a line of ``size`` bytes."""
    return [
        Row(f"events,host={host},{TAGS}", n, f"count=1i,n={n}i", "x" * size)
        for n in range(first, last)
    ]


def sabotage(path: Path, table: str) -> sqlite3.Connection:
    """Let every write to ``table`` fail, by a trigger that refuses it."""
    db = sqlite3.connect(path)
    for verb in ("INSERT", "UPDATE"):
        body = "BEGIN SELECT RAISE(ABORT, 'sabotaged'); END"
        db.execute(f"CREATE TRIGGER no_{verb} BEFORE {verb} ON {table} {body}")
    db.commit()
    return db


@pytest.mark.parametrize("table", ["series", "points", "state", "counters"])
def test_all_or_nothing(store: LocalStore, table: str) -> None:
    """Where one part of a batch cannot be written, none of it is; and the next one is whole."""
    store.append(rows(1, 3), {"source/a": b"1"}, {COUNTER: 2})
    with closing(sabotage(store.path, table)) as db:
        with pytest.raises(StoreError, match="sabotaged"):
            store.append(rows(3, 6, host="new"), {"source/a": b"2"}, {COUNTER: 3})
        assert times(store) == [1, 2]
        assert store.recall("source/a") == b"1"
        assert store.counters() == {COUNTER: 2}
        for verb in ("INSERT", "UPDATE"):
            db.execute(f"DROP TRIGGER no_{verb}")
    store.append(rows(3, 6, host="new"), {"source/a": b"2"}, {COUNTER: 3})
    assert times(store) == [1, 2, 3, 4, 5]
    assert (store.recall("source/a"), store.counters()) == (b"2", {COUNTER: 5})


@pytest.mark.parametrize("move_on", [True, False])
@pytest.mark.parametrize(
    "bad",
    [
        Row("events,host=a", 2**64, "n=1i", ""),
        Row("events,host=a", -(2**63) - 1, "n=1i", ""),
        Row("events,host=\udcff", 1, "n=1i", ""),
        Row("events,host=a", 1, 'n="\ud800"', ""),
        Row("events,host=a", 1, "n=1i", "\udcff"),
    ],
)
def test_a_row_that_cannot_be_stored(
    store: LocalStore, caplog: pytest.LogCaptureFixture, bad: Row, move_on: bool
) -> None:
    """A row that SQLite can never take is left out, alone and with one line in the log."""
    store.append([*rows(1, 3), bad, bad, *rows(3, 5)], {"k": b"1"}, {COUNTER: 2}, move_on=move_on)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["skipped rows that cannot be stored"]
    assert (times(store), store.recall("k")) == ([1, 2, 3, 4], b"1")
    assert store.counters() == {COUNTER: 2}
    store.append(rows(5, 6))
    assert times(store) == [1, 2, 3, 4, 5]


def test_no_time_is_left(store: LocalStore) -> None:
    """Rows of the last nanosecond there is, which cannot move on, stop nothing."""
    store.append([*rows(1, 3), *[Row(f"events,host=a,{TAGS}", 2**63 - 1, "n=1i", "")] * 3])
    assert times(store) == [1, 2]


def test_a_fault_of_the_caller_leaves_nothing_open(store: LocalStore) -> None:
    """State that cannot be stored at all is refused, and the store goes on."""
    with pytest.raises(UnicodeEncodeError):
        store.append(rows(1, 3), {"\udcff": b"1"})
    store.append(rows(3, 5))
    assert times(store) == [3, 4]


def test_what_was_committed_is_there_again(path: Path) -> None:
    """Rows, state and counters survive the end of the process."""
    for n in range(3):
        with LocalStore(path, write=True) as store:
            store.append(rows(n, n + 1), {"k": str(n).encode()}, {COUNTER: 1})
    with LocalStore(path) as store:
        assert (times(store), store.recall("k")) == ([0, 1, 2], b"2")
        assert store.counters() == {COUNTER: 3}
        assert store.recall("unknown") is None


def test_reading_by_time_and_tags(store: LocalStore) -> None:
    """A range includes its beginning and not its end; tags choose series; order is by time."""
    store.append(
        [*rows(5, 8, "b"), *rows(0, 6, "a"), row_of("other", [("host", "a")], 3, {"n": 1})]
    )
    assert [(p.time, p.tags["host"]) for p in store.read("events", 4, 7)] == [
        (4, "a"),
        (5, "b"),
        (5, "a"),
        (6, "b"),
    ]
    assert times(store, host="b") == [5, 6, 7]
    assert times(store, host="nobody") == []
    assert times(store, host="a", program="sshd") == []
    [other] = store.read("other", 0, 10)
    assert (other.tags, other.fields, other.time) == ({"host": "a"}, {"n": 1}, 3)


def test_reading_while_writing(store: LocalStore) -> None:
    """Another connection reads what is committed, while a range is read and rows are added."""
    store.append(rows(0, 2000))
    with LocalStore(store.path) as reader:
        reading = reader.read("events", 0, 10_000)
        assert next(reading).time == 0
        store.append(rows(2000, 2500))
        assert len(list(reading)) == 1999
        assert len(times(reader)) == 2500


def test_following_by_arrival(store: LocalStore) -> None:
    """What arrived after a position is told in the order of arrival, late events too."""
    assert store.newest_position() == 0
    assert store.arrived("events", "", 10) == []
    store.append(rows(100, 105))
    store.append(rows(3, 5, "b"))
    events, position = store.since_arrival(0, 6)
    assert [event.time for event in events] == [100, 101, 102, 103, 104, 3]
    [arrival] = store.arrived("events", str(position), 10)
    assert arrival == (4, 4, 1, str(store.newest_position()))
    assert store.since_arrival(int(arrival.position), 10) == ([], int(arrival.position))
    assert [p.time for p in store.since_arrival(0, 9, {"host": "b"})[0]] == [3, 4]


def test_rows_that_stay_where_they_are(store: LocalStore) -> None:
    """Without moving on, a row whose place is taken is left out: writing again changes nothing."""
    for _ in range(2):
        store.append(rows(1, 4), move_on=False)
    store.append([Row(f"events,host=a,{TAGS}", 2, "n=99i", "other")], move_on=False)
    assert [point.fields["n"] for point in store.read("events", 0, 10)] == [1, 2, 3]


def prune_all(store: LocalStore, now: float) -> int:
    """Prune until there is nothing more to delete; how much that was."""
    total = 0
    while deleted := store.prune(now):
        total += deleted
    return total


def test_pruning_by_age(path: Path) -> None:
    """What arrived longer ago than allowed goes, whatever its own time is, and nothing else."""
    with LocalStore(path, write=True, max_age=10 * DAY) as store:
        for day in range(20):
            store.append(rows(1000 - day, 1001 - day))
            assert prune_all(store, day * DAY) <= 1
            # a mark is set once in a while: what is deleted is always older than the maximum
            assert len(times(store)) >= min(day + 1, 10)
        assert len(times(store)) <= 12
        assert max(times(store)) < 1000 - 7
        prune_all(store, 31 * DAY)
        assert times(store) == []


def test_a_clock_that_steps_back_deletes_nothing(path: Path) -> None:
    """A clock that was wrong for a while, early or late, makes nothing older than it is."""
    with LocalStore(path, write=True, max_age=10 * DAY) as store:
        now = 20_000 * DAY
        for step, when in enumerate((now, now + DAY, 5.0, 700.0, now + DAY, now + 2 * DAY)):
            store.append(rows(step, step + 1))
            assert store.prune(when) == 0
        assert len(times(store)) == 6
        prune_all(store, now + 40 * DAY)
        assert times(store) == []


@pytest.mark.parametrize("size", [100, 1000])
def test_pruning_by_size(path: Path, size: int) -> None:
    """Beyond its size the store gives up the oldest arrivals, and not many more than needed."""
    limit = 2**20
    with LocalStore(path, write=True, max_size=limit) as store:
        for first in range(0, 20_000, 2000):
            store.append(rows(30_000 - first, 32_000 - first, size=size))
            prune_all(store, first)
            assert store.size() <= limit
            kept = [p.time for p in store.since_arrival(0, 50_000)[0]]
            assert kept[-1] == 31_999 - first
            arrived = [t for f in range(0, first + 1, 2000) for t in range(30_000 - f, 32_000 - f)]
            assert kept == arrived[-len(kept) :]
        assert store.size() > limit * 0.8
        assert path.stat().st_size < 4 * limit


def test_identities_are_not_given_again_while_pruning(path: Path) -> None:
    """Lines of one stamp go on counting though the first of them were deleted meanwhile."""
    with LocalStore(path, write=True, max_size=2**20) as store:
        seen: set[int] = set()
        for _ in range(6):
            store.append([Row(f"events,host=a,{TAGS}", 7, "n=1i", "x" * 500)] * 2000)
            prune_all(store, 0)
            fresh = set(times(store)[-1000:])
            assert not fresh & seen
            seen |= set(times(store))


def test_arrivals_are_cut_where_they_are_sparse(store: LocalStore) -> None:
    """A straggler is a piece of its own, an edge is never within one, and positions lead on."""
    store.append([Row("events,host=a", n * MINUTE, "n=1i", "") for n in (100, 101, 3, 102, 103)])
    pieces = store.arrived("events", "", 100, [102 * MINUTE])
    assert [(p.oldest // MINUTE, p.newest // MINUTE, p.points) for p in pieces] == [
        (100, 101, 2),
        (3, 3, 1),
        (102, 103, 2),
    ]
    assert store.arrived("events", pieces[0].position, 100, [102 * MINUTE]) == pieces[1:]
    assert store.arrived("events", pieces[-1].position, 100) == []


def test_minutes_that_have_points(store: LocalStore) -> None:
    """Minutes with points are told, those that touch as one; others are not."""
    at = [-MINUTE - 1, -1, 0, MINUTE - 1, 2 * MINUTE, 3 * MINUTE, 9 * MINUTE]
    store.append([Row("events,host=a", n, "n=1i", "") for n in at])
    store.append([Row("other,host=a", 7 * MINUTE, "n=1i", "")])
    assert store.intervals("events", -(2**63), 2**62) == [(-2, 1), (2, 4), (9, 10)]
    assert store.intervals("events", 0, 3 * MINUTE) == [(0, 1), (2, 3)]
    assert store.intervals("unknown", 0, 2**62) == []
    assert store.watermark() is None

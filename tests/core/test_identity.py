"""Identity is series and time: whatever comes in whatever order, no two points share one."""

import sqlite3
import tempfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from heptad.core.store.identity import Offset
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from tests.support.effort import tries

HEADS = ("events,host=a", "events,host=b")
FAR = 2**62
STAMPS = st.one_of(
    st.integers(100, 112),  # so close that runs meet
    st.integers(100, 10**6),
    st.sampled_from([0, 1, 10**18, FAR]),
)
LINES = st.lists(st.tuples(st.sampled_from(HEADS), STAMPS), max_size=30)


class Identity(RuleBasedStateMachine):
    """Batches in any order, transactions that fail, files that are closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "events.db"
        self.written: list[tuple[str, int]] = []

    @initialize()
    def open(self) -> None:
        """A new store."""
        self.store = LocalStore(self.path, write=True)

    def rows(self, lines: list[tuple[str, int]]) -> list[Row]:
        """Rows whose raw line is their number in the order of arrival."""
        first = len(self.written)
        return [Row(series, at, "n=1i", str(first + n)) for n, (series, at) in enumerate(lines)]

    @rule(lines=LINES)
    def append(self, lines: list[tuple[str, int]]) -> None:
        """A batch is committed."""
        self.store.append(self.rows(lines))
        self.written += lines

    @rule(lines=LINES)
    def fail(self, lines: list[tuple[str, int]]) -> None:
        """A batch is not committed: its state is something that cannot be stored."""
        try:
            self.store.append(self.rows(lines), {"key": ["no", "bytes"]})  # type: ignore[dict-item]
        except Exception:  # noqa: BLE001 - which error it is does not matter here
            return
        raise AssertionError("was committed")

    @rule()
    def reopen(self) -> None:
        """The process ends and starts again."""
        self.store.close()
        self.store = LocalStore(self.path, write=True)

    @invariant()
    def points_are_apart(self) -> None:
        """Every line is there once, at or after its stamp, those of one stamp in their order."""
        db = sqlite3.connect(self.path)
        stored = db.execute("SELECT head, time, raw FROM points JOIN series ON series = series.id")
        points = {int(raw): (series, time) for series, time, raw in stored}
        db.close()
        assert points.keys() == set(range(len(self.written)))
        assert len(set(points.values())) == len(points)
        last: dict[tuple[str, int], int] = defaultdict(lambda: -1)
        for number, (series, stamp) in enumerate(self.written):
            where, time = points[number]
            assert where == series
            assert stamp <= time < stamp + len(points)
            assert time > last[series, stamp]
            last[series, stamp] = time

    def teardown(self) -> None:
        """Close and delete the file."""
        self.store.close()
        self.folder.cleanup()


TestIdentity = Identity.TestCase
TestIdentity.settings = settings(max_examples=tries(40), stateful_step_count=20)


@settings(max_examples=tries(50))
@given(st.lists(st.lists(st.integers(0, 10**6), max_size=20), max_size=5))
def test_a_stamp_of_its_own_is_kept(batches: list[list[int]]) -> None:
    """A line that shares its stamp with no other line's time keeps it to the nanosecond."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalStore(Path(folder) / "x", write=True) as store,
    ):
        for batch in batches:
            store.append([Row(HEADS[0], stamp * 1000, "n=1i", "") for stamp in batch])
        times = [point.time for point in store.read("events", 0, 2**63 - 1)]
    assert {time for time in times if time % 1000 == 0} == {1000 * s for b in batches for s in b}


def test_thousands_of_lines_in_one_microsecond(tmp_path: Path) -> None:
    """Of 5,000 lines with one stamp, in batches and over a restart, each is its own nanosecond."""
    stamp = 1_700_000_000_000_000_000
    path = tmp_path / "events.db"
    for begin in range(0, 5000, 1250):
        with LocalStore(path, write=True) as store:
            for first in (begin, begin + 625):
                rows = [Row(HEADS[0], stamp, "n=1i", str(n)) for n in range(first, first + 625)]
                store.append(rows)
    with LocalStore(path) as store:
        points = list(store.read("events", stamp, stamp + 10**9))
    assert [point.time for point in points] == list(range(stamp, stamp + 5000))
    assert [point.fields["raw"] for point in points] == [str(n) for n in range(5000)]


def test_two_logs_interleaved_by_batch(tmp_path: Path) -> None:
    """Old lines between new ones, thousands of each, all keep their order and their own time."""
    with LocalStore(tmp_path / "events.db", write=True) as store:
        for batch in range(10):
            rows = [Row(HEADS[0], 10**9, "n=1i", f"old{batch * 500 + n}") for n in range(500)]
            rows += [Row(HEADS[0], 10**12, "n=1i", f"new{batch * 500 + n}") for n in range(500)]
            store.append(rows)
        for since, name in ((10**9, "old"), (10**12, "new")):
            points = list(store.read("events", since, since + 10**6))
            assert [point.time for point in points] == list(range(since, since + 5000))
            assert [p.fields["raw"] for p in points] == [f"{name}{n}" for n in range(5000)]


@given(st.integers(-(2**62), 2**62), st.text(max_size=40))
def test_an_offset_is_less_than_the_stamps_precision(stamp: int, machine: str) -> None:
    """A machine's offset moves a whole second by less than a millisecond, others by less."""
    second, microsecond = stamp // 10**9 * 10**9, stamp // 1000 * 1000
    rows = [Row(HEADS[0], at, "n=1i", "") for at in (second, microsecond, stamp)]
    moved = [row.time for row in Offset.of(machine).apply(rows)]
    assert 0 <= moved[0] - second < 10**6
    if microsecond % 10**9:
        assert 0 <= moved[1] - microsecond < 500
    if stamp % 1000:
        assert moved[2] == stamp


def test_machines_of_one_name_stay_apart(tmp_path: Path) -> None:
    """Of fifty machines that log a hundred lines in one second hardly two have a time in common."""
    second = 1_700_000_000 * 10**9
    stamps = [second] * 100 + [second + 10**8 + 1000 * n for n in range(100)]
    rows = [Row(HEADS[0], stamp, "n=1i", "") for stamp in stamps]
    times = []
    for number in range(50):
        path = tmp_path / f"{number}.db"
        with LocalStore(path, write=True, outbox=True, machine=f"machine {number}") as store:
            store.append(rows)
            times.append({point.time for point in store.read("events", 0, 2**62)})
    assert all(len(of_one) == 200 for of_one in times)
    met = sum(bool(one & other) for one, other in combinations(times, 2))
    # 1,225 pairs: a run of 100 meets another in a million places, a place another in 500
    assert met <= 1225 * (200 / 10**6 + 1 / 500) * 4

"""The suite that every EventStore passes: SQLite, and each real generation of InfluxDB."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.core.config.influxdb import BucketsConfig
from heptad.core.event import Event
from heptad.core.influxdb.store import InfluxStore
from heptad.core.intervals import MINUTE
from heptad.core.store.api import Emitter, EventStore
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import encode_fields, encode_series, row_of
from heptad.core.store.point import Identity, Row
from heptad.core.store.sqlite import LocalStore, counter_key
from tests.support import needs
from tests.support.effort import tries
from tests.support.influxdb import Influxd, connect

DAY = 1440 * MINUTE
NOW = 19_700 * DAY
EVENTS = "events"
COUNTER = counter_key("n_total", program="sshd")
NUMBERS = count()

Open = Callable[[], AbstractContextManager[EventStore]]


def open_influx(server: Influxd, stack: ExitStack) -> Callable[..., InfluxStore]:
    """Opens a store on two fresh databases again and again."""
    number = next(NUMBERS)
    buckets = BucketsConfig(f"events{number}", f"reports{number}", f"heptad{number}")
    server.create(*buckets.names())
    stack.callback(server.drop, *buckets.names())
    connection = stack.enter_context(connect(server.url, buckets=buckets, **server.keys))
    return lambda **more: InfluxStore(
        connection, buckets.events, "test", **{"now": lambda: NOW, **more}
    )


SERVERS = {needs.INFLUXDB_1: "influxd", needs.INFLUXDB_2: "influxd_2"}
PARAMS = ["local", *[pytest.param(name, marks=pytest.mark.system) for name in SERVERS]]


@pytest.fixture(params=PARAMS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again."""
    with ExitStack() as stack:
        if request.param == "local":
            yield lambda: LocalStore(tmp_path / "events.db", write=True)
        else:
            yield open_influx(request.getfixturevalue(SERVERS[request.param]), stack)


@pytest.fixture
def store(opened: Open) -> Iterator[EventStore]:
    """An empty store."""
    with opened() as store:
        yield store


ANY = "any"
"""A measurement of which nothing is declared: what there is comes back."""


def rows(first: int, last: int, host: str = "a") -> list[Row]:
    """Points at the nanoseconds after ``NOW`` from ``first`` up to ``last``."""
    return [Row(f"events,host={host}", NOW + n, f"count={n}i", "line") for n in range(first, last)]


def times(store: EventStore, **tags: str | list[str]) -> list[int]:
    """The times of all points with these tags, after ``NOW``."""
    return [point.time - NOW for point in store.read(EVENTS, 0, 2**62, tags)]


def test_nothing_is_there_at_first(store: EventStore) -> None:
    """An empty store answers every question, with nothing."""
    assert times(store) == []
    assert store.intervals(EVENTS, 0, 2**62) == []
    assert store.arrived(EVENTS, "", 10) == []
    assert store.recall("key") is None
    assert store.counters() == {}
    assert list(store.events(0, 2**62)) == list(store.events(0, 2**62, newest_first=True)) == []
    assert (store.watermark(), store.last_times(NOW), store.problems()) == (None, {}, [])
    assert list(store.tail(0, {}).history()) == []


def test_what_was_kept_is_there_again(opened: Open) -> None:
    """Rows, state and counters survive the end of the process; the last state is in force."""
    for n in range(3):
        with opened() as store:
            store.append(rows(n, n + 1), {"k": str(n).encode(), "e": b""}, {COUNTER: 1})
    with opened() as store:
        assert (times(store), store.recall("k"), store.recall("e")) == ([0, 1, 2], b"2", b"")
        assert store.counters() == {COUNTER: 3}
        assert store.recall("unknown") is None


def test_large_state(opened: Open) -> None:
    """State may be larger than a field of InfluxDB's, and hold any bytes."""
    value = bytes(n * n * n // 7 % 251 for n in range(300_000))
    with opened() as store:
        store.append([], {"k' = \"": value})
    with opened() as store:
        assert store.recall("k' = \"") == value


def test_reading_by_time_and_tags(store: EventStore) -> None:
    """A range includes its beginning and not its end; tags choose series; order is by time."""
    other = row_of("other", [("host", "a")], NOW + 3, {"n": 1})
    store.append([*rows(5, 8, "b"), *rows(0, 6, "a"), other])
    found = [(p.time - NOW, p.tags["host"]) for p in store.read(EVENTS, NOW + 4, NOW + 7)]
    assert sorted(found) == [(4, "a"), (5, "a"), (5, "b"), (6, "b")]
    assert [time for time, _ in found] == [4, 5, 5, 6]
    assert times(store, host="b") == [5, 6, 7]
    assert times(store, host=["a", "b", "c"]) == [0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert times(store, host=[]) == []
    assert times(store, host="nobody") == times(store, host="a", program="sshd") == []
    [point] = store.read("other", 0, 2**62)
    assert (point.tags, point.fields, point.time) == ({"host": "a"}, {"n": 1}, NOW + 3)


@pytest.mark.parametrize("value", ["", "a'", "' OR 'a' = 'a", "\\' OR 1=1 --", "\\", "a\n", "\0"])
def test_a_tag_that_is_asked_for_is_no_query(store: EventStore, value: str) -> None:
    """Whatever value or name is asked for, nothing is found that does not have it."""
    store.append(rows(0, 3))
    assert times(store, host=value) == []
    name = value.strip("\0")
    assert list(store.read(EVENTS, 0, 2**62, {f"host\" = 'a' OR \"{name}": "a"})) == []
    assert list(store.read(f'events" {name}', 0, 2**62)) == []


def test_long_ranges_with_long_gaps(store: EventStore) -> None:
    """Points that lie years apart are found, in order."""
    at = [0, 5 * DAY, 5 * DAY + 1, 9_000 * DAY, NOW, NOW + 800 * DAY]
    store.append([Row("events,host=a", time, "count=1i", "") for time in at])
    assert [point.time for point in store.read(EVENTS, -(2**62), 2**62)] == at
    assert store.intervals(EVENTS, -(2**62), 2**62) == [
        (time // MINUTE, time // MINUTE + 1) for time in sorted({t // MINUTE * MINUTE for t in at})
    ]


def test_rows_give_way_to_each_other(opened: Open) -> None:
    """A row whose place is taken moves on, within a batch and later; the same one stays."""
    with opened() as store:
        store.append(
            [Row(f"events,host={host}", NOW, f"count={n}i", "") for host in "ab" for n in (1, 2)]
        )
    with opened() as store:
        store.append(
            [
                Row("events,host=a", NOW, "count=3i", ""),
                Row("events,host=a", NOW + 9, "count=1i", ""),
            ]
        )
        found = {
            (p.tags["host"], p.time - NOW): p.fields["count"] for p in store.read(EVENTS, 0, 2**62)
        }
    assert found == {("a", 0): 1, ("a", 1): 2, ("a", 2): 3, ("a", 9): 1, ("b", 0): 1, ("b", 1): 2}


def test_arrivals(store: EventStore) -> None:
    """What came after a position is told, late points too, and nothing twice."""
    store.append(rows(100, 105))
    first = store.arrived(EVENTS, "", 10)
    assert sum(piece.points for piece in first) == 5
    assert store.arrived(EVENTS, first[-1].position, 10) == []
    store.append(rows(3, 5, "b"))
    [late] = store.arrived(EVENTS, first[-1].position, 10)
    assert late.points == 2
    assert late.oldest <= NOW + 3 <= NOW + 4 <= late.newest
    assert store.arrived(EVENTS, late.position, 10) == []
    [again] = store.arrived(EVENTS, first[-1].position, 10)
    assert again[:3] == late[:3]


def test_arrivals_are_cut_where_they_are_sparse(store: EventStore) -> None:
    """Long gaps are between pieces, edges too; each piece says how many points it has."""
    minutes = [100, 100, 101, 3, 102, 103]
    begin = NOW - 2000 * MINUTE
    numbered = enumerate(minutes)
    store.append([Row("events,host=a", begin + m * MINUTE, f"count={n}i", "") for n, m in numbered])
    pieces = store.arrived(EVENTS, "", 100, [begin + 102 * MINUTE])
    assert sorted(
        ((p.oldest - begin) // MINUTE, (p.newest - begin) // MINUTE, p.points) for p in pieces
    ) == [(3, 3, 1), (100, 101, 3), (102, 103, 2)]
    assert store.arrived(EVENTS, pieces[-1].position, 100) == []


def event(second: int, host: str = "a", user: str = "ann", **more: Any) -> Event:
    """A failed login some seconds after ``NOW``, with a name that no dialect keeps as it is."""
    at = NOW + second * 10**9
    told = {"user": user, "object": '\\n\n"=, ', "raw": "line\\n", **more}
    return Event(at, host, "auth", "sshd", "login", "failure", **told)


EVENTS_STORED = [event(n, "ab"[n % 2]) for n in range(5)]


def test_events_come_as_they_were_stored(store: EventStore) -> None:
    """Oldest or newest first, some or picked: the same events, and what is not one is counted."""
    store.append([*map(row_of_event, EVENTS_STORED), Row("events,host=a", NOW, "count=1i")])
    since, until = NOW, NOW + DAY // 2
    assert list(store.events(since, until)) == EVENTS_STORED
    assert list(store.events(since, until, newest_first=True)) == EVENTS_STORED[::-1]
    assert list(store.events(since + 1, until, {"host": "a"})) == EVENTS_STORED[2::2]
    newest = next(iter(store.events(since, until, {"host": "a"}, newest_first=True)))
    assert newest == EVENTS_STORED[4]
    some = store.events(since, until, newest_first=True, fields=("user", "count"))
    assert [(e.time, e.host, e.user) for e in some] == [
        (e.time, e.host, e.user) for e in EVENTS_STORED[::-1]
    ]
    asked = map(row_of_event, (*EVENTS_STORED[3:0:-2], event(9)))
    identities = [Identity(row.time, row.series) for row in asked]
    assert list(store.pick(identities)) == EVENTS_STORED[1:4:2]
    assert sum(store.intake.counts().values()) == 1


def test_the_last_event_of_each_emitter(store: EventStore) -> None:
    """By host, source and program, before a time."""
    store.append([row_of_event(one) for one in EVENTS_STORED])
    a, b = (Emitter(host, "auth", "sshd") for host in "ab")
    assert store.last_times(NOW + DAY) == {a: NOW + 4 * 10**9, b: NOW + 3 * 10**9}
    assert store.last_times(NOW + 2 * 10**9) == {a: NOW, b: NOW + 10**9}


def test_following_one_for_all(store: EventStore) -> None:
    """Who asks by a position, or follows: each event that comes is given once, with its fields."""
    position = store.newest_position()
    tail = store.tail(NOW - DAY, {"host": "a"})
    assert list(tail.history()) == []
    store.append([row_of_event(one) for one in EVENTS_STORED[3:]])
    assert list(tail.poll()) == [EVENTS_STORED[4]]
    assert list(tail.poll()) == []
    events, after = store.since_arrival(position, 10, {"host": "a"})
    if not store.is_shared:  # which looks again when a second has passed
        assert (events, after) == ([EVENTS_STORED[4]], store.newest_position())
        assert store.since_arrival(after, 10) == ([], after)


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from('"\\\n\r\t,= n'),
    max_size=30,
)
FIELDS = st.fixed_dictionaries(
    {"count": st.integers(-(2**63), 2**63 - 1)},
    optional={
        "text": TEXT,
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "bool": st.booleans(),
        "raw": TEXT.filter(bool),
    },
)
TAG = st.text(st.sampled_from(", =ab'\"äß/."), min_size=1, max_size=6)
POINTS = st.lists(st.tuples(st.dictionaries(st.sampled_from("xyz"), TAG), FIELDS), max_size=8)


def check_round_trip(
    store: EventStore, points: list[tuple[dict[str, str], dict[str, Any]]]
) -> None:
    """What is written is read, with its types."""
    given = [
        Row(
            encode_series(ANY, sorted(tags.items()) or [("x", "a")]),
            NOW + n * MINUTE,
            encode_fields({k: v for k, v in fields.items() if k != "raw"}),
            fields.get("raw", ""),
        )
        for n, (tags, fields) in enumerate(points)
    ]
    store.append(given)
    found = list(store.read(ANY, NOW, NOW + DAY))
    assert [(p.time, p.tags, p.fields) for p in found] == [
        (NOW + n * MINUTE, tags or {"x": "a"}, fields) for n, (tags, fields) in enumerate(points)
    ]
    for point, (_, fields) in zip(found, points, strict=True):
        assert {k: type(v) for k, v in point.fields.items()} == {
            k: type(v) for k, v in fields.items()
        }
        assert list(store.read(ANY, point.time, point.time + 1, point.tags)) == [point]


@settings(max_examples=tries(60))
@given(POINTS)
def test_round_trip_through_influxdb(
    influxd: Influxd, points: list[tuple[dict[str, str], dict[str, Any]]]
) -> None:
    """Any text, integer, float and truth comes back from InfluxDB as it was, and any tag."""
    with ExitStack() as stack:
        check_round_trip(stack.enter_context(open_influx(influxd, stack)()), points)


@settings(max_examples=tries(60))
@given(POINTS)
def test_round_trip_through_the_local_store(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[dict[str, str], dict[str, Any]]]
) -> None:
    """Any text, integer, float and truth comes back as it was, and any tag."""
    with LocalStore(tmp_path_factory.mktemp("store") / "events.db", write=True) as store:
        check_round_trip(store, points)

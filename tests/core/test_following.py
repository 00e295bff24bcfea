"""Following events as they come: each once, in the local store and in a real InfluxDB."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import heptad.core.influxdb.tail
from heptad.core.event import Event
from heptad.core.influxdb.store import InfluxStore
from heptad.core.intervals import MINUTE
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from tests.core.test_store_protocol import NOW, open_influx
from tests.support.aggregator_world import login
from tests.support.influxdb import Influxd

SECOND = 10**9
TAGS = "source=s,program=p,action=login,outcome=success"


class Clock:
    """The time of who follows, moved by the test."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return NOW + int(self.seconds * SECOND)

    def tick(self) -> float:
        """A monotonic time in seconds."""
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def store(influxd: Influxd, clock: Clock) -> Iterator[InfluxStore]:
    """An empty bucket."""
    with ExitStack() as stack:
        yield open_influx(influxd, stack)(now=clock.now, tick=clock.tick)


def rows(*seconds: float, host: str = "a") -> list[Row]:
    """Events at these seconds after ``NOW``."""
    return [
        Row(f"events,host={host},{TAGS}", NOW + int(at * SECOND), f"count=1i,n={n}i", "")
        for n, at in enumerate(seconds)
    ]


def at(events: Iterator[Event]) -> list[float]:
    """Their times, in seconds after ``NOW``."""
    return [(event.time - NOW) / SECOND for event in events]


def test_what_comes_is_shown_at_once(store: InfluxStore, clock: Clock) -> None:
    """History first, then each event when it is there, and none twice."""
    store.append(rows(-7200, -100, -1))
    follower = store.tail(NOW - 3600 * SECOND, {})
    assert at(follower.history()) == [-100, -1]
    assert at(follower.poll()) == []
    store.append(rows(-2, 0))
    assert at(follower.poll()) == [-2, 0]
    store.append(rows(0, host="b"))  # of the same moment
    clock.seconds = 1
    store.append(rows(1))
    assert at(follower.poll()) == [0, 1]
    assert at(follower.poll()) == []


def test_what_comes_late_is_shown(store: InfluxStore, clock: Clock) -> None:
    """What is up to ten minutes old is found within ten seconds; older, or from before, never."""
    store.append(rows(-400, -399))
    follower = store.tail(NOW - 500 * SECOND, {})
    assert at(follower.history()) == [-400, -399]
    store.append(rows(-5000, -501, -480, -399.5, -30))
    clock.seconds = 5
    assert at(follower.poll()) == []
    clock.seconds = 10
    assert at(follower.poll()) == [-480, -399.5, -30]
    clock.seconds = 700
    store.append(rows(-1, 650))
    assert at(follower.poll()) == [650]


def test_what_is_ahead_is_shown_once(store: InfluxStore, clock: Clock) -> None:
    """An event of a clock that is ahead is shown when it comes, and not again at its time."""
    follower = store.tail(NOW, {})
    assert at(follower.history()) == []
    store.append(rows(90))
    assert at(follower.poll()) == [90]
    for clock.seconds in (30, 89, 91, 100):
        assert at(follower.poll()) == []


def test_only_what_is_asked_for(store: InfluxStore, clock: Clock) -> None:
    """Events with other tags are neither shown nor looked for."""
    follower = store.tail(NOW - 600 * SECOND, {"host": "b"})
    assert at(follower.history()) == []
    store.append([*rows(-20, 0), *rows(-10, 0, host="b")])
    assert at(follower.poll()) == [0]
    clock.seconds = 10
    assert at(follower.poll()) == [-10]


def test_memory_is_bounded(
    store: InfluxStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where too many come to remember them all, old ones are missed rather than shown twice."""
    monkeypatch.setattr(heptad.core.influxdb.tail, "_MOST_SEEN", 100)
    follower = store.tail(NOW - 600 * SECOND, {})
    assert at(follower.history()) == []
    store.append([*rows(*(n - 300 for n in range(200))), *rows(*(n / 100 for n in range(90)))])
    clock.seconds = 10
    assert len(list(follower.poll())) == 290
    clock.seconds = 20
    assert at(follower.poll()) == []
    store.append(rows(-300.5, 5))
    clock.seconds = 30
    assert at(follower.poll()) == [5]
    assert sum(map(len, follower._seen.values())) <= 100  # noqa: SLF001 - what is bounded


def test_the_command_shows_what_comes(influxd: Influxd, tmp_path: Path) -> None:
    """`heptad events --follow` on InfluxDB: what is there, then what comes."""
    influxd.create("events", "heptad")
    config = tmp_path / "heptad.yaml"
    config.write_text(f"influxdb: {{url: '{influxd.url}'}}\n")
    event = login(time.time_ns() - SECOND, "192.0.2.1")
    influxd.write("events", [line_of(row_of_event(event))])
    command = [sys.executable, "-u", "-m", "heptad", "events", "--follow", "--format", "jsonl"]
    with subprocess.Popen(
        [*command, "--config", str(config)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["source_ip"] == "192.0.2.1"
            event = login(time.time_ns(), "192.0.2.2")
            influxd.write("events", [line_of(row_of_event(event))])
            assert json.loads(process.stdout.readline())["source_ip"] == "192.0.2.2"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()  # a shell in the background may have it ignore SIGINT
    influxd.drop("events", "heptad")


def test_the_local_store_follows_by_arrival(tmp_path: Path) -> None:
    """However old it is and however many there are: what arrives is shown, and once."""
    with LocalStore(tmp_path / "events.db", write=True) as store:
        store.append(rows(-100))
        follower = store.tail(NOW - 3600 * SECOND, {"host": "a"})
        assert at(follower.history()) == [-100]
        store.append([*rows(*range(1200)), *rows(3, host="b"), *rows(-50 * MINUTE / SECOND)])
        assert at(follower.poll()) == [*range(1200), -3000]
        assert at(follower.poll()) == []

"""Writing into a real InfluxDB: what is told to be there is there, and only the refused is not."""

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.core.influxdb.write import InfluxSink
from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Retry
from tests.support.effort import tries
from tests.support.faulty_proxy import (
    HANG,
    HANG_AFTER,
    HTML,
    LOST_ANSWER,
    RESET,
    Fault,
    FaultyProxy,
)
from tests.support.influxdb import Influxd, Nginx, connect, running

NUMBERS = itertools.count()
POISON = {
    "type": ('events,host=a count="x" {}', "already exists as type integer"),
    "field": ("events,host=b raw=1i {}", "already exists as type string"),
    "value": ("events,host=a count= {}", "missing field value"),
    "text": ("nonsense{}", "missing fields"),
    "quote": ('events raw="open {}', "unbalanced quotes"),
    "number": ("events,host=a count=99999999999999999999i {}", "unable to parse integer"),
    "tags": ("events,host=a,host=b count=1i {}", "duplicate tags"),
    "time": ("events,time=1 count=1i {}", "invalid tag key"),
}


@pytest.fixture(scope="module")
def nginx(influxd: Influxd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The same server behind the paths of 2.x."""
    with running(Nginx(tmp_path_factory.mktemp("nginx"), influxd.url)) as server:
        yield server


@pytest.fixture
def database(influxd: Influxd) -> Iterator[str]:
    """A database, in which the fields have their types."""
    name = f"writing-{next(NUMBERS)}"
    influxd.create(name)
    influxd.write(name, ['events,host=first count=1i,raw="x" 0'])
    yield name
    influxd.drop(name)


@pytest.fixture
def proxy(influxd: Influxd) -> Iterator[FaultyProxy]:
    """What fails between."""
    with FaultyProxy(influxd.url) as proxy:
        yield proxy


def deliver(
    url: str, database: str, lines: Sequence[str], version: str = "auto"
) -> DeliveryOutcome:
    """What becomes of a batch."""
    with connect(url, version=version, timeout=1.0) as connection:
        sink = InfluxSink(connection, database)
        return sink.deliver(sink.encode(lines))


def reasons(outcome: Delivered) -> dict[int, str]:
    """Why lines are not there: refused, or held for the type that the server has."""
    held = {n: f"already exists as type {one.stored}" for n, one in outcome.held.items()}
    return {**outcome.rejected, **held}


def good(number: int) -> str:
    """A line that is taken; quotes, commas and words of the server's errors are but text in it."""
    raw = f"unable to parse 'events' {number}: \\\"dropped=3\\\", count=\\\\"
    return f'events,host={"abc"[number % 3]} count={number}i,raw="{raw}" {number}'


def stored(influxd: Influxd, database: str) -> list[int]:
    """The numbers of the lines that are there, in order."""
    rows = influxd.rows("SELECT count, raw FROM events WHERE time > 0", database)
    return sorted(row["count"] for row in rows)


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_is_delivered_is_there(
    influxd: Influxd, nginx: Nginx, database: str, version: str
) -> None:
    """A batch is there, each line once, however often it is given."""
    url = influxd.url if version == "1" else nginx.url
    for _ in range(2):
        lines = [good(n) for n in range(1, 2001)]
        assert deliver(url, database, lines, version) == Delivered()
    assert stored(influxd, database) == list(range(1, 2001))


@pytest.mark.parametrize("version", ["1", "2"])
@given(data=st.data())
@settings(max_examples=tries(40))
def test_exactly_the_refused_lines_are_told(
    influxd: Influxd, nginx: Nginx, version: str, data: st.DataObject
) -> None:
    """Poisoned lines at any places are refused with the server's reason; all others are there."""
    name = f"poisoned-{next(NUMBERS)}"
    influxd.create(name)
    influxd.write(name, ['events,host=first count=1i,raw="x" 0'])
    size = data.draw(st.integers(1, 60))
    places = data.draw(st.dictionaries(st.integers(0, size - 1), st.sampled_from(sorted(POISON))))
    # two open quotes make a string of all that is between them, and no longer a fault
    kinds = list(places.values())
    if kinds.count("quote") > 1:
        places = {place: kind for place, kind in places.items() if kind != "quote"}
    lines = [
        POISON[places[n]][0].format(n + 1) if n in places else good(n + 1) for n in range(size)
    ]
    outcome = deliver(influxd.url if version == "1" else nginx.url, name, lines, version)
    assert isinstance(outcome, Delivered)
    told = reasons(outcome)
    assert set(told) == set(places)
    for place, kind in places.items():
        # many that are refused together share a reason
        possible = {kind} if len(places) <= 8 else set(places.values())
        assert any(POISON[one][1] in told[place] for one in possible)
    assert stored(influxd, name) == [n + 1 for n in range(size) if n not in places]
    influxd.drop(name)


def test_a_field_of_another_type_costs_three_requests(proxy: FaultyProxy, database: str) -> None:
    """Two thousand refused lines of five thousand are told apart by the server's own words."""
    lines = [f"events,host=h{n % 7} count={n}i {n}" for n in range(1, 5001)]
    lines[::5] = [f"events,host=h{n % 7} count=1i,raw=1i {n}" for n in range(1, 5001, 5)]
    outcome = deliver(proxy.url, database, lines, "1")
    assert isinstance(outcome, Delivered)
    assert set(outcome.held) == set(range(0, 5000, 5))
    assert proxy.requests == 3


def test_what_is_older_than_is_kept_is_counted(influxd: Influxd) -> None:
    """It is neither refused nor does it hide what is."""
    influxd.create("short", keep="1h")
    now = time.time_ns()
    lines = [f"events,host=a count={n}i {now + n}" for n in range(100)]
    lines[10:30] = [f"events,host=a count={n}i {n}" for n in range(20)]
    lines[50] = f'events,host=a count="x" {now}'
    lines[51] = "events,host=a count= 5"
    lines[52] = 'events,host=a count="x" 6'
    outcome = deliver(influxd.url, "short", lines)
    assert isinstance(outcome, Delivered)
    # what is too old has no type
    assert set(reasons(outcome)) == {50, 51}
    assert outcome.expired == 21
    assert influxd.count("short") == 77
    influxd.drop("short")


def test_limits_of_series_refuse_what_is_new(tmp_path: Path) -> None:
    """Lines of series that are there already are taken, and few requests tell."""
    limits = "max-values-per-tag = 6\nmax-series-per-database = 10"
    with running(Influxd(tmp_path / "limited", limits)) as server, FaultyProxy(server.url) as proxy:
        server.create("events")
        server.write("events", [f"events,host=h{n} count=1i 0" for n in range(4)])
        lines = [f"events,host=h{n % 8} count=1i {n + 1}" for n in range(4000)]
        outcome = deliver(proxy.url, "events", lines, "1")
        assert isinstance(outcome, Delivered)
        assert {n % 8 for n in outcome.rejected} == {6, 7}
        assert len(outcome.rejected) == 1000
        assert server.count("events") == 4 + 3000
        assert proxy.requests < 30


@pytest.mark.parametrize(
    "fault",
    [
        RESET,
        LOST_ANSWER,
        HANG,
        HANG_AFTER,
        HTML,
        Fault(status=429, headers={"Retry-After": "1"}),
        Fault(status=500),
        Fault(status=503),
        Fault(forward=True, status=504),
        Fault(trickle=0.1),
    ],
    ids=str,
)
def test_after_any_fault_each_point_is_there_once(
    influxd: Influxd, proxy: FaultyProxy, database: str, fault: Fault
) -> None:
    """Given again it is delivered, whether or not it was written before; refused lines are found."""
    lines = [good(n) for n in range(1, 51)]
    lines[20] = 'events count="x" 7'
    with connect(proxy.url, timeout=1.0) as connection:
        sink = InfluxSink(connection, database)
        payload = sink.encode(lines)
        proxy.fail(fault, None, fault)
        assert isinstance(sink.deliver(payload), Retry | Blocked)
        assert isinstance(sink.deliver(payload), Retry | Blocked)
        outcome = sink.deliver(payload)
    assert isinstance(outcome, Delivered)
    assert set(outcome.held) == {20}
    assert stored(influxd, database) == [n for n in range(1, 51) if n != 21]


def test_a_server_that_is_away_is_tried_again(
    influxd: Influxd, proxy: FaultyProxy, database: str
) -> None:
    """Refused connections say what to look at; afterwards the same sink goes on."""
    with connect(proxy.url) as connection:
        sink = InfluxSink(connection, database)
        proxy.refuse()
        outcome = sink.deliver(sink.encode([good(1)]))
        assert isinstance(outcome, Retry)
        assert "influxdb.url" in outcome.reason
        proxy.accept()
        assert sink.deliver(sink.encode([good(1)])) == Delivered()
    assert stored(influxd, database) == [1]


def test_a_killed_server_has_what_it_said_is_there(tmp_path: Path) -> None:
    """kill -9 between two batches loses neither; the sink finds the server again."""
    server = Influxd(tmp_path / "killed")
    with running(server), connect(server.url, timeout=5.0) as connection:
        server.create("events")
        sink = InfluxSink(connection, "events")
        assert sink.deliver(sink.encode([good(1)])) == Delivered()
        server.kill()
        assert isinstance(sink.deliver(sink.encode([good(2)])), Retry)
        server.start()
        outcome = sink.deliver(sink.encode([good(2)]))
        assert outcome == Delivered()
        assert stored(server, "events") == [1, 2]


def test_a_missing_bucket_is_told_with_what_makes_it(influxd: Influxd, nginx: Nginx) -> None:
    """In either generation's way."""
    for url, version in ((influxd.url, "1"), (nginx.url, "2")):
        outcome = deliver(url, "nowhere", [good(1)], version)
        assert isinstance(outcome, Blocked)
        assert re.search("database not found.*heptad influxdb setup", outcome.reason)


def test_what_is_too_large_for_a_proxy_is_halved(
    influxd: Influxd, database: str, tmp_path: Path
) -> None:
    """nginx's limit of a body splits a batch, and nothing is lost."""
    with running(Nginx(tmp_path / "small", influxd.url, max_body="20k")) as nginx:
        lines = [good(n) for n in range(1, 20_001)]
        assert deliver(nginx.url, database, lines, "2") == Delivered()
    assert stored(influxd, database) == list(range(1, 20_001))


def test_a_user_without_rights_keeps_everything(tmp_path: Path) -> None:
    """1.x with authentication: no credentials, wrong ones, and ones that may only read."""
    with running(Influxd(tmp_path / "closed", http="auth-enabled = true")) as server:
        with connect(server.url) as connection:

            def ask(query: str, **keys: str) -> int:
                return connection.request("POST", "/query", {"q": query} | keys).status

            assert ask("CREATE USER root WITH PASSWORD 'pw' WITH ALL PRIVILEGES") == 200
            root = {"u": "root", "p": "pw"}
            assert ask("CREATE DATABASE events", **root) == 200
            assert ask("CREATE USER web WITH PASSWORD 'reads-only'", **root) == 200
            assert ask("GRANT READ ON events TO web", **root) == 200
        users = [{}, {"username": "web", "password": "wrong-one"}]
        for keys in (*users, {"username": "web", "password": "reads-only"}):
            with connect(server.url, **keys) as connection:
                sink = InfluxSink(connection, "events")
                outcome = sink.deliver(sink.encode([good(1)]))
            assert isinstance(outcome, Blocked)
            assert "influxdb.username" in outcome.reason
            assert keys.get("password", "pw ") not in outcome.reason

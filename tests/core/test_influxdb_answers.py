"""Every answer to a write, as the three generations give them: what comes of it."""

import gzip
import itertools
import json
import random
import threading
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import yaml

from heptad.core.influxdb.write import InfluxSink
from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Retry
from tests.support.faulty_proxy import Fault, FaultyProxy, server
from tests.support.influxdb import connect

__all__ = ["server"]  # fixture

CASES = yaml.safe_load(
    (Path(__file__).parents[1] / "support" / "contract/writes.yaml").read_text("utf-8")
)
LINES = ["m a=1i 1", "m a=2i 2"]


def deliver(
    server: FaultyProxy, lines: list[str] = LINES, generation: int = 1, **keys: Any
) -> DeliveryOutcome:
    """What becomes of a batch."""
    with connect(server.url, version=str(generation), **keys) as connection:
        sink = InfluxSink(connection, "events")
        return sink.deliver(sink.encode(lines))


def fault(answer: dict[str, Any]) -> Fault:
    """An answer of the contract's."""
    body = str(answer.get("body", "")).encode()
    return Fault(status=answer["status"], headers=answer.get("headers", {}), body=body)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_each_known_answer_has_the_outcome_that_it_means(
    server: FaultyProxy, case: dict[str, Any]
) -> None:
    """Refused lines and only those are told with the server's reason; else how to go on."""
    assert case.get("source") or case.get("real")

    def plan(path: str, body: bytes) -> Fault:
        if case.get("poison", "") not in gzip.decompress(body).decode():
            return Fault(status=204)
        explained = case.get("explained") if path.startswith("/api/v3/") else None
        return fault(explained or case["answer"])

    server.plan = plan
    outcome = deliver(server, case.get("lines", LINES), case["generation"])
    if "hold" in case:
        assert isinstance(outcome, Blocked)
        assert all(word in outcome.reason for word in case["hold"]), outcome.reason
    elif "again" in case:
        assert isinstance(outcome, Retry)
        assert outcome.after == case["again"]
        assert all(word in outcome.reason for word in case.get("says", [])), outcome.reason
    else:
        assert isinstance(outcome, Delivered)
        expected = case.get("refused", {})
        assert set(outcome.rejected) == set(expected)
        assert all(words in outcome.rejected[index] for index, words in expected.items())
        assert {n: str(one) for n, one in outcome.held.items()} == case.get("held", {})
        assert outcome.expired == case.get("expired", 0)
    assert server.requests <= case.get("requests", 20)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0", 0, 0),
        ("999999999", 3600, 3600),
        ("-5", 0, 0),
        ("soon", 0, 0),
        ("1e9", 0, 0),
        ("\uff19", 0, 0),
        pytest.param(formatdate(usegmt=True), 0, 2, id="now"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600, 3600),
        ("Fri, 31 Dec 99999 23:59:59 GMT", 0, 0),
    ],
)
def test_a_server_that_asks_for_rest_gets_an_hour_at_most(
    server: FaultyProxy, text: str, low: float, high: float
) -> None:
    """Retry-After is seconds or a date; nonsense is none."""
    value = text.encode().decode("latin-1")
    server.plan = lambda *_: Fault(status=503, headers={"Retry-After": value})
    outcome = deliver(server)
    assert isinstance(outcome, Retry)
    assert low <= outcome.after <= high


def refuse_bad(said: str = "field type conflict") -> Callable[[str, bytes], Fault]:
    """A server that refuses what holds a bad line, all of it, and names none."""
    numbers = itertools.count(1)

    def plan(_: str, body: bytes) -> Fault:
        if b"bad" in gzip.decompress(body):
            error = json.dumps({"error": said.format(next(numbers))})
            return Fault(status=400, body=error.encode())
        return Fault(status=204)

    return plan


@pytest.mark.table
@pytest.mark.parametrize(
    ("said", "bad", "most"),
    [
        ("field type conflict", {1999}, 30),
        ("field type conflict", set(range(100, 108)), 60),
        ("field type conflict", set(range(0, 2000, 200)), 10 * 2 * 12),
        ("nothing that anyone knows", set(range(0, 2000, 200)), 10 * 2 * 12),
        ("line protocol: {}", set(range(0, 2000, 200)), 10 * 2 * 12),
        # more than a few alike in one series, and good ones among them
        ("field type conflict", set(range(0, 2000, 2)), 4001),
        ("line protocol: {}", set(range(2000)), 4001),
        ("field type conflict", set(range(1999)), 4001),
    ],
)
def test_lines_that_no_answer_names_are_found(
    server: FaultyProxy, said: str, bad: set[int], most: int
) -> None:
    """Just the refused lines are set aside, however many, and the search is bounded."""
    server.plan = refuse_bad(said)
    lines = [f"m a={'bad' if n in bad else 1}i {n}" for n in range(2000)]
    outcome = deliver(server, lines, 2)
    assert isinstance(outcome, Delivered)
    assert set(outcome.rejected) == bad
    assert server.requests <= most


@pytest.mark.parametrize("generation", [1, 2, 3])
@pytest.mark.parametrize(
    "said",
    ["quota exceeded", "blocked by policy", "request {} exceeds the limit", "id 5f3-{}a: refused"],
)
def test_a_proxy_that_refuses_all_sets_nothing_aside(
    server: FaultyProxy, generation: int, said: str
) -> None:
    """Words that InfluxDB uses too, and a number in each answer: what holds no line gets it too."""
    numbers = itertools.count(1000)
    server.plan = lambda *_: Fault(
        status=400, body=json.dumps({"error": said.format(next(numbers))}).encode()
    )
    outcome = deliver(server, generation=generation)
    assert isinstance(outcome, Blocked)
    assert "a proxy's error page" in outcome.reason
    assert server.requests <= 3


def test_a_search_that_is_cut_short_goes_on(server: FaultyProxy) -> None:
    """Where a server fails again and again amid a search, each line is sent no oftener for that."""
    healthy = refuse_bad()

    def plan(path: str, body: bytes) -> Fault:
        return Fault(status=503) if server.requests % 5 == 0 else healthy(path, body)

    server.plan = plan
    lines = [f"m a={'bad' if n % 2 else 1}i {n}" for n in range(200)]
    with connect(server.url, version="1") as connection:
        sink = InfluxSink(connection, "events")
        payload = sink.encode(lines)
        failures = 0
        while isinstance(outcome := sink.deliver(payload), Retry):
            failures += 1
            assert failures < 200
        assert isinstance(outcome, Delivered)
        assert set(outcome.rejected) == set(range(1, 200, 2))
        assert server.requests <= 2 * 200 + 1 + failures
        # the next one has nothing of it, also where it is the same to the letter
        server.plan = lambda *_: Fault(status=204)
        assert sink.deliver(sink.encode(lines)) == Delivered()


def test_a_size_that_was_too_large_is_remembered(server: FaultyProxy) -> None:
    """The next batch is halved before it is sent, and a line that alone is too large is refused."""

    def plan(_: str, body: bytes) -> Fault:
        return Fault(status=413 if len(gzip.decompress(body)) > 200_000 else 204)

    server.plan = plan
    noise = random.Random(1).randbytes(150_000).hex()  # does not compress well
    lines = [f'm a="{noise[n * 10_000 : n * 10_000 + 10_000]}" {n}' for n in range(30)]
    with connect(server.url, version="1") as connection:
        sink = InfluxSink(connection, "events")
        assert sink.deliver(sink.encode(lines)) == Delivered()
        first = server.requests
        assert sink.deliver(sink.encode(lines)) == Delivered()
        assert server.requests - first < first
        outcome = sink.deliver(sink.encode([lines[0], f'm a="{noise}" 9']))
    assert isinstance(outcome, Delivered)
    assert list(outcome.rejected) == [1]


def test_a_proxy_that_takes_nothing_is_not_the_fault_of_a_line(server: FaultyProxy) -> None:
    """A small line that is too large is kept, and a person told what to raise."""
    server.plan = lambda *_: Fault(status=413)
    outcome = deliver(server, [f"m a=1i {n}" for n in range(1000)])
    assert isinstance(outcome, Blocked)
    assert "client_max_body_size" in outcome.reason
    assert server.requests < 20


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_search_for_refused_lines_that_is_cut_short_sets_nothing_aside(
    server: FaultyProxy, status: int
) -> None:
    """The whole batch is given again: it is not known what became of it."""

    def plan(_: str, body: bytes) -> Fault:
        if not gzip.decompress(body):
            return Fault(status=204)
        if server.requests < 4:
            return Fault(status=400, body=b'{"error":"field type conflict"}')
        return Fault(status=status)

    server.plan = plan
    assert isinstance(deliver(server, LINES * 20), Retry)


def test_no_answer_bears_a_secret(server: FaultyProxy) -> None:
    """Not even where the server repeats it."""
    server.plan = lambda *_: Fault(status=401, body=b'{"message":"no token tok-s3cret"}')
    outcome = deliver(server, generation=2, token="tok-s3cret")
    assert isinstance(outcome, Blocked)
    assert "s3cret" not in outcome.reason


def test_an_answer_that_never_ends_is_not_waited_for(server: FaultyProxy) -> None:
    """A byte now and then does not hold a request for ever."""
    server.plan = lambda *_: Fault(trickle=0.2)
    done: list[DeliveryOutcome] = []
    thread = threading.Thread(target=lambda: done.append(deliver(server, timeout=1.0)))
    thread.start()
    thread.join(20)
    assert isinstance(done[0], Retry)
    assert "timeout" in done[0].reason


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe", b'{"error":', b'{"data":[[]]}', b""])
def test_nothing_that_a_server_says_raises(server: FaultyProxy, body: bytes) -> None:
    """Nonsense with a status of refusal keeps everything."""
    server.plan = lambda *_: Fault(status=400, body=body)
    for generation in (1, 2, 3):
        assert isinstance(deliver(server, generation=generation), Blocked)


def test_a_request_that_does_not_fit_into_the_servers_memory_is_halved(
    server: FaultyProxy,
) -> None:
    """2.x takes no request that is larger than its cache; smaller ones it does."""
    error = b'{"message":"engine: cache-max-memory-size exceeded: (691411/300000)"}'
    taken: list[str] = []

    def plan(_: str, body: bytes) -> Fault:
        lines = gzip.decompress(body).decode().splitlines()
        if len(lines) > 100:
            return Fault(status=500, body=error)
        taken.extend(lines)
        return Fault(status=204)

    server.plan = plan
    chance = random.Random(1)
    lines = [f'm a="{chance.randbytes(300).hex()}" {number}' for number in range(500)]
    assert deliver(server, lines, 2) == Delivered()
    assert sorted(taken) == sorted(lines)

"""What is remembered of connections is bounded, survives a restart, and leads to known labels."""

import sys
from collections.abc import Callable
from datetime import UTC
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.login_attempts import (
    MOST_ENDED,
    MOST_OPEN,
    LoginAttempts,
    label_sets,
)
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from tests.exporter.test_attempts import (
    BYE,
    CLOSED,
    CONNECTED,
    DENIED,
    GONE,
    INVALID,
    LISTENER,
    LOGGED_OUT,
    NO_KEY,
    NOBODY_GONE,
    NONE,
    NOT_PAM,
    PAM,
    PEER,
    RIGHT,
    TOO_MANY,
    WRONG,
    Line,
    interpret,
    write,
)
from tests.support.effort import tries
from tests.support.rulebook import RULEBOOK


def judge_lines(normalizer: Normalizer, lines: list[str]) -> None:
    """Have the interpreter understand these lines."""
    header = HeaderParser(TimestampParser(UTC), Provenance())
    for line in lines:
        record = header.parse(line)
        assert record is not None
        normalizer.classify(record)


def test_memory_is_bounded() -> None:
    """Of very many open connections the oldest are forgotten, and counted; ended ones are not."""
    normalizer = Normalizer(RULEBOOK, "gate", "text")
    header = HeaderParser(TimestampParser(UTC), Provenance())
    open_lines = [write((n / 1000, n, INVALID)) for n in range(MOST_OPEN + 250)]
    for line in (write((0, 999_999, CLOSED)), *open_lines):
        record = header.parse(line)
        assert record is not None
        normalizer.classify(record)
    assert normalizer.attempts.forgotten == 250
    last = header.parse(write((20, MOST_OPEN, CLOSED)))
    assert last is not None
    assert normalize_record(normalizer, last) is not None
    assert len(normalizer.attempts.dump()) < 150 * MOST_OPEN
    for n in range(2):
        late = header.parse(write((800, n, INVALID)))
        assert late is not None
        normalizer.classify(late)
    assert normalizer.attempts.forgotten == 250
    assert len(normalizer.attempts.dump()) < 1000


LINES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 5.0, 60.0, 400.0]),
        st.integers(1, 3),
        st.sampled_from(
            [
                *(CONNECTED, INVALID, WRONG, RIGHT, NO_KEY, NONE, PAM, NOT_PAM, CLOSED, GONE),
                *(TOO_MANY, DENIED, NOBODY_GONE, BYE, LISTENER.format(2)),
                WRONG.replace("50022", "50023"),
            ]
        ),
    ),
    max_size=30,
)


@settings(max_examples=tries(200))
@given(LINES, st.integers(0, 30))
def test_a_restart_anywhere(steps: list[Line], cut: int) -> None:
    """Dumped and restored after any line, the connections go on as if nothing had happened."""
    header = HeaderParser(TimestampParser(UTC), Provenance())
    whole, first, second = (Normalizer(RULEBOOK, "gate", "text") for _ in range(3))
    now = 0.0
    for number, (pause, pid, message) in enumerate(steps):
        now += pause
        if number == cut:
            second.attempts.restore(first.attempts.dump())
        record = header.parse(write((now, pid, message)))
        assert record is not None
        parted = normalize_record(first if number < cut else second, record)
        assert normalize_record(whole, record) == parted
    known = (first if len(steps) <= cut else second).attempts
    assert known.dump() == whole.attempts.dump()


def test_ended_connections_cost_little() -> None:
    """An open connection keeps no ended one; what is kept of those is small and of a fixed number."""
    normalizer = Normalizer(RULEBOOK, "gate", "text")
    judge_lines(normalizer, [write((0, 1, f"Invalid user {'x' * 9000} from {PEER}"))])
    assert len(normalizer.attempts.dump()) < 400
    for first in (10, 2010):
        ended = [(n / 1000, n, m) for n in range(first, first + 2000) for m in (INVALID, CLOSED)]
        judge_lines(normalizer, list(map(write, ended)))
        assert len(normalizer.attempts.dump()) < 60 * MOST_ENDED
    assert normalizer.attempts.forgotten == 0


def test_many_hosts_are_bounded_together() -> None:
    """Of many hosts' open connections the one with the most loses its own."""
    normalizer = Normalizer(RULEBOOK, "gate", "text")
    others = [write((0, n, INVALID)).replace(" gate ", f" host{n} ") for n in range(100)]
    judge_lines(normalizer, others)
    judge_lines(normalizer, [write((1, n, INVALID)) for n in range(MOST_OPEN)])
    assert normalizer.attempts.forgotten == 100
    judge_lines(normalizer, [line.replace(INVALID, NOBODY_GONE) for line in others])
    judge_lines(normalizer, [write((2, n, INVALID)) for n in range(MOST_OPEN, MOST_OPEN + 100)])
    assert normalizer.attempts.forgotten == 100


def test_an_untouched_state_is_not_written_anew() -> None:
    """Lines that belong to no connection leave the dump as it is."""
    normalizer = Normalizer(RULEBOOK, "gate", "text")
    judge_lines(normalizer, [write((0, 1, INVALID))])
    before = normalizer.attempts.dump()
    judge_lines(normalizer, [write((1, 1, BYE)), write((1, 1, LOGGED_OUT))])
    assert normalizer.attempts.dump() is before
    judge_lines(normalizer, [write((2, 1, CLOSED))])
    assert normalizer.attempts.dump() != before


@given(LINES)
def test_every_label_set_is_known(steps: list[Line]) -> None:
    """Whatever a connection tells, its label set is one of those that exist at zero."""
    known = label_sets(RULEBOOK)
    now = 0.0
    lines = [(now := now + pause, pid, message) for pause, pid, message in steps]
    for event in interpret(*lines):
        assert event.labels in known


def test_an_empty_state() -> None:
    """Nothing open is a state too."""
    attempts = LoginAttempts()
    attempts.restore(LoginAttempts().dump())
    assert attempts.dump() == LoginAttempts().dump()


def steps_of(hosts: int) -> int:
    """Lines of Python that a thousand log lines take, once every host has been met."""
    normalizer, header = (
        Normalizer(RULEBOOK, "gate", "text"),
        HeaderParser(TimestampParser(UTC), Provenance()),
    )
    steps = 0

    def read(first: int, lines: int) -> None:
        numbers = range(first, first + lines)
        text = [
            write((n / 1000, n, INVALID)).replace(" gate ", f" web-{n % hosts} ") for n in numbers
        ]
        normalizer.normalize(header.parse_text("\n".join(text))[0])

    def count_lines(_frame: FrameType, _event: str, _: object) -> Callable[..., Any]:
        nonlocal steps
        steps += 1
        return count_lines

    read(0, 3 * MOST_OPEN)
    sys.settrace(count_lines)
    try:
        read(3 * MOST_OPEN, 1000)
    finally:
        sys.settrace(None)
    return steps


@pytest.mark.long
def test_many_hosts_cost_as_much_as_one() -> None:
    """Four thousand hosts, or ten, make no line much dearer than one host does."""
    one = steps_of(1)
    for hosts in (10, 4000):
        assert steps_of(hosts) < 1.3 * one

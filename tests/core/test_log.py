"""Heptad's own log: one line a record in either form, a lasting problem told once."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core.telemetry.log import Condition, JsonFormatter, LogfmtFormatter, configure
from tests.support.clock import Clock

LOGFMT = re.compile(r'([\w.]+)=("(?:[^"\\]|\\.)*"|[^\s"=\\]*)(?: |$)')


def record(message: str, **extra: Any) -> logging.LogRecord:
    """A record as ``log.warning(message, extra=extra)`` makes it."""
    logger = logging.getLogger("heptad.part")
    return logger.makeRecord(logger.name, logging.WARNING, "f", 1, message, (), None, extra=extra)


def read_logfmt(line: str) -> dict[str, str]:
    """The pairs of a logfmt line, every character of which belongs to one."""
    pairs = LOGFMT.findall(line)
    assert sum(len(key) + len(value) + 2 for key, value in pairs) == len(line) + 1
    return {key: json.loads(v) if v.startswith('"') else v for key, v in pairs}


@given(st.text(), st.text())
def test_logfmt_is_one_line(message: str, value: str) -> None:
    """Whatever a message or a value holds, it comes back from one line of printable ASCII."""
    line = LogfmtFormatter().format(record(message.replace("%", ""), what=value))
    assert line.isascii()
    assert line.isprintable()
    fields = read_logfmt(line)
    assert fields["what"] == value
    assert fields["message"] == message.replace("%", "")
    assert (fields["level"], fields["part"]) == ("warning", "part")


@given(st.text())
def test_json_is_one_line(value: str) -> None:
    """JSON is one object a line, numbers and truth values kept as they are."""
    line = JsonFormatter().format(record("m", what=value, n=1, ok=True, other=[1]))
    assert line.isascii()
    assert line.isprintable()
    fields = json.loads(line)
    assert (fields["what"], fields["n"], fields["ok"], fields["other"]) == (value, 1, True, "[1]")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["time"])


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Put the logging of the process back."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_configure(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """All logs go to standard error, from the level on; an error has no traceback in it."""
    configure("info", form)
    log = logging.getLogger("heptad.test")
    log.debug("quiet")
    try:
        raise OSError("no\nroom")
    except OSError:
        log.exception("failed", extra={"path": "/x y"})
    [line] = capsys.readouterr().err.splitlines()
    fields = json.loads(line) if form == "json" else read_logfmt(line)
    assert (fields["level"], fields["error"], fields["path"]) == (
        "error",
        "OSError: no\nroom",
        "/x y",
    )
    assert "trace" not in fields


def test_debug_tells_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """At debug an error comes with its traceback, on the same line."""
    configure("debug", "logfmt")
    try:
        raise OSError("no room")
    except OSError:
        logging.getLogger("heptad.test").exception("failed")
    [line] = capsys.readouterr().err.splitlines()
    assert "Traceback" in read_logfmt(line)["trace"]


def test_a_condition_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A lasting problem is one line when it begins and one when it ends, not one a retry."""
    caplog.set_level(logging.INFO)
    condition = Condition(logging.getLogger("heptad.test"), "store", store="/x")
    condition.set(None)
    for problem in ("full", "full", "full", None, None, "full", None):
        condition.set(problem)
    told = [(r.levelname, r.getMessage(), getattr(r, "problem", "")) for r in caplog.records]
    begin, end = ("WARNING", "store: problem", "full"), ("INFO", "store: recovered", "")
    assert told == [begin, end, begin, end]


def test_another_reason_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A line when the reason changes, none when only its numbers do or it comes again soon."""
    clock = Clock(0)
    condition = Condition(logging.getLogger("heptad.test"), "delivery", clock=clock.monotonic)
    for problem in (
        "status 404: no bucket; request 7f3a",
        "status 404: no bucket; request 81bc",
        "status 403: no right",
        "status 404: no bucket; request 9",
        "status 403: no right",
    ):
        condition.set(problem)
    assert [r.getMessage() for r in caplog.records] == [
        "delivery: problem",
        "delivery: another problem",
    ]
    assert getattr(caplog.records[-1], "problem", "") == "status 403: no right"
    clock.now = 601
    condition.set("status 403: no right")  # the same all the time
    condition.set("status 404: no bucket; request 10")
    assert len(caplog.records) == 3
    condition.set(None)
    condition.set("status 403: no right")
    told = [r.getMessage() for r in caplog.records if r.levelno > logging.INFO]
    assert told[3:] == ["delivery: problem"]
    for number in range(100):
        condition.set("reason " + chr(0x4E00 + number))
    assert len(condition._told) <= 20  # noqa: SLF001 - it must not grow

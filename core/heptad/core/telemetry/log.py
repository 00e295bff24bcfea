"""Heptad's own log on standard error, logfmt or JSON; lasting problems are logged once."""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from heptad.core.telemetry.masking import mask_whole

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN: Final = re.compile(r"[!#-<>-\[\]-~]+")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, Any] = {
        "time": stamp.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "part": record.name.removeprefix("heptad."),
        "message": record.getMessage(),
    }
    for key, value in vars(record).items():
        if key not in _STANDARD:
            fields[key] = value if isinstance(value, int | float | bool) else str(value)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {error}"
        if record.levelno >= logging.CRITICAL or logging.getLogger().level <= logging.DEBUG:
            fields["trace"] = logging.Formatter().formatException(record.exc_info)
    return {key: _hide(value) for key, value in fields.items()}


def _hide(value: Any) -> Any:
    return mask_whole(value) if isinstance(value, str) else value


class LogfmtFormatter(logging.Formatter):
    """Format records as ``key=value`` pairs; special characters are quoted as in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{key}={_quote(value)}" for key, value in _fields(record).items())


def _quote(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class JsonFormatter(logging.Formatter):
    """Format records as one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record))


_NUMBER: Final = re.compile("[0-9a-fA-F]*[0-9][0-9a-fA-F]*")
"""Numbers such as counts, and the request ids of servers and proxies."""
_FORGET: Final = 600.0
_MOST_REASONS: Final = 20


def configure(level: str, form: str) -> None:
    """Send all logs to standard error in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # its threads log errors when they are stopped
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)


class Condition:
    """A lasting problem; it is logged when it starts, when its reason changes, and when it ends.

    Reasons that differ only in numbers are equal. A reason that returns within ten minutes is not
    logged again, so that a server with alternating errors does not fill the log.
    """

    def __init__(
        self,
        log: logging.Logger,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        **fields: object,
    ) -> None:
        self._log = log
        self._clock = clock
        self._name = name
        self._fields = fields
        self._reason: str | None = None
        self._told: dict[str, float] = {}
        self.problem: str | None = None

    def set(self, problem: str | None) -> None:
        """Set the current problem; None if there is none."""
        before, self.problem = self.problem, problem
        if problem == before:
            return
        if problem is None:
            self._reason = None
            self._told.clear()
            self._log.info("%s: recovered", self._name, extra=self._fields)
            return
        reason = _NUMBER.sub("", problem)
        if reason == self._reason:
            return
        self._reason = reason
        now = self._clock()
        if now - self._told.get(reason, -_FORGET) < _FORGET:
            return
        while len(self._told) >= _MOST_REASONS:
            del self._told[next(iter(self._told))]
        self._told[reason] = now
        what = "problem" if before is None else "another problem"
        self._log.warning("%s: %s", self._name, what, extra={**self._fields, "problem": problem})

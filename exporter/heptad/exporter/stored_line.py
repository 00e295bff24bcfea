"""Compare stored rows by content, independent of the log that their line was read from.

The journal and a file of syslogd contain the same line in two forms: with a time in microseconds or
in seconds, with a process id that journald adds, under a host's long or short name, with characters
that syslogd escapes. Rows that differ only in these have equal content.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from heptad.core.event import Event
from heptad.core.store.event_row import EVENTS
from heptad.core.store.line_protocol import decode_fields, decode_series
from heptad.core.store.point import Row, Value

SECOND: Final = 10**9
_OF_THE_LOG: Final = frozenset(
    "count pid trust log_host path unit tag begin message exe uid capable transport trusted history"
    " raw".split()
)
_ESCAPED: Final = re.compile(r"#[0-7]{3}|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|[^!-~\w]")
_ADDRESS: Final = re.compile(r"[0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*")

EventKind = tuple[str, ...]
"""Measurement, program, action, outcome, method and reason."""
MachineProgram = tuple[str, str]
"""A machine, empty for this host, and a program."""


class LineContent(msgspec.Struct, frozen=True, gc=False):
    """The content of a row; ``count`` is the number of lines that it stands for."""

    kind: EventKind
    voice: MachineProgram
    content: str
    time: int
    pid: str
    count: int

    @property
    def end(self) -> int:
        """The latest time when its line may have been written: times may be whole seconds."""
        return self.time if self.time % SECOND else self.time + SECOND - 1

    def may_be(self, other: "LineContent") -> bool:
        """Return whether both may be the same line, apart from their times."""
        if self.content != other.content or self.voice[0] != other.voice[0]:
            return False
        return self.pid == other.pid or not (self.pid and other.pid)


@lru_cache(maxsize=8192)
def machine_of(name: str) -> str:
    """Return a host's name without its domain, in lower case; empty for ``localhost``."""
    name = name.lower()
    short = name if _ADDRESS.fullmatch(name) else name.partition(".")[0]
    return "" if short == "localhost" else short


@lru_cache(maxsize=8192)
def kind_of(series: str) -> EventKind:
    measurement, tags = decode_series(series)
    return (measurement, *(tags.get(tag, "") for tag in _KIND))


_KIND: Final = ("program", "action", "outcome", "method", "reason")


@lru_cache(maxsize=8192)
def host_of(series: str) -> str:
    """Return the machine of a series."""
    return machine_of(decode_series(series)[1].get("host", ""))


def content_of_event(event: Event, own: frozenset[str]) -> LineContent:
    """Return the content of an event; ``own`` are the names of this host, see ``machine_of``."""
    fields = {name: value for name in EVENTS.fields if (value := getattr(event, name)) is not None}
    kind = (EVENTS.name, *(getattr(event, tag) for tag in _KIND))
    return _content_of(kind, machine_of(event.host), event.time, fields, "", own)


def content_of(row: Row, own: frozenset[str]) -> LineContent:
    """Return the content of a stored row, also of a line that no rule matched."""
    fields = decode_fields(row.body)
    message = ""
    if "begin" in fields or "message" in fields:  # a line that no rule matched
        message = str(fields.get("message", row.raw[int(fields.get("begin", 0)) :]))
    return _content_of(kind_of(row.series), host_of(row.series), row.time, fields, message, own)


def _content_of(
    kind: EventKind,
    host: str,
    time: int,
    fields: Mapping[str, Value],
    message: str,
    own: frozenset[str],
) -> LineContent:
    texts = [f"{name}={value}" for name, value in sorted(fields.items()) if name not in _OF_THE_LOG]
    machine = machine_of(str(fields["log_host"])) if "log_host" in fields else host
    return LineContent(
        kind,
        ("" if machine in own else machine, kind[1]),
        _ESCAPED.sub("", "\0".join([*texts, message])),
        time,
        str(fields.get("pid", "")),
        int(fields.get("count", 1)),
    )

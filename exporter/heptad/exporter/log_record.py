"""The records that sources return, and where each comes from."""

from typing import Self

import msgspec


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """Where a record comes from, and what confirms it.

    ``exe``, ``uid``, ``capable`` (has effective capabilities, possibly only in a user namespace)
    and ``transport`` are the journal's trusted fields (systemd.journal-fields(7)). A record of a
    file has none of them and is not ``trusted``.
    """

    path: str | None = None
    unit: str | None = None
    trusted: bool = False
    exe: str | None = None
    uid: int | None = None
    capable: bool = False
    transport: str | None = None


class RepeatCount(int):
    """The repeat count of a folded line; ``again``: it repeats the line right before."""

    again: bool

    def __new__(cls, count: int, *, again: bool = False) -> Self:
        folded = super().__new__(cls, count)
        folded.again = again
        return folded


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """A log line with its header parsed.

    ``time`` is nanoseconds since the epoch, UTC; ``host`` and ``app_name`` are as logged, and
    ``pid`` is the process id in digits. ``raw`` is the whole line. ``count`` is 1, or a
    RepeatCount.
    """

    time: int
    host: str | None
    app_name: str
    pid: str | None
    message: str
    raw: str
    count: int
    provenance: Provenance

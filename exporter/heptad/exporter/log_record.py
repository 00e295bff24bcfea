"""A log line with its header understood: what every source hands over."""

from typing import Self

import msgspec


class Provenance(msgspec.Struct, frozen=True, gc=False):
    """Where a record comes from, and who vouches for it.

    ``exe``, ``uid``, ``capable`` (has effective capabilities, maybe in a user namespace only) and
    ``transport`` are the journal's trusted fields (systemd.journal-fields(7)); a file has none of
    them and is not ``trusted``.
    """

    path: str | None = None
    unit: str | None = None
    trusted: bool = False
    exe: str | None = None
    uid: int | None = None
    capable: bool = False
    transport: str | None = None


class RepeatCount(int):
    """How often a folded line says that it came; ``again``: that the line right before did."""

    again: bool

    def __new__(cls, count: int, *, again: bool = False) -> Self:
        """Make one of ``count``."""
        folded = super().__new__(cls, count)
        folded.again = again
        return folded


LogRecord = tuple[int, str | None, str, str | None, str, str, int, Provenance]
"""(time in ns UTC, host, tag, pid, message, raw line, how often, origin).

A plain tuple, for there is one for every line. How often is 1, or Folded; ``tag`` is the
program's name as logged, and ``pid`` its process id in digits.
"""

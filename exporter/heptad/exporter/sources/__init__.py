"""Where log lines come from: each source hands over records with the state behind them."""

import threading
from typing import Final, Protocol

import msgspec

from heptad.exporter.log_record import LogRecord

DROPPED: Final = "daemon_dropped"
"""The reason of a gap that a line of the log reports: its daemon dropped messages."""
GAP_REASONS: Final = (
    "rotated_away",
    "vacuumed",
    "truncated",
    "lost_tail",
    "unreadable",
    DROPPED,
)

DEAF_REASONS: Final[dict[str, str]] = {
    "no_header": "nearly all of its lines have an unknown header format",
    "untrusted": "nearly all lines of a program are rejected for their provenance",
    "stalled": "`journalctl --follow` does not deliver entries of the journal",
    "unanswered": "`journalctl` does not respond",
    "files_refused": "`journalctl` rejects files of the journal, or nothing is written to them",
    "unlinked": "the open file was deleted, or the path refers to another file",
}
"""Why a source can be deaf though it can be read."""


class Gap(msgspec.Struct):
    """A part of a log that could not be read: what was in it is not known.

    ``reason`` is one of GAP_REASONS.
    """

    reason: str
    path: str
    detail: str


class RecordBatch(msgspec.Struct):
    """Records, and the state of the source once they are committed.

    ``headless`` counts the lines without a known header, ``oversized`` those above the maximum
    length; ``raw`` of a few headless ones is kept in ``strange``.
    """

    records: list[LogRecord]
    state: bytes
    gaps: list[Gap]
    headless: int = 0
    oversized: int = 0
    read_bytes: int = 0
    strange: list[str] = []


class SourceHealth(msgspec.Struct):
    """What a source says of itself: bytes it is behind, and what is wrong, if anything is.

    ``catching_up``: more is there or may be, though ``read`` has nothing to hand over yet.
    ``deaf``: one of DEAF_REASONS → a sentence with the evidence and the remedy.
    ``unwatched``: why it is only looked at every few seconds, though the kernel should report
    changes.
    """

    behind_bytes: int
    problem: str | None = None
    catching_up: bool = False
    deaf: dict[str, str] = {}
    unwatched: str | None = None


class Source(Protocol):
    """One source of log lines.

    ``read`` never blocks: it hands over what is there now, None if that is nothing. It moves on
    in memory only; what it has handed over counts as read once the batch's state is committed,
    and a source that is made anew with that state goes on right behind it.
    """

    name: str

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        """Go on from a committed state; None at the very first start.

        ``since`` (ns) then says from when on lines are wanted, also of files rotated after it.
        """
        ...

    def start(self, wake: threading.Event) -> None:
        """From now on set ``wake`` when there is something to read."""
        ...

    def read(self) -> RecordBatch | None:
        """What is there now, bounded in size."""
        ...

    def health(self) -> SourceHealth:
        """How far behind, and what is wrong."""
        ...

    def close(self) -> None:
        """Give up files, processes and threads."""
        ...

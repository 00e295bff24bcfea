"""Sources of log lines. A source returns records together with the state to commit with them."""

import threading
from typing import Final, Protocol

import msgspec

from heptad.exporter.log_record import LogRecord

DROPPED: Final = "daemon_dropped"
"""The reason of a gap that the log itself reports: its daemon dropped messages."""
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
"""Why a source can be deaf although it can be read → a description."""


class Gap(msgspec.Struct):
    """A part of a log that could not be read, so its content is unknown.

    ``reason`` is one of GAP_REASONS.
    """

    reason: str
    path: str
    detail: str


class RecordBatch(msgspec.Struct):
    """Records, and the state of the source after them.

    ``headless`` counts lines without a known header, a few of which are in ``strange``;
    ``oversized`` counts lines above the maximum length.
    """

    records: list[LogRecord]
    state: bytes
    gaps: list[Gap]
    headless: int = 0
    oversized: int = 0
    read_bytes: int = 0
    strange: list[str] = []


class SourceHealth(msgspec.Struct):
    """The state of a source: unread bytes, and its problem, if any.

    ``catching_up``: more is or may be available, although ``read`` returns nothing yet. ``deaf``:
    one of DEAF_REASONS → a sentence with evidence and remedy. ``unwatched``: why the source is
    polled every few seconds instead of being notified of changes by the kernel.
    """

    behind_bytes: int
    problem: str | None = None
    catching_up: bool = False
    deaf: dict[str, str] = {}
    unwatched: str | None = None


class Source(Protocol):
    """A source of log lines.

    ``read`` never blocks: it returns what is available now, or None. It advances only in memory; a
    batch counts as read once its state is committed. A new source that is restored from this state
    continues right after the batch.
    """

    name: str

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        """Continue from a committed state; None at the first start.

        ``since`` (ns) is then the time from which on lines are wanted, including files that were
        rotated after it.
        """
        ...

    def start(self, wake: threading.Event) -> None:
        """Set ``wake`` from now on when there is something to read."""
        ...

    def read(self) -> RecordBatch | None:
        """Return what is available now, bounded in size, or None."""
        ...

    def health(self) -> SourceHealth:
        """Return how far behind the source is, and its problems."""
        ...

    def close(self) -> None:
        """Release files, processes and threads."""
        ...

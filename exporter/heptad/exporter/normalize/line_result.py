"""The possible results for a line, used in metrics and reports."""

from enum import StrEnum
from typing import Final


class LineResult(StrEnum):
    """The result for a line."""

    EVENT = "event"
    IGNORED = "ignored"
    NOT_UNDERSTOOD = "not_understood"
    UNTRUSTED = "untrusted"
    OTHER_PROGRAM = "other_program"
    NO_HEADER = "no_header"
    OVERSIZED = "oversized"
    REPEATED = "repeated"
    ALREADY_READ = "already_read"


RESULTS: Final[dict[LineResult, str]] = {
    LineResult.EVENT: "became an event",
    LineResult.IGNORED: "was understood and is ignored by its rule",
    LineResult.NOT_UNDERSTOOD: "no rule of its program understood it",
    LineResult.UNTRUSTED: "was rejected: the journal does not show that its program wrote it",
    LineResult.OTHER_PROGRAM: (
        "comes from a program without rules, from one that the source's `programs` leaves out, or "
        "from one with `complete: false` and no rule that matches"
    ),
    LineResult.NO_HEADER: "has no known syslog header",
    LineResult.OVERSIZED: "was longer than the maximum",
    LineResult.REPEATED: "repeats the line before, and counts only once",
    LineResult.ALREADY_READ: "was already read by the source that this one replaced",
}

# as constants, because looking up an attribute of an enum is slow, and is done for every line
IGNORED: Final = LineResult.IGNORED
NOT_UNDERSTOOD: Final = LineResult.NOT_UNDERSTOOD
UNTRUSTED: Final = LineResult.UNTRUSTED
OTHER_PROGRAM: Final = LineResult.OTHER_PROGRAM

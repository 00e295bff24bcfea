"""What can become of a line, in the words of metrics and reports."""

from enum import StrEnum
from typing import Final


class LineResult(StrEnum):
    """What became of a line."""

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
    LineResult.IGNORED: "was understood and tells nothing of its own",
    LineResult.NOT_UNDERSTOOD: "was written by a known program, and no rule understood it",
    LineResult.UNTRUSTED: "is in the journal under a program's name, and not known to be from it",
    LineResult.OTHER_PROGRAM: "was written by a program of which no rule speaks",
    LineResult.NO_HEADER: "has no header that a syslog daemon writes",
    LineResult.OVERSIZED: "was longer than the maximum",
    LineResult.REPEATED: "says that the line before came again, where that counts once",
    LineResult.ALREADY_READ: "was read before, by the source from which this one took over",
}

# an attribute of an enumeration costs as much as a look into a dictionary, for every line
IGNORED: Final = LineResult.IGNORED
NOT_UNDERSTOOD: Final = LineResult.NOT_UNDERSTOOD
UNTRUSTED: Final = LineResult.UNTRUSTED
OTHER_PROGRAM: Final = LineResult.OTHER_PROGRAM

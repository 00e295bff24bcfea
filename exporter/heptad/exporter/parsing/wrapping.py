"""Remove what a daemon or syslog adds around a message, before rules are applied.

Before it: Solaris' ``[ID 800047 auth.info]``, the kernel's ``[12345.678901]``, the process id and
timestamp that dropbear -E writes (that process handles the connection). Only a daemon can write
these: they must be at the very beginning, each once and in this order.

If no rule matches the rest, these are removed too: before it, blanks, facility and severity, and
the program's own tag once more; after it, blanks and escaped line ends (``#012``, ``\\n``, ``^M``).
Text within a message, such as a user name, is never removed.
"""

import re
from collections.abc import Container, Iterable, Iterator
from typing import Final

from heptad.exporter.parsing.severity import SEVERITY

_BEFORE: Final = re.compile(
    r"(?:\[ID \d{1,8} [a-z]{1,12}[0-7]?\.[a-z]{1,8}\] )?"
    r"(?:\[ *\d{1,10}\.\d{3,9}\](?:\[ *[TC]\d{1,10}\])? )?"
    r"(?P<own>\[(?P<pid>\d{1,9})\] [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?",
    re.ASCII,
)
FIRST: Final = "["
"""The first character of everything that may precede a message."""
_BLANKS: Final = (
    *(" ", "\t", "\r", "\n", "\v", "\f", "\0"),
    *("#000", "#011", "#012", "#015"),  # rsyslog
    *("\\n", "\\r", "\\t", "\\000", "\\011", "\\012", "\\015", "\\x00", "\\x09", "\\x0a", "\\x0d"),
    *("^@", "^I", "^J", "^M"),  # the BSDs and BusyBox
)
"""Blanks, and how syslog daemons escape those that are control characters."""
_LONGEST: Final = max(map(len, _BLANKS))
_MOST_BLANKS: Final = 1000
"""A limit, so that a line of only blanks takes no longer than others."""


def _match_blanks(blanks: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(map(re.escape, blanks))}){{0,{_MOST_BLANKS}}}")


_BLANKS_BEFORE: Final = _match_blanks(_BLANKS)
_BLANKS_BEHIND: Final = _match_blanks(blank[::-1] for blank in _BLANKS)
"""For the reversed message."""
_DECORATION: Final = re.compile(
    rf"(?:<\d{{1,3}}(?:\.\d)?>|[<\[]?{SEVERITY}(?:[>\]]:?|:) ?)?"
    r"(?:(?P<tag>[\w./-]{1,64})(?:\[(?P<pid>\d{1,9})\])?: )?",
    re.ASCII,
)


def cut_end(message: str) -> str:
    """Remove trailing blanks, because a user may choose the end of a command or name."""
    if not message.endswith(_BLANKS):
        return message
    found = _BLANKS_BEHIND.match(message[: -1 - _MOST_BLANKS * _LONGEST : -1])
    return message[: -found.end()] if found else message


def cut_begin(message: str, program: str) -> tuple[str, str | None]:
    """Remove what precedes the message; return the rest and the process id found there."""
    found = _BEFORE.match(message)
    if found is None or (found["own"] and program != "dropbear"):
        return message, None
    return message[found.end() :], found["pid"]


def shorten(message: str, app_names: Container[str]) -> Iterator[tuple[str, str | None]]:
    """Yield what an unmatched message may be without its decoration, the longest first.

    Each with the process id found there; ``app_names`` are the names of the program.
    """
    if (whole := cut_end(message)) != message:
        yield whole, None
    blanks = _BLANKS_BEFORE.match(message)
    begin = blanks.end() if blanks else 0
    found = _DECORATION.match(message, begin)
    pid = None
    if found is not None:
        own = found["tag"] is None or found["tag"] in app_names
        begin = found.end() if own else found.start("tag")
        pid = found["pid"] if own else None
    if begin:
        yield message[begin:], pid
        if whole != message:
            yield whole[begin:], pid

"""What a daemon or syslog puts around a message, removed for the rules.

Before it: Solaris' ``[ID 800047 auth.info]``, the kernel's ``[12345.678901]``, the process id and
stamp that dropbear -E writes itself (that process is the connection's). These stand where only a
daemon writes: at the very beginning, each once and in this order.

Only where no rule understands what is left: before it blanks, facility and severity, and the
program's own tag once more; behind it blanks and escapes of line ends (``#012``, ``\\n``, ``^M``).
Text inside a message, such as a user's name, is never removed.
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
"""The first character of all that may stand before a message."""
_BLANKS: Final = (
    *(" ", "\t", "\r", "\n", "\v", "\f", "\0"),
    *("#000", "#011", "#012", "#015"),  # rsyslog
    *("\\n", "\\r", "\\t", "\\000", "\\011", "\\012", "\\015", "\\x00", "\\x09", "\\x0a", "\\x0d"),
    *("^@", "^I", "^J", "^M"),  # the BSDs and BusyBox
)
"""Blanks, and how syslog daemons write those that are control characters."""
_LONGEST: Final = max(map(len, _BLANKS))
_MOST_BLANKS: Final = 1000
"""A line that is nothing but blanks costs no more than another one."""


def _match_blanks(blanks: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(map(re.escape, blanks))}){{0,{_MOST_BLANKS}}}")


_BLANKS_BEFORE: Final = _match_blanks(_BLANKS)
_BLANKS_BEHIND: Final = _match_blanks(blank[::-1] for blank in _BLANKS)
"""Of the message written backwards."""
_DECORATION: Final = re.compile(
    rf"(?:<\d{{1,3}}(?:\.\d)?>|[<\[]?{SEVERITY}(?:[>\]]:?|:) ?)?"
    r"(?:(?P<tag>[\w./-]{1,64})(?:\[(?P<pid>\d{1,9})\])?: )?",
    re.ASCII,
)


def cut_end(message: str) -> str:
    """The message without blanks behind it: the end of a command or of a name is its user's."""
    if not message.endswith(_BLANKS):
        return message
    found = _BLANKS_BEHIND.match(message[: -1 - _MOST_BLANKS * _LONGEST : -1])
    return message[: -found.end()] if found else message


def cut_begin(message: str, program: str) -> tuple[str, str | None]:
    """The message without what stands before it, and the process id that was told there."""
    found = _BEFORE.match(message)
    if found is None or (found["own"] and program != "dropbear"):
        return message, None
    return message[found.end() :], found["pid"]


def shorten(message: str, app_names: Container[str]) -> Iterator[tuple[str, str | None]]:
    """What a message that nothing understands may be without what is around it, the longest first.

    Each with the process id that was told there; ``tags`` are the names of the program.
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

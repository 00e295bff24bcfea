"""What a daemon or syslog puts around a message, removed for the rules.

Before it: Solaris' ``[ID 800047 auth.info]``, the kernel's ``[12345.678901]``, the process id and
stamp that dropbear -E writes itself (that process is the connection's). Behind it: blanks, and a
syslog daemon's escapes of line ends (``#012``, ``#015``).

These stand where only a daemon writes: at the very beginning, each once and in this order, and at
the very end. Text inside a message, such as a user's name, is never removed.
"""

import re
from typing import Final

_BEFORE: Final = re.compile(
    r"(?:\[ID \d{1,8} [a-z]{1,12}[0-7]?\.[a-z]{1,8}\] )?"
    r"(?:\[ *\d{1,10}\.\d{3,9}\](?:\[ *[TC]\d{1,10}\])? )?"
    r"(?P<own>\[(?P<pid>\d{1,9})\] [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?",
    re.ASCII,
)
FIRST: Final = "["
"""The first character of all that may stand before a message."""
BLANKS: Final = frozenset(" \t\r\n\v\f\0")
"""What may stand behind a message, beside a syslog daemon's escapes of them."""
_ESCAPES: Final = frozenset(("#000", "#011", "#012", "#015"))
ESCAPE: Final = "#0"


def cut_end(message: str) -> str:
    """The message without what stands behind it.

    Only for one that no rule understands as it is: the end of a command or of a name is its user's.
    """
    end = len(message)
    while end:
        if message[end - 1] in BLANKS:
            end -= 1
        elif message[end - 4 : end] in _ESCAPES:
            end -= 4
        else:
            break
    return message[:end]


def cut_begin(message: str, program: str) -> tuple[str, str | None]:
    """The message without what stands before it, and the process id that was told there."""
    found = _BEFORE.match(message)
    if found is None or (found["own"] and program != "dropbear"):
        return message, None
    return message[found.end() :], found["pid"]

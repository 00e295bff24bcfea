"""What a daemon or syslog puts around a message, removed before a rule sees it.

Before it: Solaris' ``[ID 800047 auth.info]``, the kernel's ``[12345.678901]``, the process id and
stamp that dropbear -E writes itself (that process is the connection's), sshd's ``debug1:``, and
the ``(pam_unix)`` of Linux-PAM as Debian built it until 2008. Behind it: blanks, and a syslog
daemon's escapes of line ends (``#012``, ``#015``).

These stand where only a daemon writes: at the very beginning, each once and in this order, and at
the very end. Text inside a message, such as a user's name, is never removed.
"""

import re
from typing import Final

_BEFORE: Final = re.compile(
    r"(?:\[ID \d{1,8} [a-z]{1,12}[0-7]?\.[a-z]{1,8}\] )?"
    r"(?:\[ *\d{1,10}\.\d{3,9}\](?:\[ *[TC]\d{1,10}\])? )?"
    r"(?P<own>\[(?P<pid>\d{1,9})\] [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?"
    r"(?:debug[1-3]: )?"
    r"(?:\((?P<module>pam_\w{1,32})\) )?",
    re.ASCII,
)
FIRST: Final = frozenset("[(d")
"""The first characters of what may stand before a message."""
_LEADS: Final = (": [", ": (", ": debug")
_BLANKS: Final = frozenset(" \t\r\n\v\f\0")
_ESCAPES: Final = frozenset(("#000", "#011", "#012", "#015"))
_COMMAND: Final = " COMMAND="
_TRAILS: Final = (" \n", "\t\n", "#01", "#000")


def has_leads(text: str) -> bool:
    """Whether there may be something before any message of a text: quick, for every read."""
    return any(lead in text for lead in _LEADS)


def has_trails(text: str) -> bool:
    """Whether there may be something behind any message of a text: quick, for every read."""
    return text[-1:] in _BLANKS or any(trail in text for trail in _TRAILS)


def unwrap(message: str, tag: str) -> tuple[str, str | None]:
    """The message of ``tag`` alone, and the process id that was told before it."""
    message = cut_trails(message)
    if message[:1] not in FIRST:
        return message, None
    return cut_leads(message, tag)


def cut_trails(message: str) -> str:
    """The message without what stands behind it.

    A command is left as it is: its end is its user's.
    """
    if _COMMAND in message:
        return message
    end = len(message)
    while end:
        if message[end - 1] in _BLANKS:
            end -= 1
        elif message[end - 4 : end] in _ESCAPES:
            end -= 4
        else:
            break
    return message[:end]


def cut_leads(message: str, tag: str) -> tuple[str, str | None]:
    """The message without what stands before it, and the process id that was told there."""
    found = _BEFORE.match(message)
    if found is None or (found["own"] and tag != "dropbear"):
        return message, None
    rest = message[found.end() :]
    if found["module"]:
        rest = f"{found['module']}({tag}): {rest}"
    return rest, found["pid"]

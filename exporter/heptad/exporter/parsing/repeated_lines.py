"""Folded lines, with which syslog says that the previous line was repeated.

``last message repeated N times`` (syslogd of the BSDs and of Solaris, sysklogd, rsyslog up to 6),
with and without a tag, or between dashes (macOS); ``Last output repeated N times`` (metalog); and
syslog-ng's ``Last message '…' repeated N times, suppressed by syslog-ng on HOST``. rsyslog from 7
on includes the message: ``message repeated N times: [ … ]``.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from heptad.exporter.log_record import LogRecord, RepeatCount
from heptad.exporter.parsing.wrapping import cut_begin

MOST_REPEATS: Final = 10**6
"""Maximum number of repeats of a line; the normalizer decides how many of them count."""
REPEAT: Final = "repeat"
"""A text in every folded line."""
FOLDER: Final = "syslogd"
"""The tag that is assumed for a folded line without one."""
_FOLDERS: Final = frozenset((FOLDER, "syslog-ng", "rsyslogd", "syslog", "metalog"))
_NAMED: Final = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL | re.ASCII)
_PHRASE: Final = re.compile(
    r"(?:-{1,3} ?)?(?:last|above) (?:message|output) (?:'(?P<quoted>.{1,80}?)' )?repeat(?:ed|s)"
    r"(?: (?:(?P<count>\d{1,9}) (?:more )?times?|twice|once))?"
    r"(?:, suppressed by syslog-ng on \S{1,255})?\.?(?: ?-{1,3})?\s*",
    re.IGNORECASE,
)


def refers(line: str) -> bool:
    """Return whether a line refers to the previous one."""
    line = line.rstrip()
    return REPEAT in line and ("message repeated " in line or split_phrase(line) is not None)


def add_before(texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each text of whole lines, with the previous line if its first line refers to it."""
    before = ""
    for text in texts:
        yield text, before if refers(text[: text.find("\n") + 1 or None]) else ""
        rest, _, line = text.rpartition("\n")
        while rest and refers(line):
            rest, _, line = rest.rpartition("\n")
        before = before if refers(line) else line


def split_phrase(line: str) -> tuple[str, str] | None:
    """Split a folded line into what precedes the phrase and the phrase; None if there is none."""
    for found in re.finditer(r"(?i)(?:-{1,3} ?)?\b(?:last|above) (?:message|output) ", line):
        if _PHRASE.fullmatch(line, found.start()):
            return line[: found.start()], line[found.start() :]
    return None


def unwrap_repeated(message: str) -> tuple[int, str]:
    """Unwrap rsyslog's ``message repeated N times: [ … ]`` to (N, message); else (1, message)."""
    found = _NAMED.fullmatch(message)
    if found is None or int(found[1]) == 0:
        return 1, message
    return RepeatCount(min(int(found[1]), MOST_REPEATS)), found[2]


def count_repeats(fold: LogRecord, last: LogRecord) -> int:
    """Return how often ``last`` was repeated according to a folded line; 0 if not applicable.

    The host must be the same, if the line has one, and the tag must be that of the previous line or
    of a syslog daemon.
    """
    app_name, pid = fold.app_name, fold.pid
    found = _PHRASE.fullmatch(cut_begin(fold.message, app_name)[0])
    if found is None or (fold.host and fold.host != last.host):
        return 0
    if app_name not in _FOLDERS and (
        app_name != last.app_name or (pid and last.pid and pid != last.pid)
    ):
        quoted = found["quoted"]
        if app_name != last.app_name or quoted is None:
            return 0
    if found["quoted"] is not None and not last.message.startswith(found["quoted"]):
        return 0
    return min(int(found["count"] or 1), MOST_REPEATS)

"""Escape text from logs for output on a terminal, so that an attacker's text has no effect.

Terminals interpret control characters and escape sequences (ECMA-48), and bidirectional marks
reorder the text around them (Unicode Standard Annex 9). Such characters are shown as Python's
escapes: ``\\x1b``, ``\\u202e``.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Final

_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
).union(map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0)))
"""Printable but invisible: fillers, the empty Braille pattern, joiners and selectors."""
_MARKS: Final = frozenset({"Mn", "Me"})
_CUT: Final = "…"


def printable(text: str, width: int | None = None) -> str:
    """Escape every character of ``text`` that could affect a terminal.

    These are control, format, private and unassigned characters, lone surrogates, blanks other than
    the space, and combining marks that do not follow a letter. ``width`` is the maximum number of
    columns; longer text ends in ``…``.
    """
    if not (text.isascii() and text.isprintable()):
        text = _escape(text if width is None else text[: width + 1])
    if width is None or (text.isascii() and len(text) <= width):
        return text
    return _cut(text, width)


def printable_lines(text: str) -> str:
    """Apply ``printable`` to each line of ``text``."""
    return "\n".join(map(printable, text.split("\n")))


def escape_json(text: str) -> str:
    """Escape what ``printable`` would escape, with JSON's own escapes: the value stays the same."""
    if text.isascii() and "\x7f" not in text:
        return text  # JSON escapes control characters already
    return "\n".join(_escape(line, _write_json) for line in text.split("\n"))


def show_path(path: str | Path) -> str:
    """Return the path as text that can be stored and sent: invalid UTF-8 is shown as ``\\xff``.

    A file name on Linux is any bytes but ``/`` and NUL; Python represents invalid ones as lone
    surrogates.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def columns(text: str) -> int:
    """Return the number of terminal columns of printable text (Unicode Standard Annex 11)."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _write_python(character: str) -> str:
    return ascii(character)[1:-1]


def _write_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def _escape(text: str, write: Callable[[str], str] = _write_python) -> str:
    shown = []
    marked = True
    for character in text:
        mark = not character.isascii() and unicodedata.category(character) in _MARKS
        hidden = not character.isprintable() or character in _INVISIBLE or (mark and marked)
        shown.append(write(character) if hidden else character)
        marked = mark and not hidden
    return "".join(shown)


def _cut(text: str, width: int) -> str:
    if columns(text) <= width:
        return text
    taken, room = "", width - 1
    for character in text:
        room -= _columns_of(character)
        if room < 0:
            break
        taken += character
    return taken + _CUT if width > 0 else ""


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1

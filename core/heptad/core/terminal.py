"""Text from a log, made safe to show on a terminal: what an attacker wrote must not act.

A terminal obeys control characters and escape sequences (ECMA-48), and bidirectional marks
reorder what stands around them (Unicode Standard Annex 9). Each such character is shown as its
escape instead, as Python writes it: ``\\x1b``, ``\\u202e``.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Final

_INVISIBLE: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
).union(map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0)))
"""Seen by nobody though printable: fillers, the empty Braille pattern, joiners and selectors."""
_MARKS: Final = frozenset({"Mn", "Me"})
_CUT: Final = "…"


def printable(text: str, width: int | None = None) -> str:
    """``text`` with every character that would act on a terminal as a visible escape.

    Control, format, private and unassigned characters, lone surrogates, blanks other than the
    plain one, and marks that do not follow a letter are escaped. ``width`` is the most columns
    that the answer takes; what is longer ends in ``…``.
    """
    if not (text.isascii() and text.isprintable()):
        text = _escape(text if width is None else text[: width + 1])
    if width is None or (text.isascii() and len(text) <= width):
        return text
    return _cut(text, width)


def printable_lines(text: str) -> str:
    """Each line of ``text`` as ``printable`` gives it."""
    return "\n".join(map(printable, text.split("\n")))


def escape_json(text: str) -> str:
    """JSON with what ``printable`` would escape as JSON's own escapes: the same to a program."""
    if text.isascii() and "\x7f" not in text:
        return text  # controls are escapes in it already
    return "\n".join(_escape(line, _write_json) for line in text.split("\n"))


def show_path(path: str | Path) -> str:
    """The path as text that can be stored and sent: bytes that are not UTF-8 are ``\\xff``.

    A name on Linux is any bytes but ``/`` and NUL; Python holds the others as lone surrogates.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def columns(text: str) -> int:
    """How many columns of a terminal printable text takes (Unicode Standard Annex 11)."""
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

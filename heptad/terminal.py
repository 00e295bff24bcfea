"""Text from a log, made safe to show on a terminal: what an attacker wrote must not act.

A terminal obeys control characters and escape sequences (ECMA-48), and bidirectional marks
reorder what stands around them (Unicode Standard Annex 9). Each such character is shown as its
escape instead, as Python writes it: ``\\x1b``, ``\\u202e``.
"""

import unicodedata
from typing import Final

_INVISIBLE: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Blank though not called a blank: fillers and the empty Braille pattern."""
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


def columns(text: str) -> int:
    """How many columns of a terminal printable text takes (Unicode Standard Annex 11)."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _escape(text: str) -> str:
    shown = []
    marked = True
    for character in text:
        mark = not character.isascii() and unicodedata.category(character) in _MARKS
        hidden = not character.isprintable() or character in _INVISIBLE or (mark and marked)
        shown.append(ascii(character)[1:-1] if hidden else character)
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

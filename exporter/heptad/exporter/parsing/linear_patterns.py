"""Patterns of users, which RE2 matches in time linear in the length of the text.

Shipped rules are matched by ``re``, and tests prove that each is linear. Patterns of users are not
tested: RE2 (google-re2) does not backtrack, and rejects what requires it (look-around,
backreferences). What remains to limit is the number of positions in a pattern that may be active at
once: see ``check_linear``.
"""

import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Mapping
from re import Match
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from heptad.exporter.parsing.patterns import expand_macros

_MEMORY: Final = 2**18
"""Bytes for RE2's program and its states: some thousand instructions."""
_MOST_COPIES: Final = 40
"""Maximum number of copies by counted repetitions after an unbounded one: 64 kB then take about 40
ms."""
_UNBOUNDED: Final = parser.MAXREPEAT
_HINTS: Final = (
    (
        re.compile(r"\(\?<?[=!]"),
        (
            "`{}` (look-around) is only supported in built-in rules; write what may be there, as "
            "in `[^ ]+`, or put a rule for the other case before this one"
        ),
    ),
    (
        re.compile(r"\(\?>|(?<=[*+?}])\+"),
        "`{}` is only supported in built-in rules; remove it: your patterns do not backtrack",
    ),
    (
        re.compile(r"\(\?P=\w+\)|\(\?\(|(?<!\\)(?:\\\\)*\\[1-9]"),
        "`{}` (what another group captured) is not supported; write the text itself",
    ),
)


class LinearPattern:
    """A compiled pattern with the part of the interface of ``re.Pattern`` that rules need."""

    def __init__(self, expanded: str) -> None:
        """Raises re2.error if RE2 rejects the pattern."""
        options = re2.Options()
        options.log_errors = False
        options.dot_nl = True
        options.max_mem = _MEMORY
        self._pattern: Any = re2.compile(expanded, options=options)
        self.groupindex: Mapping[str, int] = dict(self._pattern.groupindex)

    def fullmatch(self, text: str) -> Match[str] | None:
        """Match all of ``text``; return None if it is not valid UTF-8."""
        try:
            found: Match[str] | None = self._pattern.fullmatch(text)
        except UnicodeEncodeError:
            return None
        return found


def check_linear(pattern: str) -> str:
    """Return why a pattern cannot be matched in linear time, and what to write; empty if it can.

    ``re`` must have compiled the pattern. RE2 tracks all positions of a pattern that the text may
    have reached. If the preceding text may have any length, these are as many as the copies of
    counted repetitions.
    """
    expanded = expand_macros(pattern)
    for sign, hint in _HINTS:
        if found := sign.search(expanded):
            return hint.format(found[0])
    own = parser.parse(expand_macros(pattern, lambda name: "x"), re.ASCII | re.DOTALL)
    copies = _count_copies(own, behind=False)[0]
    if copies > _MOST_COPIES:
        return (
            f"has counted repetitions with {copies} copies after `*` or `+`, more than "
            f"{_MOST_COPIES}; write `+` instead of a repetition such as `{{1,256}}`"
        )
    try:
        LinearPattern(expanded)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        return f"RE2 rejects the pattern: {text}"
    return ""


def _count_copies(items: Any, *, behind: bool) -> tuple[int, int, bool]:
    """Return the copies by counted repetitions, all positions, and whether any is unbounded.

    ``behind``: whether something unbounded precedes.
    """
    copies = places = 0
    unbounded = False
    for operation, value in items:
        parts, low, high = _open(operation, value)
        loops = high is _UNBOUNDED
        inner = [_count_copies(part, behind=behind or unbounded or loops) for part in parts]
        size = sum(part[1] for part in inner) or 1
        endless = loops or any(part[2] for part in inner)
        times = max(int(low) if loops else int(high), 1)
        copies += sum(part[0] for part in inner)
        if times > 1 and (behind or unbounded or endless):
            copies += times * size
        places += times * size
        unbounded |= endless
    return copies, places, unbounded


def _open(operation: Any, value: Any) -> tuple[list[Any], Any, Any]:
    """Return the patterns within an item, and its minimum and maximum number of repetitions."""
    if operation in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return [value[2]], value[0], value[1]
    if operation is sre.SUBPATTERN:
        return [value[3]], 1, 1
    if operation is sre.BRANCH:
        return list(value[1]), 1, 1
    if operation is sre.ATOMIC_GROUP:
        return [value], 1, 1
    return [], 1, 1

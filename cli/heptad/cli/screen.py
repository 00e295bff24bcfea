"""Escape everything that commands print, so that no text can affect a terminal.

Names of files, rules and hosts, texts of servers and lines of logs may contain control characters.
Whatever a command prints, these are shown as escapes.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from heptad.core.telemetry.masking import mask_whole
from heptad.core.terminal import printable

COLOURS: Final = {
    "success": "\x1b[32m",
    "failure": "\x1b[31m",
    "high": "\x1b[1;31m",
    "medium": "\x1b[33m",
    "low": "\x1b[36m",
}
"""Colors of outcomes and severities."""
PLAIN: Final = "\x1b[0m"
_OWN: Final = re.compile("([\n\t]|" + "|".join(map(re.escape, (*COLOURS.values(), PLAIN))) + ")")
_LAYOUT: Final = re.compile("([\n\t])")


class Screen:
    """Writes to ``stream``; escapes control characters and masks secrets."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._kept = _OWN if stream.isatty() else _LAYOUT

    def write(self, text: str) -> int:
        """Write the text with all control characters escaped, except Heptad's own colors."""
        text = mask_whole(text)
        if not (text.isascii() and text.isprintable()):
            parts = self._kept.split(text)
            parts[::2] = map(printable, parts[::2])
            text = "".join(parts)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def screened() -> Iterator[None]:
    """Replace standard output and standard error by a Screen."""
    before = sys.stdout, sys.stderr
    sys.stdout = Screen(before[0])
    sys.stderr = Screen(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unscreened(stream: TextIO) -> TextIO:
    """Return the stream itself, for output that moves the cursor on purpose."""
    return stream.stream if isinstance(stream, Screen) else stream

"""What all commands write to: standard output and error, on which nothing acts.

Names of files, of rules, of hosts, what a server said, what a log holds: each may hold characters
that a terminal obeys. Whatever a command prints, they come out as escapes.
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
"""Of outcomes and severities."""
PLAIN: Final = "\x1b[0m"
_OWN: Final = re.compile("([\n\t]|" + "|".join(map(re.escape, (*COLOURS.values(), PLAIN))) + ")")
_LAYOUT: Final = re.compile("([\n\t])")


class Screen:
    """``stream``, with escapes for what would act and without secrets."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._kept = _OWN if stream.isatty() else _LAYOUT

    def write(self, text: str) -> int:
        """See io.TextIOBase.write."""
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
    """Standard output and standard error are a Screen each."""
    before = sys.stdout, sys.stderr
    sys.stdout = Screen(before[0])
    sys.stderr = Screen(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def unscreened(stream: TextIO) -> TextIO:
    """The stream itself, for what moves the cursor on purpose."""
    return stream.stream if isinstance(stream, Screen) else stream

"""Find where reading can continue after corruption at which journalctl always stops."""

import re
import threading
from collections.abc import Callable
from typing import Final

from heptad.exporter.sources.journald.journalctl import Journalctl

_NUMBERED: Final = re.compile(r"(s=[0-9a-f]+;i=)([0-9a-f]{1,15})(;.*)")
_PATIENCE: Final = 5.0
_FARTHEST: Final = 2**24


def find_way_on(command: Callable[[str], list[str]], cursor: str) -> str | None:
    """Return the cursor of the first entry after ``cursor`` where journalctl does not fail.

    ``command`` returns the command that reads from a cursor on. Returns None if there is none.
    Raises OSError.
    """
    found = _NUMBERED.fullmatch(cursor)
    if found is None:
        return None

    def place(step: int) -> str:
        return f"{found[1]}{int(found[2], 16) + step:x}{found[3]}"

    good = 1
    while not _can_be_read(command(place(good))):
        good *= 2
        if good > _FARTHEST:
            return None
    bad = good // 2
    while good - bad > 1:
        middle = (good + bad) // 2
        if _can_be_read(command(place(middle))):
            good = middle
        else:
            bad = middle
    return place(good)


def _can_be_read(command: list[str]) -> bool:
    asked = Journalctl(command, threading.Event())
    try:
        return bool(asked.take(wait=_PATIENCE)) or (asked.ended() and not asked.failed())
    finally:
        asked.close()


class Damage:
    """Remembers where journalctl stopped because of corruption, and how often."""

    def __init__(self) -> None:
        self._cursor: str | None = None
        self._ends = 0

    def meet(self, cursor: str | None) -> None:
        """Record that journalctl stopped and had read nothing after ``cursor``."""
        self._ends = self._ends + 1 if cursor == self._cursor else 1
        self._cursor = cursor

    def is_lasting(self, cursor: str) -> bool:
        """Return whether journalctl stops every time it is started from ``cursor``."""
        return self._ends > 1 and cursor == self._cursor

"""Detect that a source is deaf, by the share of its recent lines that can be used.

A source is deaf if nearly all its lines have an unknown header, and deaf to a program if nearly all
lines of that program are rejected for their provenance.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

WINDOW: Final = 300.0
"""Seconds of lines that are evaluated; older ones, up to a day, only until there are ENOUGH."""
ENOUGH: Final = 20
SHARE: Final = 0.9
_OLDEST: Final = 86_400.0
_STEP: Final = 10.0
_HEADERS: Final = ""


class _Window:
    """Recent lines of one kind, in steps of (start, lines, unusable lines)."""

    def __init__(self) -> None:
        self._steps: deque[list[float]] = deque()
        self.lines = self.lost = 0.0
        self.deaf = False
        self._heard = float("-inf")

    def add(self, now: float, lines: float, lost: float) -> None:
        if not self._steps or now - self._steps[-1][0] >= _STEP:
            self._steps.append([now, 0, 0])
        self._steps[-1][1] += lines
        self._steps[-1][2] += lost
        self.lines += lines
        self.lost += lost
        self._heard = now

    def judge(self, now: float) -> bool:
        """Return whether it is deaf; with few lines, the result stays the same for a day."""
        while self._steps:
            since, lines, lost = self._steps[0]
            spare = now - since > WINDOW and self.lines - lines >= ENOUGH
            if not spare and now - since <= _OLDEST:
                break
            self._steps.popleft()
            self.lines -= lines
            self.lost -= lost
        if self.lost < SHARE * self.lines or now - self._heard > _OLDEST:
            self.deaf = False
        elif self.lines >= ENOUGH:
            self.deaf = True
        return self.deaf

    def assume(self, now: float) -> None:
        """Adopt the result of an earlier run until lines show otherwise."""
        self.deaf, self._heard = True, now


class Hearing:
    """Evaluates the lines of one source; ``now`` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or time.monotonic
        self._windows: dict[str, _Window] = {}

    @property
    def doubts(self) -> bool:
        """Whether a program's lines were recently rejected, so all its lines must be counted."""
        return any(window.lost for name, window in self._windows.items() if name)

    def restore(self, programs: Iterable[str], *, headless: bool) -> None:
        """Restore the result of an earlier run: see ``headless`` and ``untrusted``."""
        for name in [_HEADERS] * headless + list(programs):
            self._window(name).assume(self._now())

    def hear(self, lines: int, headless: int) -> None:
        """Add a batch of ``lines``, of which ``headless`` have no known header."""
        if lines:
            self._window(_HEADERS).add(self._now(), lines, headless)

    def hear_programs(self, used: Mapping[str, int], untrusted: Mapping[str, int]) -> None:
        """Add the lines of a batch by program: those ``used`` and those ``untrusted``."""
        now = self._now()
        for program in used.keys() | untrusted.keys():
            lost = untrusted.get(program, 0)
            self._window(program).add(now, used.get(program, 0) + lost, lost)

    def _window(self, name: str) -> _Window:
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = _Window()
        return window

    def headless(self) -> bool:
        """Return whether nearly all lines have an unknown header."""
        window = self._windows.get(_HEADERS)
        return window is not None and window.judge(self._now())

    def untrusted(self) -> list[str]:
        """Return the programs of which nearly all lines are rejected for their provenance."""
        now = self._now()
        return sorted(name for name, window in self._windows.items() if name and window.judge(now))

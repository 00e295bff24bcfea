"""Decides when journalctl is restarted, and how its failures are reported."""

from collections import deque
from typing import Final

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_MANY: Final = 3
_WITHIN: Final = 600.0


class Restarts:
    """Tracks when journalctl ends; ``now`` is a monotonic time in seconds.

    If it ends repeatedly, that is a problem even while the next one runs.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        """Why it cannot run, or ended; None once it delivers again."""
        self._pause = _FIRST_PAUSE
        self._due = 0.0
        self._ends: deque[float] = deque(maxlen=_MANY)
        self._reason = ""

    def begin(self, now: float) -> bool:
        """Return whether it may be started now."""
        if now < self._due:
            return False
        self._due = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return True

    def end(self, now: float, reason: str) -> None:
        """Record that it ended unexpectedly."""
        self._ends.append(now)
        self.problem = self._reason = reason

    def deliver(self, now: float) -> None:
        """Record that it delivers."""
        self.problem = None
        if not self._is_many(now):
            self._pause = _FIRST_PAUSE

    def stay(self, now: float) -> None:
        """Record that it runs without anything to deliver."""
        if now >= self._due:
            self.deliver(now)

    def describe(self, now: float) -> str | None:
        """Return the problem, if any."""
        if self.problem is None and self._is_many(now):
            return f"{self._reason}, {_MANY} times within 10 minutes"
        return self.problem

    def _is_many(self, now: float) -> bool:
        return len(self._ends) == _MANY and now - self._ends[0] < _WITHIN

"""When journalctl is started again after its end, and how its ends are reported."""

from collections import deque
from typing import Final

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_MANY: Final = 3
_WITHIN: Final = 600.0


class Restarts:
    """The ends of one journalctl after the other; ``now`` is monotonic, in seconds.

    One that ends again and again is a problem also while the next one runs.
    """

    def __init__(self) -> None:
        self.problem: str | None = None
        """Why it cannot run, or ended; None once it delivers again."""
        self._pause = _FIRST_PAUSE
        self._due = 0.0
        self._ends: deque[float] = deque(maxlen=_MANY)
        self._reason = ""

    def begin(self, now: float) -> bool:
        """Whether it may be started now, not only later."""
        if now < self._due:
            return False
        self._due = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return True

    def end(self, now: float, reason: str) -> None:
        """It ended, though it should not."""
        self._ends.append(now)
        self.problem = self._reason = reason

    def deliver(self, now: float) -> None:
        """It delivers."""
        self.problem = None
        if not self._is_many(now):
            self._pause = _FIRST_PAUSE

    def stay(self, now: float) -> None:
        """It runs, and has nothing to deliver."""
        if now >= self._due:
            self.deliver(now)

    def describe(self, now: float) -> str | None:
        """What is wrong."""
        if self.problem is None and self._is_many(now):
            return f"{self._reason}, {_MANY} times within 10 minutes"
        return self.problem

    def _is_many(self, now: float) -> bool:
        return len(self._ends) == _MANY and now - self._ends[0] < _WITHIN

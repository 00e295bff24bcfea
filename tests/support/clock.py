"""A clock that a test moves."""


class Clock:
    """Monotonic seconds; each reading first moves them by ``step``."""

    def __init__(self, now: float = 1000.0, step: float = 0.0) -> None:
        self.now = now
        self.step = step

    def monotonic(self) -> float:
        """Return the seconds, as `time.monotonic` does."""
        self.now += self.step
        return self.now

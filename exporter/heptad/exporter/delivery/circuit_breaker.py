"""When to retry a failed delivery.

Exponential back-off with jitter after the first failures; then the circuit breaker opens, nothing
is sent for a while, and a single trial decides whether it closes again. Pauses use the monotonic
clock, so that setting the clock does not delay anything.
"""

import random
from collections.abc import Callable
from typing import Final

from heptad.core.sink import DeliveryOutcome, Retry
from heptad.exporter.metrics import ExporterMetrics

STATES: Final = ("closed", "open", "half-open")
_FAILURES: Final = 5
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_OPEN_FOR: Final = 30.0
_MOST_ASKED: Final = 3600.0


class CircuitBreaker:
    """Counts consecutive failures; ``jitter`` returns a number from 0 to 1."""

    def __init__(
        self, metrics: ExporterMetrics, jitter: Callable[[], float] = random.random
    ) -> None:
        self._metrics = metrics
        self._jitter = jitter
        self._failures = 0
        self._set_state("closed")

    @property
    def is_open(self) -> bool:
        """Whether only a trial may be sent, after the pause."""
        return self._state == "open"

    def call(self, deliver: Callable[[], DeliveryOutcome]) -> DeliveryOutcome:
        """Run ``deliver`` and record its outcome; Retry counts as a failure.

        If the breaker is open, call it only after the pause.
        """
        if self.is_open:
            self._set_state("half-open")
            self._metrics.raise_by("heptad_delivery_breaker_trials_total", 1)
        outcome = deliver()
        if not isinstance(outcome, Retry):
            self._failures = 0
            self._set_state("closed")
            return outcome
        self._failures += 1
        if self._failures >= _FAILURES:
            self._set_state("open")
            self._metrics.raise_by("heptad_delivery_breaker_openings_total", 1)
        return outcome

    def pause(self, asked: float = 0.0) -> float:
        """Return the seconds to wait after a failure, at least those that the server ``asked``."""
        pause = _OPEN_FOR
        if not self.is_open:
            pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20), _LONGEST_PAUSE)
        return max(pause * (0.5 + self._jitter() / 2), min(asked, _MOST_ASKED))

    def _set_state(self, state: str) -> None:
        self._state = state
        for known in STATES:
            self._metrics.set("heptad_delivery_breaker_state", int(known == state), known)

"""When to try again where the other end of a delivery is not well.

Exponential back-off with jitter while a few tries fail; then the circuit breaker opens, nothing is
sent for a while, and a single trial decides whether it closes again. Pauses are taken on the
monotonic clock: a clock that is set must not hold anything up.
"""

import random
from collections.abc import Callable
from typing import Final, TypeVar

import pybreaker

from heptad.exporter.metrics import ExporterMetrics

STATES: Final = ("closed", "open", "half-open")
_FAILURES: Final = 5
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_OPEN_FOR: Final = 30.0
_MOST_ASKED: Final = 3600.0
_FOR_EVER: Final = 10.0**9
"""Seconds: ``half_open`` is called here, not by the wall clock of the library's."""

_T = TypeVar("_T")


class DeliveryFailed(Exception):
    """What was tried failed; ``after`` are the seconds that the other end asked for."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, metrics: ExporterMetrics) -> None:
        self._metrics = metrics
        self.report("closed")

    def report(self, state: str) -> None:
        for known in STATES:
            self._metrics.set("heptad_delivery_breaker_state", 1 if known == state else 0, known)

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self.report(new_state.name)
        if new_state.name == "open":
            self._metrics.raise_by("heptad_delivery_breaker_openings_total", 1)
        elif new_state.name == "half-open":
            self._metrics.raise_by("heptad_delivery_breaker_trials_total", 1)


class CircuitBreaker:
    """Says after each try how long to rest; ``jitter`` gives a number from 0 to 1."""

    def __init__(
        self, metrics: ExporterMetrics, jitter: Callable[[], float] = random.random
    ) -> None:
        self._jitter = jitter
        self._failures = 0
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=_FAILURES,
            reset_timeout=_FOR_EVER,
            listeners=[_Listener(metrics)],
            throw_new_error_on_trip=False,
        )

    @property
    def is_open(self) -> bool:
        """Whether nothing is to be sent but a trial, after the pause."""
        return self._breaker.current_state == "open"

    def call(self, work: Callable[[], _T]) -> _T:
        """What ``work`` gives, or the Failed that it raises; after a pause, where it is open."""
        if self.is_open:
            self._breaker.half_open()
        try:
            result = self._breaker.call(work)
        except DeliveryFailed:
            self._failures += 1
            raise
        self._failures = 0
        return result

    def pause(self, asked: float = 0.0) -> float:
        """Seconds to rest after a failure, at least those the other end ``asked`` for."""
        pause = _OPEN_FOR
        if not self.is_open:
            pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20), _LONGEST_PAUSE)
        return max(pause * (0.5 + self._jitter() / 2), min(asked, _MOST_ASKED))

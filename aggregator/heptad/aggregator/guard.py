"""Runs rules and reports so that one that raises is reported and does not affect the others."""

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.stopping import Stopped
from heptad.core.store.api import StoreError
from heptad.core.telemetry.log import Condition

log = logging.getLogger("heptad.aggregator")

_T = TypeVar("_T")


class FailureGuard:
    """Runs the work of named parts; ``conditions`` holds the problem of each failing part."""

    def __init__(self, metrics: AggregatorMetrics, conditions: dict[str, Condition]) -> None:
        self._metrics = metrics
        self._conditions = conditions

    def run(self, part: str, work: Callable[[], _T], spent: float = 0.0) -> _T | None:
        """Run and time ``work``; return its result, or None if it raised, which is logged once.

        ``spent``: seconds that the part took before. Store errors and Stopped are re-raised.
        """
        condition = self._conditions.setdefault(part, Condition(log, part))
        begun = time.perf_counter()
        try:
            result = work()
        except (StoreError, Stopped, sqlite3.Error):
            raise
        except Exception as error:
            log.debug("failed", exc_info=True)
            condition.set(f"{type(error).__name__}: {error}")
            self.report(part)
            return None
        condition.set(None)
        self.report(part)
        took = spent + time.perf_counter() - begun
        self._metrics.set("heptad_aggregator_part_duration_seconds", took, part)
        return result

    def report(self, part: str) -> None:
        """Set the metric that shows whether the part fails."""
        condition = self._conditions.get(part)
        failing = condition is not None and condition.problem is not None
        self._metrics.set("heptad_aggregator_part_failing", 1 if failing else 0, part)

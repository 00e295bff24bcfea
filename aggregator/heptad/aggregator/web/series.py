"""The view of login attempts over time, from reports, and from events where no report exists."""

import time as clock
from typing import Any, Final

from heptad.aggregator.reports import WINDOWS
from heptad.aggregator.reports.windows import last_revisions
from heptad.aggregator.web.events import SHOWN
from heptad.aggregator.web.query import Budget, Query
from heptad.core.store.api import EventStore
from heptad.core.store.line_protocol import decode_series
from heptad.core.terminal import printable
from heptad.core.units import SECOND, format_time

_REPORT: Final = "report_attempts"
_MOST_POINTS: Final = 750
_FINE: Final = (SECOND, 5 * SECOND, 15 * SECOND, 60 * SECOND)
"""Steps for short ranges, shorter than any window of a report."""
_MOST_FINE: Final = 120
_SHOWN_PROGRAMS: Final = 5
_MOST_PROGRAMS: Final = 200
_OTHERS: Final = "\n"
"""Key of all programs above the maximum: anyone who can write to InfluxDB can invent programs."""
_SECONDS: Final = 0.3
_LONGEST: Final = 366 * WINDOWS["1d"]


def count_attempts(events: EventStore, reports: EventStore | None, query: Query) -> dict[str, Any]:
    """Return successes and failures per step of [since, until); ``from`` is how far back they go.

    A step is the shortest window that keeps the result below some hundred steps. A short range has
    shorter steps, if there are few enough events to count all of them in time.
    """
    until = min(query.until, int(clock.time() * SECOND) + 1)
    since = max(query.since, until - _LONGEST)
    fine = next((step for step in _FINE if (until - since) / step <= _MOST_FINE), None)
    if fine is not None and since < until:
        grid = _Grid(since, until, fine)
        if _add_events(events, query, since, until, grid) <= since:
            return grid.show(None)
    step = min(length for length in WINDOWS.values() if (until - since) / length <= _MOST_POINTS)
    grid = _Grid(since, until, step)
    # the first step may start before the range: events that other views do not show are not counted
    whole = min(-(-since // step) * step, until)
    covered = whole
    if reports is not None:
        for size, length in reversed(WINDOWS.items()):
            if length <= step:
                covered = _add_windows(reports, query, size, covered, until, grid)
    reached = _add_events(events, query, covered, until, grid)
    if reached <= covered:
        reached = _add_events(events, query, since, whole, grid)
        covered = since
    return grid.show(max(since, reached) if reached > covered else None)


class _Grid:
    """Counts successes and failures of each step, and the attempts of each program."""

    def __init__(self, since: int, until: int, step: int) -> None:
        self.begin, self.step = since // step * step, step
        self._length = len(range(self.begin, until, step))
        self._counts = {outcome: [0] * self._length for outcome in ("success", "failure")}
        self._programs: dict[str, list[int]] = {}

    def add(self, time: int, program: str, outcome: str, count: int) -> None:
        """Add attempts at ``time`` (ns); other outcomes than success and failure are ignored."""
        if outcome not in self._counts or not count:
            return
        place = (time - self.begin) // self.step
        self._counts[outcome][place] += count
        if program not in self._programs and len(self._programs) >= _MOST_PROGRAMS:
            program = _OTHERS
        self._programs.setdefault(program, [0] * self._length)[place] += count

    def show(self, reached: int | None) -> dict[str, Any]:
        """Return the result; ``reached`` is how far back (ns) it goes if not the whole range."""
        return {
            "step": self.step // SECOND,
            "begin": self.begin // SECOND,
            "successes": self._counts["success"],
            "failures": self._counts["failure"],
            "programs": self._show_programs(),
            "from": None if reached is None else format_time(reached),
        }

    def _show_programs(self) -> list[dict[str, Any]]:
        """Return the most frequent programs by name, and the total of the others without a name."""
        others = self._programs.pop(_OTHERS, [0] * self._length)
        ranked = sorted(self._programs.items(), key=lambda item: (-sum(item[1]), item[0]))
        for _, attempts in ranked[_SHOWN_PROGRAMS:]:
            others = [one + more for one, more in zip(others, attempts, strict=True)]
        shown = [
            {"name": printable(name, SHOWN), "attempts": attempts}
            for name, attempts in ranked[:_SHOWN_PROGRAMS]
        ]
        return [*shown, {"name": None, "attempts": others}] if any(others) else shown


def _add_windows(
    reports: EventStore, query: Query, size: str, since: int, until: int, grid: _Grid
) -> int:
    """Add the windows of one size from ``since`` on; return the end of the last one."""
    covered = since
    tags = {"window": size, **query.tags("host", "program")}
    for window, written in last_revisions(reports, _REPORT, since, until, tags).items():
        if window.end > until:
            continue
        covered = max(covered, window.end)
        for series, fields in written.rows.items():
            program = decode_series(series)[1].get("program", "")
            for outcome, field in (("success", "successes"), ("failure", "failures")):
                grid.add(window.start, program, outcome, int(fields.get(field, 0)))
    return covered


def _add_events(store: EventStore, query: Query, since: int, until: int, grid: _Grid) -> int:
    """Count the attempts of [since, until) one by one; return how far back it got in time."""
    budget = Budget(_SECONDS)
    tags = {"action": "login", **query.tags("host", "program")}
    for event in store.events(since, until, tags, newest_first=True, fields=("count",)):
        if budget.is_over():
            return event.time
        grid.add(event.time, event.program, event.outcome, event.count)
    return since

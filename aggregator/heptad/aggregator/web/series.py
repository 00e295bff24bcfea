"""Login attempts over time: from the reports, and from the events for what they do not cover."""

import time as clock
from typing import Any, Final

from heptad.aggregator.reports import WINDOWS
from heptad.aggregator.reports.windows import last_revisions
from heptad.aggregator.web.query import Budget, Query
from heptad.aggregator.web.source import Events, Reports
from heptad.core.store.event_row import MEASUREMENT, counted
from heptad.core.store.line_protocol import decode_head
from heptad.core.units import SECOND, format_time

_REPORT: Final = "report_attempts"
_MOST_POINTS: Final = 750
_FINE: Final = (SECOND, 5 * SECOND, 15 * SECOND, 60 * SECOND)
"""Steps of short ranges, shorter than any window of a report."""
_MOST_FINE: Final = 120
_SECONDS: Final = 0.3
_LONGEST: Final = 366 * WINDOWS["1d"]


def count_attempts(events: Events, reports: Reports | None, query: Query) -> dict[str, Any]:
    """Successes and failures for each step of [since, until); ``from`` is how far back they go.

    A step is as long as the shortest window that keeps the answer below some hundred steps. A
    short range has shorter steps, if there are few enough events to count all of them in time.
    """
    until = min(query.until, int(clock.time() * SECOND) + 1)
    since = max(query.since, until - _LONGEST)
    fine = next((step for step in _FINE if (until - since) / step <= _MOST_FINE), None)
    if fine is not None and since < until:
        grid = _make_grid(since, until, fine)
        if _add_events(events, query, since, until, grid) <= since:
            return _show(grid, None)
    step = min(length for length in WINDOWS.values() if (until - since) / length <= _MOST_POINTS)
    grid = _make_grid(since, until, step)
    # the first step may begin before the range: what other views do not show is not counted
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
    return _show(grid, max(since, reached) if reached > covered else None)


_Grid = tuple[int, int, list[list[int]]]
"""Where the first step begins, how long a step is (ns), and its successes and failures."""


def _make_grid(since: int, until: int, step: int) -> _Grid:
    begin = since // step * step
    return begin, step, [[0, 0] for _ in range(begin, until, step)]


def _show(grid: _Grid, reached: int | None) -> dict[str, Any]:
    begin, step, counts = grid
    return {
        "step": step // SECOND,
        "begin": begin // SECOND,
        "successes": [success for success, _ in counts],
        "failures": [failure for _, failure in counts],
        "from": None if reached is None else format_time(reached),
    }


def _add_windows(
    reports: Reports, query: Query, size: str, since: int, until: int, grid: _Grid
) -> int:
    """Add up the windows of a size from ``since`` on; up to where there are some."""
    begin, step, counts = grid
    covered = since
    tags = {"window": size, **query.tags("host", "program")}
    for window, written in last_revisions(reports, _REPORT, since, until, tags).items():
        if window.end > until:
            continue
        covered = max(covered, window.end)
        place = counts[(window.start - begin) // step]
        for fields in written.rows.values():
            place[0] += int(fields.get("successes", 0))
            place[1] += int(fields.get("failures", 0))
    return covered


def _add_events(store: Events, query: Query, since: int, until: int, grid: _Grid) -> int:
    """Count the attempts of [since, until) one by one; how far back the time sufficed."""
    begin, step, counts = grid
    budget = Budget(_SECONDS)
    tags = {"action": "login", **query.tags("host", "program")}
    rows = store.backwards(MEASUREMENT, since, until, tags, ("count",))
    for (head, time, _, _), count in counted(rows, store.intake):
        if budget.is_over():
            return time
        outcome = decode_head(head)[1].get("outcome")
        place = counts[(time - begin) // step]
        if outcome in ("success", "failure"):
            place[outcome == "failure"] += count
    return since

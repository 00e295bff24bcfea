"""Who logs in, or fails to, at which hour of the day: the most frequent names, hour by hour."""

import time as clock
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, Final

from heptad.aggregator.web.query import Budget, Query
from heptad.aggregator.web.source import Events
from heptad.aggregator.web.top import find_names, show_name
from heptad.core.store.event_row import MEASUREMENT, with_counts
from heptad.core.units import SECOND, format_time, parse_zone

_ROWS: Final = 12
_MOST: Final = 5000
"""Names that are counted apart; an attacker chooses how many there are."""
_SECONDS: Final = 0.3
_FIELDS: Final = ("count", "user")
_QUARTER: Final = 900 * SECOND
"""Every zone is a whole number of these off UTC."""


def count_hours(store: Events, query: Query) -> dict[str, Any]:
    """The logins of a range by name and by hour of the day in ``query.zone``, the newest first.

    Those of ``query.outcome``, or the failed ones. ``from`` is how far back they were counted where
    that is not the whole range; names beyond the most frequent are added up in ``others``.
    """
    outcome = query.outcome or "failure"
    tags = {"action": "login", "outcome": outcome, **query.tags("host", "program")}
    until = min(query.until, int(clock.time() * SECOND) + 1)
    names: dict[str, list[int]] = {}
    others = [0] * 24
    hour_of = _make_clock(parse_zone(query.zone or "UTC"))
    budget, reached = Budget(_SECONDS), None
    rows = store.backwards(MEASUREMENT, query.since, until, tags, _FIELDS)
    for (_, time, body, _), count in with_counts(rows, store.intake):
        if budget.is_over():
            reached = format_time(time)
            break
        for name in find_names(body, "user"):
            if name not in names and len(names) < _MOST:
                names[name] = [0] * 24
            names.get(name, others)[hour_of(time)] += count
    return {"outcome": outcome, "from": reached, **_show(names, others)}


def _show(names: dict[str, list[int]], others: list[int]) -> dict[str, Any]:
    ranked = sorted(names.items(), key=lambda item: (-sum(item[1]), item[0]))
    for _, hours in ranked[_ROWS:]:
        others = [one + more for one, more in zip(others, hours, strict=True)]
    rows = [{"name": show_name(name), "hours": hours} for name, hours in ranked[:_ROWS]]
    return {"rows": rows, "others": others}


def _make_clock(zone: tzinfo) -> Callable[[int], int]:
    """Gives the hour of the day in a zone, of a time in ns; a quarter of an hour is asked once."""
    known: dict[int, int] = {}

    def hour_of(time: int) -> int:
        quarter = time // _QUARTER
        if (hour := known.get(quarter)) is None:
            hour = known[quarter] = datetime.fromtimestamp(quarter * 900, zone).hour
        return hour

    return hour_of

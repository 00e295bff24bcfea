"""The view of logins by hour of the day, for the most frequent names."""

import time as clock
from datetime import datetime
from typing import Any, Final

from heptad.aggregator.web.events import SHOWN
from heptad.aggregator.web.query import Budget, Query
from heptad.core.store.api import EventStore
from heptad.core.terminal import printable
from heptad.core.units import SECOND, format_time, parse_zone

_ROWS: Final = 12
_MOST: Final = 5000
"""Maximum number of names that are counted separately; an attacker chooses how many there are."""
_LONGEST: Final = 1000
_SECONDS: Final = 0.3
_FIELDS: Final = ("count", "user")
_QUARTER: Final = 900 * SECOND
"""The offset of every zone from UTC is a multiple of this."""


def cut_name(name: str) -> str:
    """Truncate a name for counting, because an attacker chooses its length."""
    return name[:_LONGEST]


class Hours:
    """Count logins by name and by hour of the day in ``zone``."""

    def __init__(self, zone: str) -> None:
        self._zone = parse_zone(zone or "UTC")
        self._known: dict[int, int] = {}
        self._names: dict[str, list[int]] = {}
        self._others = [0] * 24

    def add(self, name: str, time: int, count: int) -> None:
        """Add ``count`` logins of a name at ``time`` (ns)."""
        if name not in self._names and len(self._names) < _MOST:
            self._names[name] = [0] * 24
        self._names.get(name, self._others)[self._hour_of(time)] += count

    def _hour_of(self, time: int) -> int:
        """Return the hour of the day; the conversion is cached for each quarter of an hour."""
        quarter = time // _QUARTER
        if (hour := self._known.get(quarter)) is None:
            hour = self._known[quarter] = datetime.fromtimestamp(quarter * 900, self._zone).hour
        return hour

    def show(self) -> dict[str, Any]:
        """Return the most frequent names, and the total of all others."""
        ranked = sorted(self._names.items(), key=lambda item: (-sum(item[1]), item[0]))
        others = self._others
        for _, hours in ranked[_ROWS:]:
            others = [one + more for one, more in zip(others, hours, strict=True)]
        rows = [{"name": printable(name, SHOWN), "hours": hours} for name, hours in ranked[:_ROWS]]
        return {"rows": rows, "others": others}


def count_hours(store: EventStore, query: Query) -> dict[str, Any]:
    """Count logins with ``query.outcome`` (default: failure) by name and hour, newest first.

    ``from`` is how far back they were counted if not the whole range.
    """
    outcome = query.outcome or "failure"
    tags = {"action": "login", "outcome": outcome, **query.tags("host", "program")}
    until = min(query.until, int(clock.time() * SECOND) + 1)
    counts, budget, reached = Hours(query.zone), Budget(_SECONDS), None
    for event in store.events(query.since, until, tags, newest_first=True, fields=_FIELDS):
        if budget.is_over():
            reached = format_time(event.time)
            break
        if event.user is not None:
            counts.add(cut_name(event.user), event.time, event.count)
    return {"outcome": outcome, "from": reached, **counts.show()}

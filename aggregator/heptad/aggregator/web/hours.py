"""Who logs in, or fails to, at which hour of the day: the most frequent names, hour by hour."""

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
"""Names that are counted apart; an attacker chooses how many there are."""
_LONGEST: Final = 1000
_SECONDS: Final = 0.3
_FIELDS: Final = ("count", "user")
_QUARTER: Final = 900 * SECOND
"""Every zone is a whole number of these off UTC."""


def cut_name(name: str) -> str:
    """A name as it is counted: an attacker chooses how long it is."""
    return name[:_LONGEST]


class Hours:
    """Logins by name and by hour of the day in ``zone``."""

    def __init__(self, zone: str) -> None:
        self._zone = parse_zone(zone or "UTC")
        self._known: dict[int, int] = {}
        self._names: dict[str, list[int]] = {}
        self._others = [0] * 24

    def add(self, name: str, time: int, count: int) -> None:
        """Count logins of a name at a time (ns)."""
        if name not in self._names and len(self._names) < _MOST:
            self._names[name] = [0] * 24
        self._names.get(name, self._others)[self._hour_of(time)] += count

    def _hour_of(self, time: int) -> int:
        """The hour of the day; the zone is asked once for a quarter of an hour."""
        quarter = time // _QUARTER
        if (hour := self._known.get(quarter)) is None:
            hour = self._known[quarter] = datetime.fromtimestamp(quarter * 900, self._zone).hour
        return hour

    def show(self) -> dict[str, Any]:
        """The most frequent names, and all others together."""
        ranked = sorted(self._names.items(), key=lambda item: (-sum(item[1]), item[0]))
        others = self._others
        for _, hours in ranked[_ROWS:]:
            others = [one + more for one, more in zip(others, hours, strict=True)]
        rows = [{"name": printable(name, SHOWN), "hours": hours} for name, hours in ranked[:_ROWS]]
        return {"rows": rows, "others": others}


def count_hours(store: EventStore, query: Query) -> dict[str, Any]:
    """The logins of ``query.outcome``, or the failed ones, by name and hour, the newest first.

    ``from`` is how far back they were counted where that is not the whole range.
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

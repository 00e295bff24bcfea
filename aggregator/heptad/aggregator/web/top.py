"""The view of failed logins: the most frequent addresses and user names, and these by hour."""

from typing import Any, Final

from heptad.aggregator.reports.counting import SpillCounter
from heptad.aggregator.web.events import SHOWN
from heptad.aggregator.web.hours import Hours, cut_name
from heptad.aggregator.web.query import Budget, Query
from heptad.core.store.api import EventStore
from heptad.core.terminal import printable
from heptad.core.units import format_time

_ROWS: Final = 10
_SECONDS: Final = 0.3
_FIELDS: Final = ("count", "user", "source_ip", "source_domain")


def rank_failures(store: EventStore, query: Query) -> dict[str, Any]:
    """Count addresses and users of failed logins, newest first, until the time budget is used up.

    ``hours`` are the users by hour of the day in ``query.zone``; ``from`` is how far back they were
    counted if not the whole range.
    """
    addresses, users, hours = SpillCounter(), SpillCounter(), Hours(query.zone)
    budget = Budget(_SECONDS)
    total, reached = 0, None
    tags = {"action": "login", "outcome": "failure", **query.tags("host", "program")}
    found = store.events(query.since, query.until, tags, newest_first=True, fields=_FIELDS)
    for event in found:
        if budget.is_over():
            reached = format_time(event.time)
            break
        total += event.count
        if event.user is not None:
            name = cut_name(event.user)
            users.add(name, event.count)
            hours.add(name, event.time, event.count)
        for origin in (event.source_ip, event.source_domain):
            if origin is not None:
                addresses.add(cut_name(origin), event.count)
    return {
        "failures": total,
        "addresses": _show(addresses),
        "users": _show(users),
        "hours": hours.show(),
        "from": reached,
    }


def _show(counter: SpillCounter) -> dict[str, Any]:
    top = counter.top(_ROWS)
    rows = [{"name": printable(row.name, SHOWN), "count": row.count} for row in top.rows]
    return {"rows": rows, "others": top.others}

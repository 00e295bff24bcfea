"""Who fails most to log in: the addresses, the names that were asked for, and these by the hour."""

from typing import Any, Final

from heptad.aggregator.reports.counting import SpillCounter
from heptad.aggregator.web.hours import Hours
from heptad.aggregator.web.names import find_names, show_name
from heptad.aggregator.web.query import Budget, Query
from heptad.aggregator.web.source import Events
from heptad.core.store.event_row import MEASUREMENT, with_counts
from heptad.core.units import format_time

_ROWS: Final = 10
_SECONDS: Final = 0.3
_FIELDS: Final = ("count", "user", "source_ip", "source_domain")


def rank_failures(store: Events, query: Query) -> dict[str, Any]:
    """The most frequent addresses and users of failed logins, newest first as far as time allows.

    ``hours`` are the users by hour of the day in ``query.zone``; ``from`` is how far back all of
    them were counted where that is not the whole range.
    """
    addresses, users, hours = SpillCounter(), SpillCounter(), Hours(query.zone)
    budget = Budget(_SECONDS)
    total, reached = 0, None
    tags = {"action": "login", "outcome": "failure", **query.tags("host", "program")}
    rows = store.backwards(MEASUREMENT, query.since, query.until, tags, _FIELDS)
    for row, count in with_counts(rows, store.intake):
        if budget.is_over():
            reached = format_time(row.time)
            break
        total += count
        for field, value in find_names(row.body):
            if field == "user":
                users.add(value, count)
                hours.add(value, row.time, count)
            else:
                addresses.add(value, count)
    return {
        "failures": total,
        "addresses": _show(addresses),
        "users": _show(users),
        "hours": hours.show(),
        "from": reached,
    }


def _show(counter: SpillCounter) -> dict[str, Any]:
    top = counter.top(_ROWS)
    rows = [{"name": show_name(row.name), "count": row.count} for row in top.rows]
    return {"rows": rows, "others": top.others}

"""Who fails most to log in: the addresses, and the names that were asked for."""

import re
from collections.abc import Iterator
from typing import Any, Final

from heptad.aggregator.reports.counting import SpillCounter
from heptad.aggregator.web.events import SHOWN
from heptad.aggregator.web.query import Budget, Query
from heptad.aggregator.web.source import Events
from heptad.core.store.event_row import MEASUREMENT, with_counts
from heptad.core.store.line_protocol import decode_fields
from heptad.core.terminal import printable
from heptad.core.units import format_time

_ROWS: Final = 10
_SECONDS: Final = 0.3
_FIELDS: Final = ("count", "user", "source_ip", "source_domain")
_NAMES: Final = re.compile(r',(user|source_ip|source_domain)="((?:[^"\\]|\\.){0,1000}+)')
"""A field as it is stored, cut; within a value there is no quote without a backslash before it."""


def rank_failures(store: Events, query: Query) -> dict[str, Any]:
    """The most frequent addresses and users of failed logins, newest first as far as time allows.

    ``from`` is how far back they were counted where that is not the whole range.
    """
    addresses, users = SpillCounter(), SpillCounter()
    budget = Budget(_SECONDS)
    total, reached = 0, None
    tags = {"action": "login", "outcome": "failure", **query.tags("host", "program")}
    rows = store.backwards(MEASUREMENT, query.since, query.until, tags, _FIELDS)
    for (_, time, body, _), count in with_counts(rows, store.intake):
        if budget.is_over():
            reached = format_time(time)
            break
        total += count
        for name, value in _NAMES.findall(body):
            (users if name == "user" else addresses).add(value, count)
    return {
        "failures": total,
        "addresses": _show(addresses),
        "users": _show(users),
        "from": reached,
    }


def _show(counter: SpillCounter) -> dict[str, Any]:
    top = counter.top(_ROWS)
    rows = [{"name": show_name(row.name), "count": row.count} for row in top.rows]
    return {"rows": rows, "others": top.others}


def find_names(body: str, field: str) -> Iterator[str]:
    """The values of a field of a stored event, as they are stored, cut."""
    return (value for name, value in _NAMES.findall(body) if name == field)


def show_name(value: str) -> str:
    """A value that is as ``find_names`` gives it, as the page shows it."""
    return printable(str(decode_fields(f'x="{value}"')["x"]), SHOWN)

"""Who fails most to log in: the addresses, and the names that were asked for."""

from typing import Any, Final

from aggregator.tally import Tally, Top
from aggregator.web.events import SHOWN
from aggregator.web.query import Budget, Query
from heptad.event_row import MEASUREMENT
from heptad.line_protocol import decode_fields
from heptad.store.local import LocalStore
from heptad.terminal import printable
from heptad.units import format_time

_ROWS: Final = 10
_SECONDS: Final = 0.4


def rank_failures(store: LocalStore, query: Query) -> dict[str, Any]:
    """The most frequent addresses and users of failed logins, newest first as far as time allows.

    ``from`` is how far back they were counted where that is not the whole range.
    """
    addresses, users = Tally[str](), Tally[str]()
    budget = Budget(_SECONDS)
    total, reached = 0, None
    tags = {"action": "login", "outcome": "failure", **query.tags("host", "program")}
    for _, time, body, _ in store.backwards(MEASUREMENT, query.since, query.until, tags):
        if budget.is_over():
            reached = format_time(time)
            break
        fields = decode_fields(body)
        count = int(fields.get("count", 1))
        total += count
        address = fields.get("source_ip") or fields.get("source_domain")
        if address:
            addresses.add(printable(str(address), SHOWN), count)
        if "user" in fields:
            users.add(printable(str(fields["user"]), SHOWN), count)
    return {
        "failures": total,
        "addresses": _show(addresses.top(_ROWS)),
        "users": _show(users.top(_ROWS)),
        "from": reached,
    }


def _show(top: Top) -> dict[str, Any]:
    return {"rows": [{"name": r.name, "count": r.count} for r in top.rows], "others": top.others}

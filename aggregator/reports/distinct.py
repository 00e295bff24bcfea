"""Distinct users and addresses of a window: how many accounts were tried, from how many places."""

from collections.abc import Iterator
from typing import Final

from aggregator.tally import Tally, cut
from heptad.event import Event
from heptad.line_protocol import Value
from heptad.schema import Field

ALL: Final = "all"
"""The outcome of the row about all logins: distinct numbers cannot be added up."""


class DistinctFold:
    """The logins of one window."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Tally, Tally, set[str]]] = {}

    def add(self, event: Event) -> None:
        """One login event of the window."""
        for outcome in (ALL, event.outcome):
            seen = self._seen.get(outcome)
            if seen is None:
                seen = self._seen[outcome] = (Tally(), Tally(), set())
            users, addresses, hosts = seen
            if event.user is not None:
                users.add(cut(event.user))
            if event.source_ip is not None:
                addresses.add(cut(event.source_ip))
            hosts.add(event.host)

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """A row for each outcome, and one for all."""
        for outcome, (users, addresses, hosts) in sorted(self._seen.items()):
            yield (
                {"outcome": outcome},
                {"users": users.distinct, "addresses": addresses.distinct, "hosts": len(hosts)},
            )


class Distinct:
    """The report ``report_distinct``."""

    name: Final = "report_distinct"
    about: Final = (
        "How many different users, addresses and hosts the logins of the window have. The numbers "
        "are exact."
    )
    actions: Final = frozenset({"login"})
    tags: Final = {"outcome": "of the logins, or `all`"}
    fields: Final = {
        "users": Field(int, "different names that were asked for"),
        "addresses": Field(int, "different addresses that asked"),
        "hosts": Field(int, "different hosts that were asked"),
    }

    def begin(self) -> DistinctFold:
        """An empty window."""
        return DistinctFold()

"""Distinct users and addresses of a window: how many accounts were tried, from how many places."""

from collections.abc import Iterator, Sequence
from typing import Final

from heptad.aggregator.reports.counting import DistinctSet, cut
from heptad.core.event import Event
from heptad.core.store.measurements import Field
from heptad.core.store.point import Value

ALL: Final = "all"
"""The outcome of the row for all logins, because distinct counts cannot be summed."""


class OutcomeValues:
    """The distinct users, addresses and hosts of the logins with one outcome."""

    def __init__(self) -> None:
        self.users = DistinctSet()
        self.addresses = DistinctSet()
        self.hosts: set[str] = set()

    def add(self, events: Sequence[Event]) -> None:
        users, addresses = {e.user for e in events}, {e.source_ip for e in events}
        self.users.add([cut(user) for user in users if user is not None])
        self.addresses.add([cut(address) for address in addresses if address is not None])
        self.hosts.update([e.host for e in events])

    def merge(self, other: "OutcomeValues") -> None:
        self.users.merge(other.users)
        self.addresses.merge(other.addresses)
        self.hosts |= other.hosts


class DistinctAccumulator:
    """The logins of one window."""

    def __init__(self) -> None:
        self.seen: dict[str, OutcomeValues] = {}

    def add(self, events: Sequence[Event]) -> None:
        for outcome in {event.outcome for event in events}:
            self.seen.setdefault(outcome, OutcomeValues()).add(
                [event for event in events if event.outcome == outcome]
            )

    def merge(self, other: "DistinctAccumulator") -> None:
        for outcome, seen in other.seen.items():
            self.seen.setdefault(outcome, OutcomeValues()).merge(seen)

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """Yield a row for each outcome, and one for all."""
        if not self.seen:
            return
        whole = OutcomeValues()
        for seen in self.seen.values():
            whole.merge(seen)
        for outcome, seen in sorted({ALL: whole, **self.seen}.items()):
            users, addresses = seen.users.number, seen.addresses.number
            hosts = len(seen.hosts)
            yield {"outcome": outcome}, {"users": users, "addresses": addresses, "hosts": hosts}


class DistinctReport:
    name: Final = "report_distinct"
    about: Final = (
        "The number of different users, addresses and hosts of the logins in the window. The "
        "numbers are exact."
    )
    actions: Final = frozenset({"login"})
    tags: Final = {"outcome": "of the logins, or `all`"}
    fields: Final = {
        "users": Field(int, "number of different user names"),
        "addresses": Field(int, "number of different source addresses"),
        "hosts": Field(int, "number of different hosts"),
    }

    def begin(self) -> DistinctAccumulator:
        return DistinctAccumulator()

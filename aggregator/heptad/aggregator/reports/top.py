"""The most frequent addresses, users, targets and reasons of a window's logins."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from heptad.aggregator.reports.counting import SpillCounter, cut
from heptad.aggregator.reports.ranking import RANK, ranked_rows
from heptad.core.event import Event
from heptad.core.store.measurements import Field
from heptad.core.store.point import Value

MOST: Final = 10
QUESTIONS: Final = {
    "address": "the peer's address, or its name if the line has no address",
    "user": "the account that the login named",
    "target": "host and program, separated by a slash",
    "reason": "the reason of the outcome; only for failures",
}


def _answer(events: Sequence[Event]) -> dict[str, list[tuple[str | None, int]]]:
    """Return the answers of the events to each question, with their counts."""
    return {
        "address": [(e.source_ip or e.source_domain, e.count) for e in events],
        "user": [(e.user, e.count) for e in events],
        "target": [(f"{e.host}/{e.program}", e.count) for e in events],
        "reason": [(e.reason or None, e.count) for e in events],
    }


class TopAccumulator:
    def __init__(self) -> None:
        self.counters: dict[tuple[str, str], SpillCounter] = {}

    def add(self, events: Sequence[Event]) -> None:
        for outcome in {event.outcome for event in events}:
            own = [event for event in events if event.outcome == outcome]
            for question, answers in _answer(own).items():
                told = [
                    (value if question == "target" else cut(value), count * number)
                    for (value, count), number in Counter(answers).items()
                    if value is not None
                ]
                if told:
                    self.counters.setdefault((outcome, question), SpillCounter()).add_all(told)

    def merge(self, other: "TopAccumulator") -> None:
        for key, counter in other.counters.items():
            self.counters.setdefault(key, SpillCounter()).merge(counter)

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """Yield for each outcome and question a row per rank, and one for all others."""
        for (outcome, question), counter in sorted(self.counters.items()):
            tags = {"outcome": outcome, "top": question}
            yield from ranked_rows(tags, counter, MOST, lambda value: {"value": value})


class TopReport:
    name: Final = "report_top"
    about: Final = (
        f"The {MOST} most frequent addresses, users, targets and reasons of the logins, and "
        "all others as one row. The counts are exact; values with equal counts are sorted by "
        "name. Logins without the value (such as an address) are not counted."
    )
    actions: Final = frozenset({"login"})
    tags: Final = {
        "outcome": "of the logins",
        "top": "; ".join(f"`{name}`: {description}" for name, description in QUESTIONS.items()),
        "rank": RANK,
    }
    fields: Final = {
        "value": Field(str, "the address, name, target or reason; not in the row of the others"),
        "count": Field(int, "number of occurrences"),
        "different": Field(int, "number of different values among the others; only in their row"),
    }

    def begin(self) -> TopAccumulator:
        return TopAccumulator()

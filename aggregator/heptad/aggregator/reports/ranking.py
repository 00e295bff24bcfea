"""Rows ranked by frequency, with all others as one row.

The tags of a row are its group and its rank, so the number of series is bounded whatever a log
contains. Values from the log are fields.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from heptad.aggregator.reports.counting import SpillCounter, cut
from heptad.core.event import TAGS, Event
from heptad.core.store.measurements import Field
from heptad.core.store.point import Value

ANSWERS: Final = ("user", "target_user", "object", "reason")
"""The fields of an event that say who did what to whom, and why it ended so."""
OTHERS: Final = "others"
RANK: Final = f"the rank, from `01`; `{OTHERS}`: all others together"
COUNTED: Final = {
    "count": Field(int, "number of occurrences"),
    "different": Field(int, "number of different values among the others; only in their row"),
}

GroupTags = tuple[tuple[str, str], ...]


def ranked_rows(
    tags: dict[str, str], counter: SpillCounter, most: int, told: Callable[[str], dict[str, Value]]
) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
    """Yield a row per rank and one for all others; ``told`` returns the fields of a value."""
    others = counter.total
    first = counter.ranked(most)
    for place, (value, count) in enumerate(first, start=1):
        others -= count
        yield {**tags, "rank": f"{place:02}"}, {**told(value), "count": count}
    if others:
        different = counter.distinct - len(first)
        yield {**tags, "rank": OTHERS}, {"count": others, "different": different}


class RankingAccumulator:
    """Ranks the combinations of the fields ``answers`` within each group."""

    def __init__(
        self, most: int, group: Callable[[Event], GroupTags], answers: Sequence[str] = ANSWERS
    ) -> None:
        self._most = most
        self._group = group
        self._answers = answers
        self.counters: dict[GroupTags, SpillCounter] = {}

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        group = self._group(event)
        counter = self.counters.get(group)
        if counter is None:
            counter = self.counters[group] = SpillCounter()
        answers = ((name, getattr(event, name)) for name in self._answers)
        told = {
            name: cut(value)
            for name, value in answers
            if value is not None and (value or name not in TAGS)  # an empty tag means no value
        }
        counter.add(msgspec.json.encode(told).decode(), event.count)

    def merge(self, other: "RankingAccumulator") -> None:
        for group, counter in other.counters.items():
            self.counters.setdefault(group, SpillCounter()).merge(counter)

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """Yield for each group a row per rank, and one for all others."""
        for group, counter in sorted(self.counters.items()):
            yield from ranked_rows(dict(group), counter, self._most, msgspec.json.decode)

"""Counting what is frequent in bounded memory."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

import msgspec

MOST_KEYS: Final = 10_000

_K = TypeVar("_K", bound=Hashable)


class Ranked(msgspec.Struct):
    """A value and how often it was seen."""

    name: str
    count: int


class Top(msgspec.Struct):
    """The most frequent values, and how often all others together were seen."""

    rows: list[Ranked]
    others: int


class Tally(Generic[_K]):
    """Counts of the most frequent keys; what is rare is dropped, and counted together."""

    def __init__(self) -> None:
        self.counts: dict[_K, int] = {}
        self.others = 0

    def add(self, key: _K, count: int) -> None:
        """Count a key."""
        self.counts[key] = self.counts.get(key, 0) + count
        if len(self.counts) > 2 * MOST_KEYS:
            self._keep(MOST_KEYS)

    def _keep(self, number: int) -> None:
        kept = dict(self.ranked()[:number])
        self.others += sum(self.counts.values()) - sum(kept.values())
        self.counts = kept

    def ranked(self) -> list[tuple[_K, int]]:
        """The keys, most frequent first."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], str(item[0])))

    def top(self, number: int) -> Top:
        """The most frequent keys, which must be text."""
        self._keep(number)
        return Top([Ranked(str(key), count) for key, count in self.ranked()], self.others)

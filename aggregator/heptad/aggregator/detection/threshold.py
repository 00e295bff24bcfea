"""Enough of something within a width: episodes.

Time is divided into units of some minutes. An episode is made of every unit that lies in a span
of ``width`` units with enough; spans that touch are one episode. It may go on for ever, so an
episode that crosses midnight (UTC) is cut there, if both sides have enough by themselves; a
smaller side stays with the other. A day's episodes therefore follow from that day's units and
those of two spans around it: a day between two midnights of one episode always has enough, as
long as a span is at most half a day.

A span is rounded up to whole units and one more, so that nothing within it is missed; events up
to two units further apart may count together.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from heptad.aggregator.detection import MINUTES_A_DAY
from heptad.aggregator.detection.facts import Facts, FactsRule, address_of, merge
from heptad.aggregator.detection.finding import LISTS, Finding
from heptad.core.event import Event


class Measure(NamedTuple):
    """How much there is of what is counted; more facts never add more than they have alone."""

    adds: Callable[[Facts, int], int]
    """(facts, number of units that had no events before) → how much they can add."""
    counts: Callable[[Iterable[Facts], int], int]
    """(facts of units, number of units with events) → how much they have together."""


EVENTS: Final = Measure(
    lambda facts, _: facts.count, lambda facts, _: sum([part.count for part in facts])
)
"""How many events."""
UNITS: Final = Measure(lambda _, number: number, lambda _, number: number)
"""In how many units something happened."""


def names_of(name: str) -> Measure:
    """How many different names one of the facts' lists holds, up to those that are kept."""
    place = LISTS.index(name)

    def count(facts: Iterable[Facts], _: int) -> int:
        return len(set().union(*[part.lists[place] for part in facts]))

    return Measure(lambda facts, _: len(facts.lists[place]), count)


_MOST_APART: Final = 16
_NEVER: Final = -(2**63)
"""Before every unit, also those before 1970."""
FAILED_LOGINS: Final = {"action": ("login",), "outcome": ("failure",)}


class EpisodePart(msgspec.Struct, gc=False):
    """What of an episode lies in one UTC day (since the epoch)."""

    day: int
    facts: list[Facts]
    number: int


def _gather(facts: list[Facts], more: Sequence[Facts]) -> None:
    """Take up more; merged only when they are many, for that is what costs most."""
    facts += more
    if len(facts) > _MOST_APART:
        facts[:] = [merge(facts)]


class ThresholdDetector:
    """The episodes of one subject."""

    __slots__ = ("_end", "_episodes", "_lacking", "_recent", "_rule", "_sure")

    def __init__(self, rule: "ThresholdRule") -> None:
        self._rule = rule
        self._recent: list[tuple[int, list[Facts]]] = []
        self._lacking = rule.threshold
        """So much at least has to come before there can be enough."""
        self._end = _NEVER
        """The last unit of the last episode, which takes up the facts of it once it is over."""
        self._sure = _NEVER
        """Up to this unit there is enough without what is still to come."""
        self._episodes: list[list[EpisodePart]] = []

    def copy(self) -> "ThresholdDetector":
        """A chain of its own that knows the same."""
        twin = ThresholdDetector(self._rule)
        twin._recent = self._recent.copy()
        if twin._recent:
            unit, parts = twin._recent[-1]
            twin._recent[-1] = (unit, parts.copy())
        twin._lacking = self._lacking
        twin._end, twin._sure = self._end, self._sure
        twin._episodes = [episode.copy() for episode in self._episodes]
        if twin._episodes:
            twin._episodes[-1][-1] = self._copy_last()
        return twin

    def _copy_last(self) -> EpisodePart:
        """The last part of the last episode: the only one that still grows."""
        last = self._episodes[-1][-1]
        return EpisodePart(last.day, last.facts.copy(), last.number)

    def add(self, minute: int, bucket: Facts) -> None:
        """The next cell; ``minute`` is later than all before."""
        rule, recent = self._rule, self._recent
        unit, new = minute // rule.unit, 1
        if recent and recent[-1][0] == unit:
            new = 0
            _gather(recent[-1][1], (bucket,))
            if unit == self._end:
                return
        else:
            if recent and recent[-1][0] == self._end:
                _gather(self._episodes[-1][-1].facts, recent[-1][1])
            begin = unit - rule.width + 1
            while recent and recent[0][0] < begin:
                del recent[0]
            recent.append((unit, [bucket]))
            if unit <= self._sure:
                self._extend(unit)
                return
        self._lacking -= rule.measure.adds(bucket, new)
        if self._lacking <= 0:
            self._detect(unit)

    def _detect(self, unit: int) -> None:
        """Let an episode begin or go on if there is enough in the span that ends with ``unit``."""
        rule, recent = self._rule, self._recent
        known = [facts for _, parts in recent for facts in parts]
        self._lacking = rule.threshold - rule.measure.counts(known, len(recent))
        if self._lacking > 0:
            return
        self._sure = self._last_beginning() + rule.width - 1
        if unit - rule.width > self._end:
            self._end_part()
            self._episodes.append([])
        for at, parts in recent:
            if at > self._end:
                self._extend(at)
                if at < unit:
                    _gather(self._episodes[-1][-1].facts, parts)

    def _last_beginning(self) -> int:
        """The last unit with which a span may begin that has enough now."""
        known: list[Facts] = []
        for number, (at, parts) in enumerate(reversed(self._recent), start=1):
            known += parts
            if self._rule.measure.counts(known, number) >= self._rule.threshold:
                return at
        return _NEVER

    def _extend(self, unit: int) -> None:
        """The last episode goes on until ``unit``."""
        episode = self._episodes[-1]
        day = unit * self._rule.unit // MINUTES_A_DAY
        if episode and episode[-1].day == day:
            episode[-1].number += 1
        else:
            self._end_part()
            episode.append(EpisodePart(day, [], 1))
        self._end = unit

    def _end_part(self) -> None:
        """What no longer grows need not be held apart."""
        if self._episodes and self._episodes[-1]:
            last = self._episodes[-1][-1]
            last.facts = [merge(last.facts)]

    def is_expired(self, minute: int) -> bool:
        """Whether nothing here matters to a cell at or after ``minute``."""
        unit = minute // self._rule.unit
        late = bool(self._recent) and self._recent[-1][0] + self._rule.width > unit
        return not late and not self._episodes

    def forget(self, day: int) -> None:
        """Drop the episodes that ended before ``day``."""
        self._episodes = [episode for episode in self._episodes if episode[-1].day >= day]
        if not self._episodes:
            self._end = self._sure = _NEVER

    def findings(self, key: str) -> Iterator[Finding]:
        """Every episode, cut at midnight."""
        episodes = self._episodes
        if episodes and self._recent[-1][0] == self._end:
            last = self._copy_last()
            _gather(last.facts, self._recent[-1][1])
            episodes = [*episodes[:-1], [*episodes[-1][:-1], last]]
        for episode in episodes:
            for part in _cut(episode, self._is_enough):
                yield self._rule.to_finding(key, part.day, merge(part.facts))

    def _is_enough(self, part: EpisodePart) -> bool:
        return self._rule.measure.counts(part.facts, part.number) >= self._rule.threshold


def _cut(episode: list[EpisodePart], is_enough: Callable[[EpisodePart], bool]) -> list[EpisodePart]:
    """Join a side of midnight that has not enough of its own to the other side."""
    parts: list[EpisodePart] = []
    for part in episode:
        if parts and not is_enough(parts[-1]):
            parts[-1] = _join(parts[-1], part, part.day)
        else:
            parts.append(part)
    if len(parts) > 1 and not is_enough(parts[-1]):
        last = parts.pop()
        parts[-1] = _join(parts[-1], last, parts[-1].day)
    return parts


def _join(one: EpisodePart, other: EpisodePart, day: int) -> EpisodePart:
    return EpisodePart(day, [*one.facts, *other.facts], one.number + other.number)


class ThresholdRule(FactsRule):
    """A rule that tells when ``measure`` reaches ``threshold`` within ``span``."""

    filter = FAILED_LOGINS
    shares_buckets = True
    noun = ("address", "addresses")
    unit: int = 1
    """In minutes; a day is a multiple of it."""
    key_of: Callable[[Event], str | None] = staticmethod(address_of)

    def __init__(self, measure: Measure, threshold: int, span: float) -> None:
        self.measure: Final = measure
        self.threshold: Final = threshold
        self.width: Final = math.ceil(span / (60 * self.unit)) + 1
        self.before = self.after = 2 * self.width * self.unit

    def severity_of(self, facts: Facts) -> str:
        """How far beyond the threshold it went: up to tenfold, up to a hundredfold, or more."""
        return severity_of(facts.count, self.threshold)

    def detector(self) -> ThresholdDetector:
        """An empty chain."""
        return ThresholdDetector(self)


def severity_of(count: int, threshold: int) -> str:
    """Low up to ten times the threshold, medium up to a hundred times."""
    if count < 10 * threshold:
        return "low"
    return "medium" if count < 100 * threshold else "high"

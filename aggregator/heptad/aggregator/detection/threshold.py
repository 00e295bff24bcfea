"""Rules for thresholds: enough events within a span form an episode.

Time is divided into units of some minutes. An episode consists of all units in any span of
``width`` units that reaches the threshold; spans that overlap or touch are one episode. An episode
may last forever, so it is split at midnight (UTC) if both parts reach the threshold; a part that
does not stays with the other. The episodes of a day therefore depend only on the units of that day
and of two spans around it: a day between two midnights of one episode always reaches the threshold
if a span is at most half a day.

A span is rounded up to whole units plus one, so that nothing within it is missed; events up to two
units further apart may count together.
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
    """What is counted; the sum is never larger than the sum of the parts."""

    adds: Callable[[Facts, int], int]
    """(facts, number of units that had no events before) → the most that they can add."""
    counts: Callable[[Iterable[Facts], int], int]
    """(facts of units, number of units with events) → the total."""


EVENTS: Final = Measure(
    lambda facts, _: facts.count, lambda facts, _: sum([part.count for part in facts])
)
"""Count events."""
UNITS: Final = Measure(lambda _, number: number, lambda _, number: number)
"""Count units with events."""


def names_of(name: str) -> Measure:
    """Count the different names in one of the facts' lists, as far as they are kept."""
    place = LISTS.index(name)

    def count(facts: Iterable[Facts], _: int) -> int:
        return len(set().union(*[part.lists[place] for part in facts]))

    return Measure(lambda facts, _: len(facts.lists[place]), count)


_MOST_APART: Final = 16
_NEVER: Final = -(2**63)
"""Before every unit, also those before 1970."""
FAILED_LOGINS: Final = {"action": ("login",), "outcome": ("failure",)}


class EpisodePart(msgspec.Struct, gc=False):
    """The part of an episode in one UTC day (since the epoch)."""

    day: int
    facts: list[Facts]
    number: int


def _gather(facts: list[Facts], more: Sequence[Facts]) -> None:
    """Add facts; they are merged only when there are many, because merging is the largest cost."""
    facts += more
    if len(facts) > _MOST_APART:
        facts[:] = [merge(facts)]


class ThresholdDetector:
    """Detects the episodes of one key."""

    __slots__ = ("_end", "_episodes", "_lacking", "_recent", "_rule", "_sure")

    def __init__(self, rule: "ThresholdRule") -> None:
        self._rule = rule
        self._recent: list[tuple[int, list[Facts]]] = []
        self._lacking = rule.threshold
        """The least that must be added before the threshold can be reached."""
        self._end = _NEVER
        """The last unit of the last episode; its facts are added when the unit is over."""
        self._sure = _NEVER
        """Up to this unit, the threshold is reached without further events."""
        self._episodes: list[list[EpisodePart]] = []

    def copy(self) -> "ThresholdDetector":
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
        """Return a copy of the last part of the last episode, the only one that still grows."""
        last = self._episodes[-1][-1]
        return EpisodePart(last.day, last.facts.copy(), last.number)

    def add(self, minute: int, bucket: Facts) -> None:
        """Add the next bucket; ``minute`` must be after all before."""
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
        """Start or extend an episode if the span that ends with ``unit`` reaches the threshold."""
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
        """Return the last unit where a span that reaches the threshold can start."""
        known: list[Facts] = []
        for number, (at, parts) in enumerate(reversed(self._recent), start=1):
            known += parts
            if self._rule.measure.counts(known, number) >= self._rule.threshold:
                return at
        return _NEVER

    def _extend(self, unit: int) -> None:
        """Extend the last episode to ``unit``."""
        episode = self._episodes[-1]
        day = unit * self._rule.unit // MINUTES_A_DAY
        if episode and episode[-1].day == day:
            episode[-1].number += 1
        else:
            self._end_part()
            episode.append(EpisodePart(day, [], 1))
        self._end = unit

    def _end_part(self) -> None:
        """Merge the facts of a part that no longer grows."""
        if self._episodes and self._episodes[-1]:
            last = self._episodes[-1][-1]
            last.facts = [merge(last.facts)]

    def is_expired(self, minute: int) -> bool:
        unit = minute // self._rule.unit
        late = bool(self._recent) and self._recent[-1][0] + self._rule.width > unit
        return not late and not self._episodes

    def forget(self, day: int) -> None:
        """Drop the episodes that ended before ``day``."""
        self._episodes = [episode for episode in self._episodes if episode[-1].day >= day]
        if not self._episodes:
            self._end = self._sure = _NEVER

    def findings(self, key: str) -> Iterator[Finding]:
        """Yield a finding for each episode, split at midnight."""
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
    """Merge the parts of an episode that do not reach the threshold into their neighbours."""
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
    """A rule that fires when ``measure`` reaches ``threshold`` within ``span``."""

    filter = FAILED_LOGINS
    shares_buckets = True
    noun = ("address", "addresses")
    unit: int = 1
    """In minutes; must divide a day."""
    key_of: Callable[[Event], str | None] = staticmethod(address_of)

    def __init__(self, measure: Measure, threshold: int, span: float) -> None:
        self.measure: Final = measure
        self.threshold: Final = threshold
        self.width: Final = math.ceil(span / (60 * self.unit)) + 1
        self.before = self.after = 2 * self.width * self.unit

    def severity_of(self, facts: Facts) -> str:
        """Compare the count with the threshold."""
        return severity_of(facts.count, self.threshold)

    def detector(self) -> ThresholdDetector:
        return ThresholdDetector(self)


def severity_of(count: int, threshold: int) -> str:
    """Return low below ten times the threshold, medium below a hundred times, else high."""
    if count < 10 * threshold:
        return "low"
    return "medium" if count < 100 * threshold else "high"

"""Rules for values that were not seen before in the look-back of a key.

Each event is evaluated against what happened within ``look_back`` before it. A key without enough
history produces no findings: its history must reach back ``settle`` days and contain enough events,
on whole UTC days before the event's. Keys for which new values are normal produce none either: a
key with more than ``most`` values is ignored.
"""

import msgspec

from heptad.aggregator.detection import MINUTES_A_DAY
from heptad.aggregator.detection.facts import EventBatch, Facts, FactsRule, merge
from heptad.aggregator.detection.grouping import GroupsDetector
from heptad.aggregator.summary.wording import whole_length_of
from heptad.core.config.findings import BaselineConfig
from heptad.core.event import Event
from heptad.core.intervals import MINUTE


class History(msgspec.Struct, frozen=True):
    """How much history is required before a value is unusual; see BaselineConfig."""

    look_back: int
    """In minutes."""
    settle: int
    """In days."""
    events: int

    def is_enough(self, days: dict[int, int], minute: int) -> bool:
        """Return whether there are enough events on days that are wholly within the look-back."""
        floor = -((self.look_back - minute) // MINUTES_A_DAY)
        today = minute // MINUTES_A_DAY
        known = [day for day in days if floor <= day < today]
        old = any(day <= today - self.settle for day in known)
        return old and sum(days[day] for day in known) >= self.events


def history_of(config: BaselineConfig) -> History:
    look_back, settle = config.resolve()
    return History(int(look_back // 60), max(1, round(settle / 86_400)), config.events)


class DailyCounts:
    """Counts the events of a key by day, to decide whether its history is sufficient."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._days: dict[int, int] = {}

    def copy(self) -> "DailyCounts":
        """Return an independent copy."""
        twin = DailyCounts(self._history)
        twin._days = self._days.copy()
        return twin

    def is_enough(self, minute: int) -> bool:
        """Return whether the history is sufficient to evaluate ``minute``."""
        return self._history.is_enough(self._days, minute)

    def add(self, minute: int, count: int) -> None:
        """Count the events of a minute; minutes must be in order."""
        day = minute // MINUTES_A_DAY
        if day not in self._days:
            floor = (minute - self._history.look_back) // MINUTES_A_DAY
            self._days = {known: n for known, n in self._days.items() if known >= floor}
        self._days[day] = self._days.get(day, 0) + count

    def is_expired(self, minute: int) -> bool:
        """Return whether nothing here affects a bucket at or after ``minute``."""
        last = next(reversed(self._days), None)
        return last is None or (last + 1) * MINUTES_A_DAY < minute - self._history.look_back


class HistoryRule(FactsRule):
    """Base class of rules that compare with a look-back."""

    def __init__(self, baseline: BaselineConfig) -> None:
        self.history = history_of(baseline)
        self.before = self.history.look_back + MINUTES_A_DAY
        self.looked_back = whole_length_of(self.history.look_back * MINUTE)
        """The look-back as text."""


class HistoryDetector(GroupsDetector):
    """Base class of detectors that compare with a look-back."""

    def __init__(self, rule: HistoryRule) -> None:
        super().__init__(rule.to_finding)
        self._days = DailyCounts(rule.history)

    def is_expired(self, minute: int) -> bool:
        return not self._groups and self._days.is_expired(minute)


class NewTermsDetector(HistoryDetector):
    """Detects the new values of one key."""

    def __init__(self, rule: "NewTermsRule") -> None:
        super().__init__(rule)
        self._rule = rule
        self._seen: dict[str, int] = {}
        """The values seen, with the last minute of each, in that order."""

    def copy(self) -> "NewTermsDetector":
        twin = NewTermsDetector(self._rule)
        twin._days = self._days.copy()
        twin._seen = self._seen.copy()
        twin._groups = self._groups.copy()
        return twin

    def add(self, minute: int, bucket: dict[str, Facts]) -> None:
        """Add the next bucket."""
        floor = minute - self._rule.history.look_back
        while self._seen and next(iter(self._seen.values())) < floor:
            del self._seen[next(iter(self._seen))]
        new = [key for key in sorted(bucket) if key and key not in self._seen]
        if new and len(self._seen) <= self._rule.most and self._days.is_enough(minute):
            for key in new:
                self._groups.add(minute, bucket[key])
        for key in sorted(bucket):
            self._seen.pop(key, None)
            if key:
                self._seen[key] = minute
        while len(self._seen) > self._rule.most + 1:
            del self._seen[next(iter(self._seen))]
        self._days.add(minute, sum(facts.count for facts in bucket.values()))


class NewTermsRule(HistoryRule):
    """A rule that reports new values of a key; the empty value adds history, and is never new."""

    def __init__(self, baseline: BaselineConfig, most: int) -> None:
        super().__init__(baseline)
        self.most = most

    def term_of(self, event: Event) -> str:
        """Return the value of an event that may be new."""
        raise NotImplementedError

    def add(self, bucket: dict[str, Facts] | None, told: EventBatch) -> dict[str, Facts]:
        """Return the bucket with more events added; of too many values, the first are kept."""
        parts = {key: [facts] for key, facts in (bucket or {}).items()}
        for event, facts in told:
            parts.setdefault(self.term_of(event), []).append(facts)
        return {key: merge(parts[key]) for key in sorted(parts)[: self.most + 2]}

    def detector(self) -> NewTermsDetector:
        return NewTermsDetector(self)

"""What was not seen before: a key of a subject that its time until then does not know.

The look-back ends where the event lies: each event is judged by what happened within
``look_back`` before it. Nothing is told of a subject that is new itself: its history must reach
back ``settle`` days, and hold enough events, on whole days (UTC) before the event's. Nothing is
told either where ever new keys are usual: a subject with more than ``most`` keys is a traveller.
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
    """How much must be known of a subject before anything of it is unusual; see BaselineConfig."""

    look_back: int
    """In minutes."""
    settle: int
    """In days."""
    events: int

    def is_enough(self, days: dict[int, int], minute: int) -> bool:
        """Whether the events of each day that lie wholly within the look-back are enough."""
        floor = -((self.look_back - minute) // MINUTES_A_DAY)
        today = minute // MINUTES_A_DAY
        known = [day for day in days if floor <= day < today]
        old = any(day <= today - self.settle for day in known)
        return old and sum(days[day] for day in known) >= self.events


def history_of(config: BaselineConfig) -> History:
    """What the configuration asks for."""
    look_back, settle = config.resolve()
    return History(int(look_back // 60), max(1, round(settle / 86_400)), config.events)


class DailyCounts:
    """How many events a subject had on each day, and whether that is history enough."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._days: dict[int, int] = {}

    def copy(self) -> "DailyCounts":
        """Days of their own that know the same."""
        twin = DailyCounts(self._history)
        twin._days = self._days.copy()
        return twin

    def is_enough(self, minute: int) -> bool:
        """Whether there is history enough to judge what happens in ``minute``."""
        return self._history.is_enough(self._days, minute)

    def add(self, minute: int, count: int) -> None:
        """Count what happened in a minute; minutes only grow."""
        day = minute // MINUTES_A_DAY
        if day not in self._days:
            floor = (minute - self._history.look_back) // MINUTES_A_DAY
            self._days = {known: n for known, n in self._days.items() if known >= floor}
        self._days[day] = self._days.get(day, 0) + count

    def is_expired(self, minute: int) -> bool:
        """Whether nothing here matters to a cell at or after ``minute``."""
        last = next(reversed(self._days), None)
        return last is None or (last + 1) * MINUTES_A_DAY < minute - self._history.look_back


class HistoryRule(FactsRule):
    """A rule that tells what is unusual by the look-back."""

    def __init__(self, baseline: BaselineConfig) -> None:
        self.history = history_of(baseline)
        self.before = self.history.look_back + MINUTES_A_DAY
        self.looked_back = whole_length_of(self.history.look_back * MINUTE)
        """How far it looks back, in words."""


class HistoryDetector(GroupsDetector):
    """What every chain has that tells what is unusual of one subject."""

    def __init__(self, rule: HistoryRule) -> None:
        super().__init__(rule.to_finding)
        self._days = DailyCounts(rule.history)

    def is_expired(self, minute: int) -> bool:
        """Whether nothing here matters to a cell at or after ``minute``."""
        return not self._groups and self._days.is_expired(minute)


class NewTermsDetector(HistoryDetector):
    """The new keys of one subject."""

    def __init__(self, rule: "NewTermsRule") -> None:
        super().__init__(rule)
        self._rule = rule
        self._seen: dict[str, int] = {}
        """The keys that were seen last, with when, in that order."""

    def copy(self) -> "NewTermsDetector":
        """A chain of its own that knows the same."""
        twin = NewTermsDetector(self._rule)
        twin._days = self._days.copy()
        twin._seen = self._seen.copy()
        twin._groups = self._groups.copy()
        return twin

    def add(self, minute: int, bucket: dict[str, Facts]) -> None:
        """The next cell."""
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
    """A rule that tells a subject's new keys; the empty key is history, and never new."""

    def __init__(self, baseline: BaselineConfig, most: int) -> None:
        super().__init__(baseline)
        self.most = most

    def term_of(self, event: Event) -> str:
        """What may be new of the event's subject."""
        raise NotImplementedError

    def add(self, bucket: dict[str, Facts] | None, told: EventBatch) -> dict[str, Facts]:
        """The cell with more events; of too many keys the first ones by name are kept."""
        parts = {key: [facts] for key, facts in (bucket or {}).items()}
        for event, facts in told:
            parts.setdefault(self.term_of(event), []).append(facts)
        return {key: merge(parts[key]) for key in sorted(parts)[: self.most + 2]}

    def detector(self) -> NewTermsDetector:
        """An empty chain."""
        return NewTermsDetector(self)

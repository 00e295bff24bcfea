"""Rules for sequences: enough events of one kind within a span before an event of another.

The later event is reported; the earlier ones are its evidence. The resolution is one minute: within
the same minute, an "earlier" event may be some seconds later.
"""

import math
from collections.abc import Iterator

import msgspec

from heptad.aggregator.detection.facts import (
    MOST_EVIDENCE,
    EventBatch,
    Facts,
    FactsRule,
    finding_of,
    merge,
)
from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.grouping import FactGroups
from heptad.aggregator.summary.wording import Words
from heptad.core.event import Event


class SequenceBucket(msgspec.Struct, frozen=True, gc=False):
    """The events of one minute: the causes, and the reported events that follow."""

    before: Facts | None = None
    after: Facts | None = None


class SequenceDetector:
    """Detects the sequences of one key."""

    __slots__ = ("_causes", "_groups", "_recent", "_rule")

    def __init__(self, rule: "SequenceRule") -> None:
        self._rule = rule
        self._recent: list[tuple[int, Facts]] = []
        self._groups = FactGroups()
        self._causes: list[tuple[int, Facts]] = []
        """For each group: the last minute whose causes are included, and the causes."""

    def copy(self) -> "SequenceDetector":
        twin = SequenceDetector(self._rule)
        twin._recent = self._recent.copy()
        twin._groups = self._groups.copy()
        twin._causes = self._causes.copy()
        return twin

    def add(self, minute: int, bucket: SequenceBucket) -> None:
        """Add the next bucket."""
        while self._recent and self._recent[0][0] < minute - self._rule.width:
            del self._recent[0]
        after, before = bucket.after, bucket.before
        if before is not None:
            self._recent.append((minute, before))
        if after is None:
            return
        earlier = [known for known in self._recent if known[1].first < after.last]
        if self._rule.once:
            self._recent = [known for known in self._recent if known not in earlier]
        if sum(facts.count for _, facts in earlier) < self._rule.threshold:
            return
        taken: float = -math.inf
        causes: list[Facts] = []
        if self._groups.is_open(minute):
            taken, known = self._causes.pop()
            causes = [known]
        causes += [facts for at, facts in earlier if at > taken]
        if causes:
            self._groups.add(minute, after)
            self._causes.append((earlier[-1][0], merge(causes)))

    def findings(self, key: str) -> Iterator[Finding]:
        """Yield a finding for each group of reported events."""
        for (day, after), (_, causes) in zip(self._groups, self._causes, strict=True):
            yield self._rule.sequence_to_finding(key, day, causes, after)

    def forget(self, day: int) -> None:
        """Drop the groups before ``day``."""
        self._groups.forget(day)
        self._causes = self._causes[len(self._causes) - len(list(self._groups)) :]

    def is_expired(self, minute: int) -> bool:
        late = bool(self._recent) and self._recent[-1][0] + self._rule.width >= minute
        return not late and not self._groups


class SequenceRule(FactsRule):
    """A rule that reports an event within ``span`` after at least ``threshold`` other events.

    ``once``: report only the first such event; the next one requires new causes.
    """

    once: bool = False

    def __init__(self, threshold: int, span: float) -> None:
        self.threshold = threshold
        self.width = math.ceil(span / 60)
        self.before = self.width

    def is_after(self, event: Event) -> bool:
        """Return whether an event is of the later kind, by its action and outcome."""
        raise NotImplementedError

    def is_reported(self, event: Event) -> bool:
        """Return whether an event of the later kind is reported."""
        return True

    def describe(self, key: str, causes: Facts, after: Facts) -> tuple[str, Words]:
        """Return severity and wording."""
        raise NotImplementedError

    def add(self, bucket: SequenceBucket | None, told: EventBatch) -> SequenceBucket | None:
        """Return the bucket with more events added; None if none of them matters."""
        known = bucket or SequenceBucket()
        if not self.is_after(told[0][0]):
            facts = told.merged()
            before = facts if known.before is None else merge([known.before, facts])
            return SequenceBucket(before, known.after)
        after = [facts for event, facts in told if self.is_reported(event)]
        if not after:
            return bucket
        if known.after is not None:
            after.append(known.after)
        return SequenceBucket(known.before, merge(after))

    def needs_past(self, bucket: SequenceBucket) -> bool:
        """Events of the later kind are far fewer."""
        return bucket.after is not None

    def detector(self) -> SequenceDetector:
        return SequenceDetector(self)

    def sequence_to_finding(self, key: str, day: int, causes: Facts, after: Facts) -> Finding:
        """Return the finding; it spans the first to the last of the reported events."""
        # causes must not crowd out the reported events
        room = MOST_EVIDENCE - len(causes.evidence)
        told = after.evidence[: max(room, MOST_EVIDENCE // 2)]
        evidence = tuple(sorted((*causes.evidence[: MOST_EVIDENCE - len(told)], *told)))
        both_lists = zip(after.lists, merge([causes, after]).lists, strict=True)
        # list the names of the reported events first, however many names the causes have
        lists = tuple((*own, *sorted({*names}.difference(own))) for own, names in both_lists)
        both = Facts(causes.count + after.count, after.first, after.last, evidence, lists)
        return finding_of(self, key, day, both, self.describe(key, causes, after))

"""Rules for which every event matters: events close together are one finding.

A group never crosses midnight (UTC), so the groups of a day depend only on that day's events.
"""

from collections.abc import Iterator

from heptad.aggregator.detection import GAP, MINUTES_A_DAY
from heptad.aggregator.detection.facts import Facts, FactsRule, FindingFactory, merge
from heptad.aggregator.detection.finding import Finding


class FactGroups:
    """Facts in groups; they must be added in order of time."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: list[tuple[int, Facts]] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[tuple[int, Facts]]:
        """Yield each group with its UTC day."""
        return ((minute // MINUTES_A_DAY, facts) for minute, facts in self._groups)

    def copy(self) -> "FactGroups":
        """Return an independent copy."""
        twin = FactGroups()
        twin._groups = self._groups.copy()
        return twin

    def is_open(self, minute: int) -> bool:
        """Return whether an event in ``minute`` belongs to the last group."""
        if not self._groups:
            return False
        last = self._groups[-1][0]
        return minute - last <= GAP and minute // MINUTES_A_DAY == last // MINUTES_A_DAY

    def add(self, minute: int, facts: Facts) -> None:
        """Add facts to the last group, or start a new one."""
        if self.is_open(minute):
            facts = merge([self._groups.pop()[1], facts])
        self._groups.append((minute, facts))

    def forget(self, day: int) -> None:
        """Drop the groups before ``day``."""
        self._groups = [group for group in self._groups if group[0] // MINUTES_A_DAY >= day]


class GroupsDetector:
    """Base class of detectors that report groups, one finding each."""

    def __init__(self, to_finding: FindingFactory) -> None:
        self._to_finding = to_finding
        self._groups = FactGroups()

    def findings(self, key: str) -> Iterator[Finding]:
        """Yield a finding for each group."""
        for day, facts in self._groups:
            yield self._to_finding(key, day, facts)

    def forget(self, day: int) -> None:
        """Drop the groups before ``day``."""
        self._groups.forget(day)


class GroupingDetector(GroupsDetector):
    """Groups all events of one key."""

    def copy(self) -> "GroupingDetector":
        twin = GroupingDetector(self._to_finding)
        twin._groups = self._groups.copy()
        return twin

    def add(self, minute: int, bucket: Facts) -> None:
        """Add the next bucket."""
        self._groups.add(minute, bucket)

    def is_expired(self, minute: int) -> bool:
        return not self._groups


class GroupingRule(FactsRule):
    """A rule that reports every event."""

    def detector(self) -> GroupingDetector:
        return GroupingDetector(self.to_finding)

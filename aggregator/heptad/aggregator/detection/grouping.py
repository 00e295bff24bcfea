"""Events of which every one matters: those that lie close together are one finding.

A group never crosses midnight (UTC), so a day's groups follow from that day's events alone.
"""

from collections.abc import Iterator

from heptad.aggregator.detection import GAP, MINUTES_A_DAY
from heptad.aggregator.detection.facts import Facts, FactsRule, FindingFactory, merge
from heptad.aggregator.detection.finding import Finding


class FactGroups:
    """Facts in groups; minutes only grow."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: list[tuple[int, Facts]] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[tuple[int, Facts]]:
        """Each group with its UTC day."""
        return ((minute // MINUTES_A_DAY, facts) for minute, facts in self._groups)

    def copy(self) -> "FactGroups":
        """Groups of their own that hold the same."""
        twin = FactGroups()
        twin._groups = self._groups.copy()
        return twin

    def is_open(self, minute: int) -> bool:
        """Whether what happens in ``minute`` belongs to the last group."""
        if not self._groups:
            return False
        last = self._groups[-1][0]
        return minute - last <= GAP and minute // MINUTES_A_DAY == last // MINUTES_A_DAY

    def add(self, minute: int, facts: Facts) -> None:
        """Put the facts into the last group, or begin a new one."""
        if self.is_open(minute):
            facts = merge([self._groups.pop()[1], facts])
        self._groups.append((minute, facts))

    def forget(self, day: int) -> None:
        """Drop the groups of the days before."""
        self._groups = [group for group in self._groups if group[0] // MINUTES_A_DAY >= day]


class GroupsDetector:
    """What every chain has that tells groups, one finding each."""

    def __init__(self, to_finding: FindingFactory) -> None:
        self._to_finding = to_finding
        self._groups = FactGroups()

    def findings(self, key: str) -> Iterator[Finding]:
        """Every group."""
        for day, facts in self._groups:
            yield self._to_finding(key, day, facts)

    def forget(self, day: int) -> None:
        """Drop the groups of the days before."""
        self._groups.forget(day)


class GroupingDetector(GroupsDetector):
    """Every event of one subject, grouped."""

    def copy(self) -> "GroupingDetector":
        """A chain of its own that knows the same."""
        twin = GroupingDetector(self._to_finding)
        twin._groups = self._groups.copy()
        return twin

    def add(self, minute: int, bucket: Facts) -> None:
        """The next cell."""
        self._groups.add(minute, bucket)

    def is_expired(self, minute: int) -> bool:
        """Whether nothing is left to tell."""
        return not self._groups


class GroupingRule(FactsRule):
    """A rule of which every event is worth telling."""

    def detector(self) -> GroupingDetector:
        """An empty chain."""
        return GroupingDetector(self.to_finding)

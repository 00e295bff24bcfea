"""Events of which every one matters: those that lie close together are one finding.

A group never crosses midnight (UTC), so a day's groups follow from that day's events alone.
"""

from collections.abc import Iterator

from heptad.aggregator.detection import GAP, MINUTES_A_DAY
from heptad.aggregator.detection.facts import Facts, Tell, Telling, merge
from heptad.aggregator.detection.finding import Finding


class Groups:
    """Facts in groups; minutes only grow."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: list[tuple[int, Facts]] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    def __iter__(self) -> Iterator[tuple[int, Facts]]:
        """Each group with its UTC day."""
        return ((minute // MINUTES_A_DAY, facts) for minute, facts in self._groups)

    def copy(self) -> "Groups":
        """Groups of their own that hold the same."""
        twin = Groups()
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


class TellingChain:
    """What every chain has that tells groups, one finding each."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._groups = Groups()

    def findings(self, subject: str) -> Iterator[Finding]:
        """Every group."""
        for day, facts in self._groups:
            yield self._tell(subject, day, facts)

    def forget(self, day: int) -> None:
        """Drop the groups of the days before."""
        self._groups.forget(day)


class GroupsChain(TellingChain):
    """Every event of one subject, grouped."""

    def copy(self) -> "GroupsChain":
        """A chain of its own that knows the same."""
        twin = GroupsChain(self._tell)
        twin._groups = self._groups.copy()
        return twin

    def add(self, minute: int, cell: Facts) -> None:
        """The next cell."""
        self._groups.add(minute, cell)

    def is_idle(self, minute: int) -> bool:
        """Whether nothing is left to tell."""
        return not self._groups


class Grouped(Telling):
    """A rule of which every event is worth telling."""

    def chain(self) -> GroupsChain:
        """An empty chain."""
        return GroupsChain(self.tell)

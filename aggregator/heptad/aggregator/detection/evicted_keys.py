"""Subjects of which something was forgotten among too many, and that have to be judged after all.

A login that succeeds is judged by the failures before it. In a flood these may be forgotten:
whoever can fail from enough addresses could hide the one that guesses the password. So the days
of what succeeds then are read again from the store of events, for these subjects alone.
"""

import copy
from collections.abc import Set
from typing import Final

from heptad.aggregator.detection.dispatch import Read
from heptad.aggregator.detection.rules import Rule
from heptad.aggregator.detection.state import MINUTES_A_DAY, Memory
from heptad.core.event import Event

_PAUSE: Final = 60.0
"""Seconds between two readings: each goes through all events of a day."""


class Forgotten:
    """The subjects of one rule that are waiting, by day."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._days: dict[int, set[str]] = {}
        self._due = 0.0

    @property
    def days(self) -> Set[int]:
        """The days that have to be read again."""
        return self._days.keys()

    def note(self, memory: Memory) -> None:
        """Take over what is waiting there."""
        for day, subjects in memory.take_returned().items():
            self._days.setdefault(day, set()).update(subjects)

    def is_due(self, at: float, *, everything: bool) -> bool:
        """Whether ``reads`` would give something, and it is time for it."""
        return bool(self._days) and (everything or at >= self._due)

    def reads(self, at: float, now: int) -> list[Read]:
        """What has to be read: a memory a day that knows these subjects only."""
        days, self._days = self._days, {}
        if days:
            self._due = at + _PAUSE
        reads = []
        for day, subjects in sorted(days.items()):
            memory = Memory(_limit(self._rule, subjects), day)
            until = (day + 1) * MINUTES_A_DAY + self._rule.after
            reads.append(Read(memory, memory.floor, until, now, day + 1))
        return reads


def _limit(rule: Rule, subjects: Set[str]) -> Rule:
    """The rule, blind to all other subjects."""
    limited = copy.copy(rule)

    def subject_of(event: Event) -> str | None:
        subject = rule.subject_of(event)
        return subject if subject in subjects else None

    limited.subject_of = subject_of  # type: ignore[method-assign]
    return limited

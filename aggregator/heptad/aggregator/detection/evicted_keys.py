"""Subjects of which something was forgotten among too many, and that have to be judged after all.

A login that succeeds is judged by the failures before it. In a flood these may be forgotten:
whoever can fail from enough addresses could hide the one that guesses the password. So the days
of what succeeds then are read again from the store of events, for these subjects alone.
"""

import copy
from collections.abc import Set
from typing import Final

from heptad.aggregator.detection.dispatch import ReadRequest
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.state import MINUTES_A_DAY, KeyedState
from heptad.core.event import Event

_PAUSE: Final = 60.0
"""Seconds between two readings: each goes through all events of a day."""


class Forgotten:
    """The subjects of one rule that are waiting, by day."""

    def __init__(self, rule: DetectionRule) -> None:
        self._rule = rule
        self._days: dict[int, set[str]] = {}
        self._due = 0.0

    @property
    def days(self) -> Set[int]:
        """The days that have to be read again."""
        return self._days.keys()

    def note(self, state: KeyedState) -> None:
        """Take over what is waiting there."""
        for day, keys in state.take_returned().items():
            self._days.setdefault(day, set()).update(keys)

    def is_due(self, at: float, *, everything: bool) -> bool:
        """Whether ``reads`` would give something, and it is time for it."""
        return bool(self._days) and (everything or at >= self._due)

    def reads(self, at: float, now: int) -> list[ReadRequest]:
        """What has to be read: a memory a day that knows these subjects only."""
        days, self._days = self._days, {}
        if days:
            self._due = at + _PAUSE
        requests = []
        for day, keys in sorted(days.items()):
            state = KeyedState(_limit(self._rule, keys), day)
            until = (day + 1) * MINUTES_A_DAY + self._rule.after
            requests.append(ReadRequest(state, state.floor, until, now, day + 1))
        return requests


def _limit(rule: DetectionRule, keys: Set[str]) -> DetectionRule:
    """The rule, blind to all other subjects."""
    limited = copy.copy(rule)

    def key_of(event: Event) -> str | None:
        key = rule.key_of(event)
        return key if key in keys else None

    limited.key_of = key_of  # type: ignore[method-assign]
    return limited

"""Reevaluates keys that were evicted from memory, if their later events need the earlier ones.

A successful login is evaluated by the failures before it. During a flood these may be evicted: an
attacker with enough addresses could hide the one that guesses the password. The days of such
successes are therefore read again from the store of events, for these keys only.
"""

import copy
from collections.abc import Set
from typing import Final

from heptad.aggregator.detection.dispatch import ReadRequest
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.state import MINUTES_A_DAY, KeyedState
from heptad.core.event import Event

_PAUSE: Final = 60.0
"""Seconds between two passes; each reads all events of a day."""


class Forgotten:
    """The evicted keys of one rule that wait for a pass, by day."""

    def __init__(self, rule: DetectionRule) -> None:
        self._rule = rule
        self._days: dict[int, set[str]] = {}
        self._due = 0.0

    @property
    def days(self) -> Set[int]:
        """The days that have to be read again."""
        return self._days.keys()

    def note(self, state: KeyedState) -> None:
        """Take the keys that ``state`` reports."""
        for day, keys in state.take_returned().items():
            self._days.setdefault(day, set()).update(keys)

    def is_due(self, at: float, *, everything: bool) -> bool:
        """Return whether keys are waiting and the next pass is due."""
        return bool(self._days) and (everything or at >= self._due)

    def reads(self, at: float, now: int) -> list[ReadRequest]:
        """Return the requests of a pass: for each day, a state that accepts only these keys."""
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
    """Return a copy of the rule that ignores all other keys."""
    limited = copy.copy(rule)

    def key_of(event: Event) -> str | None:
        key = rule.key_of(event)
        return key if key in keys else None

    limited.key_of = key_of  # type: ignore[method-assign]
    return limited

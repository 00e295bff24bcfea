"""Rule: a user logged in at an hour of the day that is unusual for them.

The statistic is the share of hours with a login of the user, within the look-back, that were at the
same hour of the day or the one before or after it (the day is a circle, UTC). It is estimated by
additive smoothing, with one added for each of the eight three-hour parts of a day (Laplace's rule
of succession; Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, 11.3.2),
so that what never happened is not impossible:

  p = (hours near + 1) / (hours + 8)

An hour with many logins counts once, so that a job does not outweigh a person. The adjacent hours
absorb changes to and from daylight saving time.
"""

from typing import ClassVar, Final

from heptad.aggregator.detection.facts import EventFilter, Facts, often, path_of
from heptad.aggregator.detection.new_terms import HistoryDetector, HistoryRule
from heptad.core.config.findings import BaselineConfig, UnusualHourConfig
from heptad.core.event import Event

_BLOCKS: Final = 8


class HoursDetector(HistoryDetector):
    """Tracks the hours with logins of one user."""

    def __init__(self, rule: "UnusualHour") -> None:
        super().__init__(rule)
        self._rule = rule
        self._hours: list[int] = []
        """The hours with a login, since the epoch, in order."""

    def copy(self) -> "HoursDetector":
        twin = HoursDetector(self._rule)
        twin._days = self._days.copy()
        twin._hours = self._hours.copy()
        twin._groups = self._groups.copy()
        return twin

    def add(self, minute: int, bucket: Facts) -> None:
        hour = minute // 60
        floor = -((self._rule.history.look_back - minute) // 60)
        if not self._hours or self._hours[-1] != hour:
            self._hours = [known for known in self._hours if known >= floor]
        if self._days.is_enough(minute) and self._is_unusual(hour, floor):
            self._groups.add(minute, bucket)
        if not self._hours or self._hours[-1] != hour:
            self._hours.append(hour)
        self._days.add(minute, bucket.count)

    def _is_unusual(self, hour: int, floor: int) -> bool:
        known = [before for before in self._hours if floor <= before < hour]
        near = sum((before - hour + 1) % 24 <= 2 for before in known)
        enough = len(known) >= self._rule.hours
        return enough and (near + 1) / (len(known) + _BLOCKS) < self._rule.probability


class UnusualHour(HistoryRule):
    name = "unusual_hour"
    title = "Login at an unusual hour"
    technique = "T1078"
    filter: ClassVar[EventFilter] = {"action": ("login",), "outcome": ("success",)}
    description = (
        "A user logged in at an hour of the day at which, by their history, a login is less "
        "likely than `probability`. The probability is the share of the hours with a login of "
        "the user that are within an hour of this one, with one added for each three hours of "
        "a day (additive smoothing, Laplace's rule of succession: Manning, Raghavan and "
        "Schütze, Introduction to Information Retrieval, 2008, 11.3.2); the day is a circle. "
        "Low. Users with logins in fewer than `hours` hours are not reported."
    )
    false_positives = (
        "A user who works late or travels, or a job that runs at another hour. An attacker who "
        "works in office hours is not detected."
    )

    def __init__(self, baseline: BaselineConfig, config: UnusualHourConfig) -> None:
        super().__init__(baseline)
        self.hours = config.hours
        self.probability = config.probability

    def key_of(self, event: Event) -> str | None:
        return event.user or None

    def detector(self) -> HoursDetector:
        return HoursDetector(self)

    def path_of(self, key: str, facts: Facts) -> str:
        return path_of(facts.hosts, facts.addresses, facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        return f"{often(facts, 'login')}, at an unusual hour of the day for this user"

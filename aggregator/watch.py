"""Findings on arrival: which minutes and days a rule has to look at, and what it then writes.

The usual case is an event of the last hour: its minute is read again and its subject judged from
memory. Everything else (an event that came later than that, a start, a rule that failed) makes a
whole day dirty, and the day is read again. Dirty days are committed with the progress, the
memory is not: it follows from the store of events.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from aggregator.arrivals import Span, merge_spans
from aggregator.finding import Revision
from aggregator.findings import Rule
from aggregator.ledger import Ledger
from aggregator.memory import MINUTES_A_DAY, Found, Memory
from heptad.store import Store

_PAUSE: Final = 60.0


class Watch:
    """One rule at work; raises whatever the rule raises, and then ``recover`` has to be called."""

    def __init__(self, rule: Rule, events: Store, reports: Store) -> None:
        self.name = rule.name
        self.key = f"findings/{rule.name}"
        self.size = 0
        self.dropped = 0
        self._rule = rule
        self._events = events
        self._reports = reports
        self._days = set(msgspec.json.decode(reports.recall(self.key) or b"[]", type=list[int]))
        self._spans: list[Span] = []
        self._memory: Memory | None = None
        self._ledger = Ledger(reports, rule.name)
        self._due = 0.0
        self._failed = False

    def state(self) -> bytes:
        """The days that still have to be read again, for the commit."""
        days = self._days | self._ledger.waiting_days()
        for since, until in self._spans:
            days |= self._days_of(since, until)
        return msgspec.json.encode(sorted(days))

    def touch(self, spans: Iterable[Span]) -> None:
        """Events arrived in these minutes."""
        self._spans = merge_spans([*self._spans, *spans])

    def redo(self, spans: Iterable[Span], since: int, until: int) -> None:
        """Read the days of the minutes [since, until) again; there are events in ``spans``."""
        days = self._days_of(since, until)
        for begin, end in spans:
            held = range(begin // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY + 1)
            self._days |= days.intersection(held)

    def has_work(self, at: float, *, everything: bool) -> bool:
        """Whether ``work`` would do something; ``at`` is a monotonic time in seconds."""
        due = everything or at >= self._due
        if self._failed and not due:
            return False
        days = bool(self._days) and due
        return bool(self._spans) or days or self._ledger.is_due(at, everything=everything)

    def work(self, at: float, now: int, end: int, *, everything: bool) -> list[Revision]:
        """The revisions to write.

        ``now`` is the newest minute that can be believed, ``end`` lies behind all events that
        have arrived.
        """
        found: Found = {}
        spans = self._take_spans()
        days = sorted(self._days) if everything or at >= self._due else []
        if days:
            self._read_days(days, now, found)
            self._due = at + _PAUSE
        if spans:
            self._read_live(spans, now, end, found)
        self._failed = False
        self._days -= set(days)
        self._spans = []
        revisions = []
        for subject, own in found.items():
            revisions += self._ledger.settle(subject, own, at)
        revisions += self._ledger.flush(at, everything=everything)
        if self._memory is not None:
            self.size = self._memory.size
            self._take_dropped(self._memory)
        return revisions

    def commit(self, at: float) -> None:
        """What ``work`` gave is in the store."""
        self._ledger.forget(at)

    def recover(self, at: float) -> None:
        """After a failure: forget what may be half done, and read its days again later."""
        self._days = set(msgspec.json.decode(self.state(), type=list[int]))
        self._spans = []
        self._failed = True
        self._memory = None
        self._ledger = Ledger(self._reports, self.name)
        self._due = at + _PAUSE

    def _take_spans(self) -> list[Span]:
        """The spans that the memory can take; what lies further back makes its days dirty."""
        floor = self._memory.floor if self._memory is not None else None
        spans = []
        for since, until in self._spans:
            if floor is not None and since < floor:
                self._days |= self._days_of(since, min(until, floor))
            if floor is None or until > floor:
                spans.append((since if floor is None else max(since, floor), until))
        return spans

    def _read_live(self, spans: list[Span], now: int, end: int, found: Found) -> None:
        memory = self._memory
        if memory is None:
            # it is empty: everything from the first day on has to be read, not just what is new
            first = min(self._days_of(spans[0][0], spans[0][0] + 1))
            memory = self._memory = Memory(self._rule, first)
            spans = [(memory.floor, max(end, spans[-1][1]))]
        for since, until in spans:
            _update(found, memory.read(self._events, since, until, now))

    def _read_days(self, days: list[int], now: int, found: Found) -> None:
        """Read whole days; those that the memory holds are read live again."""
        if self._memory is not None and days[-1] >= self._memory.day:
            self._memory = None
        reach = self._rule.reach
        for first, end in merge_spans([(day, day + 1) for day in days]):
            memory = Memory(self._rule, first)
            read = memory.read(self._events, memory.floor, end * MINUTES_A_DAY + reach, now)
            self._take_dropped(memory)
            for subject in read:
                read[subject] = {day: f for day, f in read[subject].items() if day < end}
            _update(found, read)

    def _take_dropped(self, memory: Memory) -> None:
        self.dropped += memory.dropped
        memory.dropped = 0

    def _days_of(self, since: int, until: int) -> set[int]:
        """The UTC days whose findings may depend on the minutes [since, until)."""
        reach = self._rule.reach
        first, last = (since - reach) // MINUTES_A_DAY, (until - 1 + reach) // MINUTES_A_DAY
        return set(range(first, last + 1))


def _update(found: Found, more: Found) -> None:
    for subject, days in more.items():
        found.setdefault(subject, {}).update(days)

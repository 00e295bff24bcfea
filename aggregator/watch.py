"""Findings on arrival: which minutes and days a rule has to look at, and what it then writes.

The usual case is an event of the last hour: its minute is read again and its subject judged from
memory. Everything else (an event that came later than that, a start, a rule that failed) makes a
whole day dirty, and the day is read again. Dirty days are committed with the progress, the
memory is not: it follows from the store of events.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from aggregator.feed import Read
from aggregator.finding import Finding, Revision
from aggregator.findings import Rule
from aggregator.ledger import Ledger
from aggregator.memory import MINUTES_A_DAY, Memory
from heptad.spans import Span, merge_spans
from heptad.store import Store

_PAUSE: Final = 60.0


class Watch:
    """One rule at work; raises whatever the rule raises, and then ``recover`` has to be called."""

    def __init__(self, rule: Rule, events: Store, reports: Store, history: int = 0) -> None:
        self.name = rule.name
        self.key = f"findings/{rule.name}"
        self.size = 0
        self.dropped = 0
        self._rule = rule
        self._events = events
        self._reports = reports
        self._days = set(msgspec.json.decode(reports.recall(self.key) or b"[]", type=list[int]))
        self._spans: list[Span] = []
        self._taken: list[int] = []
        self._reads: list[Read] = []
        self._memory: Memory | None = None
        self._history = history
        self._ledger = Ledger(reports, events, rule.name, history)
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

    def reads(self, at: float, now: int, end: int, *, everything: bool) -> list[Read]:
        """What has to be read before ``work``.

        ``now`` is the newest minute that can be believed, ``end`` lies behind all events that
        have arrived.
        """
        spans = self._take_spans()
        self._taken = sorted(self._days) if everything or at >= self._due else []
        self._reads = []
        if self._taken:
            self._reads += self._read_days(self._taken, now)
            self._due = at + _PAUSE
        if spans:
            self._reads += self._read_live(spans, now, end)
        return self._reads

    def work(self, at: float, *, everything: bool) -> list[Revision]:
        """The revisions to write, from what was read."""
        for read in self._reads:
            if read.error is not None:
                raise read.error
        self._failed = False
        self._days -= set(self._taken)
        self._spans = []
        revisions = []
        for subject, (own, whole) in self._take_found().items():
            revisions += self._ledger.settle(subject, own, at, whole=whole)
        revisions += self._ledger.flush(at, everything=everything)
        if self._memory is not None:
            self.size = self._memory.size
        return revisions

    def _take_found(self) -> dict[str, tuple[dict[int, Sequence[Finding]], bool]]:
        """What was found of each subject, and whether nothing was forgotten meanwhile."""
        found: dict[str, tuple[dict[int, Sequence[Finding]], bool]] = {}
        for read in self._reads:
            self.dropped += read.memory.dropped
            read.memory.dropped = 0
            end = read.end
            for subject, days in read.found.items():
                own = days if end is None else {day: f for day, f in days.items() if day < end}
                known, whole = found.get(subject, ({}, True))
                found[subject] = (known | own if known else own, whole and read.memory.whole)
        self._reads = []
        return found

    def commit(self, at: float) -> None:
        """What ``work`` gave is in the store."""
        self._ledger.forget(at)

    def recover(self, at: float) -> None:
        """After a failure: forget what may be half done, and read its days again later."""
        self._days = set(msgspec.json.decode(self.state(), type=list[int]))
        self._spans = []
        self._reads = []
        self._failed = True
        self._memory = None
        self._ledger = Ledger(self._reports, self._events, self.name, self._history)
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

    def _read_live(self, spans: list[Span], now: int, end: int) -> list[Read]:
        memory = self._memory
        if memory is None:
            # it is empty: everything from the first day on has to be read, not just what is new
            first = min(self._days_of(spans[0][0], spans[0][0] + 1))
            memory = self._memory = Memory(self._rule, first)
            spans = [(memory.floor, max(end, spans[-1][1]))]
        return [Read(memory, since, until, now) for since, until in spans]

    def _read_days(self, days: list[int], now: int) -> list[Read]:
        """Read whole days; those that the memory holds are read live again."""
        if self._memory is not None and days[-1] >= self._memory.day:
            self._memory = None
        reads = []
        for first, end in merge_spans([(day, day + 1) for day in days]):
            memory = Memory(self._rule, first)
            until = end * MINUTES_A_DAY + self._rule.after
            reads.append(Read(memory, memory.floor, until, now, end))
        return reads

    def _days_of(self, since: int, until: int) -> set[int]:
        """The UTC days whose findings may depend on the minutes [since, until)."""
        first = (since - self._rule.after) // MINUTES_A_DAY
        last = (until - 1 + self._rule.before) // MINUTES_A_DAY
        return set(range(first, last + 1))

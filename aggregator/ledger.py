"""What of a rule's findings is written already, and what has to be written now."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from itertools import islice, takewhile
from typing import Final

import msgspec

from aggregator.finding import DAY, Finding, Key, Revision, last_revisions
from heptad.line_protocol import decode_head
from heptad.store import Store

_PAUSE: Final = 10.0
_MOST_DAYS: Final = 8


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What has to be known of a revision that is written, without all its names and events."""

    first: int
    last: int
    day: int
    count: int
    rank: int
    number: int
    stands: bool
    digest: int

    def overlaps(self, finding: Finding) -> bool:
        """Whether the two share time."""
        return self.first <= finding.last and finding.first <= self.last


def _entry(revision: Revision) -> Entry:
    finding = revision.finding
    return Entry(
        finding.first,
        finding.last,
        finding.day,
        finding.count,
        finding.rank,
        revision.number,
        revision.stands,
        _digest(finding),
    )


def _digest(finding: Finding) -> int:
    """Differs, as good as always, where findings differ; good within this process."""
    return hash(msgspec.json.encode(finding))


Known = dict[str, dict[Key, Entry]]


class Ledger:
    """The revisions of one rule's findings in ``store``.

    A finding that only grew is written again at most every ten seconds; what waits is told by
    ``waiting_days``, so that it can be found again after a kill. If what is found now rests on
    fewer events than what is written, and some of those that are written are no longer in
    ``events``, then they were pruned or their store was begun anew, and what is written stays.
    """

    def __init__(self, store: Store, events: Store, rule: str) -> None:
        self._store = store
        self._events = events
        self._rule = rule
        self._days: dict[int, Known] = {}
        self._waiting: dict[Key, Finding] = {}
        self._written: dict[Key, float] = {}

    def waiting_days(self) -> set[int]:
        """The days of findings that changed and are not written yet."""
        return {finding.day for finding in self._waiting.values()}

    def forget(self, at: float) -> None:
        """Everything is committed: what lies further back is read again when it is asked for."""
        self._written = {k: t for k, t in self._written.items() if at - t < _PAUSE}
        needed = {finding.first // DAY for finding in self._waiting.values()}
        for day in sorted(self._days.keys() - needed)[:-_MOST_DAYS]:
            del self._days[day]

    def settle(
        self, subject: str, found: dict[int, Sequence[Finding]], at: float, *, whole: bool = True
    ) -> list[Revision]:
        """The revisions to write, given everything that was found of a subject on some days.

        ``at`` is a monotonic time in seconds; ``whole``: nothing of the subject was forgotten.
        """
        known = self._known(subject, found)
        new = {finding.key: finding for findings in found.values() for finding in findings}
        if not (known or new):
            return []
        ordered = sorted(new.values(), key=lambda finding: finding.first)
        standing = {key: entry for key, entry in known.items() if entry.stands}
        gone: list[Finding] = []
        for key, entry in standing.items():
            if key not in new and entry.day not in found:
                continue
            successors = [f for f in _overlapping(ordered, entry) if f.key in new]
            fewer = sum(finding.count for finding in successors) < entry.count
            if not fewer and key in new:
                continue
            old = self._read(key) if whole else None
            if old is None or not self._is_stored(old):
                for finding in successors if fewer else ():
                    del new[finding.key]
            elif key not in new:
                gone.append(old)
        revisions = []
        for old in gone:
            by = [f.first for f in _overlapping(ordered, known[old.key]) if f.key in new]
            self._waiting.pop(old.key, None)
            number = known[old.key].number + 1
            revisions.append(Revision(old, number, min(by, default=None), withdrawn=not by))
        for finding in new.values():
            revisions += self._grow(finding, known.get(finding.key), at)
        return self._note(revisions, at)

    def _read(self, key: Key) -> Finding:
        """A finding as it was written last."""
        _, _, first = key
        return last_revisions(self._store, first, first + 1, self._rule)[key].finding

    def _is_stored(self, finding: Finding) -> bool:
        """Whether the events that show the finding are still there."""
        for text in {finding.first_event, finding.last_event, *finding.evidence}:
            head, _, time = text.rpartition(" ")
            measurement, tags = decode_head(head)
            if not any(self._events.read(measurement, int(time), int(time) + 1, tags)):
                return False
        return True

    def _grow(self, finding: Finding, last: Entry | None, at: float) -> list[Revision]:
        self._waiting.pop(finding.key, None)
        if last is None:
            return [Revision(finding, 0, rises=True)]
        rises = finding.rank > last.rank
        if last.stands:
            if last.digest == _digest(finding):
                return []
            recent = at - self._written.get(finding.key, -_PAUSE) < _PAUSE
            if recent and not rises:
                self._waiting[finding.key] = finding
                return []
        return [Revision(finding, last.number + 1, rises=rises)]

    def is_due(self, at: float, *, everything: bool) -> bool:
        """Whether ``flush`` would give something."""
        return bool(self._due(at, everything=everything))

    def _due(self, at: float, *, everything: bool) -> list[Finding]:
        return [
            finding
            for key, finding in self._waiting.items()
            if everything or at - self._written.get(key, -_PAUSE) >= _PAUSE
        ]

    def flush(self, at: float, *, everything: bool) -> list[Revision]:
        """The revisions that have waited long enough, or all that wait."""
        revisions = []
        for finding in self._due(at, everything=everything):
            del self._waiting[finding.key]
            last = self._day(finding.first // DAY)[finding.subject][finding.key]
            revisions.append(Revision(finding, last.number + 1))
        return self._note(revisions, at)

    def _note(self, revisions: list[Revision], at: float) -> list[Revision]:
        for revision in revisions:
            finding = revision.finding
            own = self._day(finding.first // DAY).setdefault(finding.subject, {})
            own[finding.key] = _entry(revision)
            self._written[finding.key] = at
        return revisions

    def _known(self, subject: str, days: Collection[int]) -> dict[Key, Entry]:
        """What is written of a subject's findings of some days; they may begin the day before."""
        known: dict[Key, Entry] = {}
        for day in sorted({*days, *[day - 1 for day in days]}):
            own = self._day(day).get(subject)
            if own:
                known |= own
        return known

    def _day(self, day: int) -> Known:
        """The findings that begin on a day."""
        if day in self._days:
            return self._days[day]
        known = self._days[day] = {}
        begin = day * DAY
        for key, revision in last_revisions(self._store, begin, begin + DAY, self._rule).items():
            known.setdefault(revision.finding.subject, {})[key] = _entry(revision)
        return known


def _overlapping(ordered: list[Finding], old: Entry) -> Iterator[Finding]:
    """Those that share time with ``old``; one subject's findings share none with each other."""
    at = bisect_left(ordered, old.first, key=lambda finding: finding.last)
    return takewhile(old.overlaps, islice(ordered, at, None))

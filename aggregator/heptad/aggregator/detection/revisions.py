"""Compares findings with the stored revisions, and decides which new revisions to write."""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import Final

import msgspec

from heptad.aggregator.detection.finding import (
    DAY,
    Finding,
    FindingKey,
    Revision,
    last_revisions,
    parse_identity,
)
from heptad.aggregator.detection.flood import JOINED, Joint
from heptad.core.store.api import EventStore

_NONE: Final[Mapping[int, int]] = {}
_PAUSE: Final = 10.0
_LONGEST_PAUSE: Final = 3600.0
_MOST_DAYS: Final = 8


class WrittenRevision(msgspec.Struct, frozen=True, gc=False):
    """What must be known of a stored revision, without its names and events."""

    first: int
    last: int
    day: int
    count: int
    rank: int
    number: int
    is_current: bool
    is_open: bool
    digest: int

    def overlaps(self, finding: Finding) -> bool:
        """Return whether the two overlap in time."""
        return self.first <= finding.last and finding.first <= self.last


def _entry(revision: Revision) -> WrittenRevision:
    finding = revision.finding
    return WrittenRevision(
        finding.first,
        finding.last,
        finding.day,
        finding.count,
        finding.rank,
        revision.number,
        revision.is_current,
        bool(finding.overdue),
        _digest(finding),
    )


def _digest(finding: Finding) -> int:
    """Return a hash that differs if findings differ; valid only within this process."""
    return hash(msgspec.json.encode(finding.content))


def _pause_after(number: int) -> float:
    """Return how many seconds a finding that only grew waits after this many revisions."""
    return float(min(_PAUSE * 2 ** min(number, 20), _LONGEST_PAUSE))


WrittenByKey = dict[str, dict[FindingKey, WrittenRevision]]
FindingsByDay = dict[int, Sequence[Finding]]
"""UTC day → all findings of a key on that day."""


class PendingFindings(msgspec.Struct, frozen=True):
    """Findings of a key that are not written yet."""

    findings: FindingsByDay
    whole: bool
    joined: Mapping[int, int]


class Revisions:
    """The revisions of one rule's findings in ``store``.

    The write rate per key is bounded. Findings that are new, more severe, or continue after
    ``history`` (ns) for the first time are written at once. Others are written at most every ten
    seconds, when their number of events has doubled or after a pause that doubles with each
    revision. ``waiting_days`` returns the days of unwritten findings, so that they can be
    recomputed after a kill. If a new result has fewer events than a stored finding, and some of the
    stored finding's events are no longer in ``events``, they were pruned or their store was
    replaced, and the stored finding is kept.
    """

    def __init__(self, store: EventStore, events: EventStore, rule: str, history: int = 0) -> None:
        self._store = store
        self._events = events
        self._rule = rule
        self._history = history
        self._days: dict[int, WrittenByKey] = {}
        self._waiting: dict[str, PendingFindings] = {}
        self._written: dict[str, tuple[float, int]] = {}
        """Key → time of the last write, and number of recent writes."""

    def waiting_days(self) -> set[int]:
        """Return the days of keys with changes that are not written yet."""
        return {day for held in self._waiting.values() for day in held.findings}

    def forget(self, at: float) -> None:
        """Drop cached days after a commit; they are read again when needed."""
        self._written = {
            key: (time, number)
            for key, (time, number) in self._written.items()
            if at - time < 2 * _LONGEST_PAUSE
        }
        needed = self.waiting_days()
        for day in sorted(self._days.keys() - needed)[:-_MOST_DAYS]:
            del self._days[day]

    def reconcile(
        self,
        key: str,
        found: FindingsByDay,
        at: float,
        *,
        whole: bool = True,
        joined: Mapping[int, int] = _NONE,
    ) -> list[Revision]:
        """Return the revisions to write now, given all findings of a key on some days.

        ``at`` is a monotonic time in seconds; ``whole``: nothing of the key was evicted.
        ``joined``: UTC day → first event of the joined finding that represents what is not reported
        separately.
        """
        held = self._waiting.pop(key, None)
        if held is not None:
            found, whole, joined = (
                held.findings | found,
                whole and held.whole,
                joined or held.joined,
            )
        revisions = self._compare(key, PendingFindings(found, whole, joined))
        if self._may_wait(key, revisions, at):
            self._waiting[key] = PendingFindings(found, whole, joined)
            return []
        return self._note(key, revisions, at)

    def _compare(self, key: str, held: PendingFindings) -> list[Revision]:
        """Return the revisions for what differs from the stored findings."""
        known = self._known(key, held.findings)
        new = {finding.key: finding for findings in held.findings.values() for finding in findings}
        if not (known or new):
            return []
        ordered = sorted(new.values(), key=lambda finding: finding.first)
        gone = self._find_gone(known, new, ordered, held)
        revisions = []
        for old in gone:
            by = [f.first for f in _overlapping(ordered, known[old.key]) if f.key in new]
            if old.day in held.joined:
                by = [held.joined[old.day]]
            number = known[old.key].number + 1
            revisions.append(Revision(old, number, min(by, default=None), withdrawn=not by))
        replaced = [known[old.key] for old in gone]
        for finding in new.values():
            before = [entry for entry in replaced if entry.overlaps(finding)]
            revisions += self._grow(finding, known.get(finding.key), before)
        return revisions

    def _find_gone(
        self,
        known: Mapping[FindingKey, WrittenRevision],
        new: dict[FindingKey, Finding],
        ordered: list[Finding],
        held: PendingFindings,
    ) -> list[Finding]:
        """Return current findings that no longer exist; drop from ``new`` what was only pruned."""
        gone: list[Finding] = []
        for finding_key, entry in known.items():
            if not entry.is_current or (finding_key not in new and entry.day not in held.findings):
                continue
            if finding_key not in new and entry.day in held.joined:
                if (known_now := self._read(finding_key)) is not None:
                    gone.append(known_now)
                continue
            successors = [f for f in _overlapping(ordered, entry) if f.key in new]
            fewer = sum(finding.count for finding in successors) < entry.count
            if not fewer and finding_key in new:
                continue
            old = self._read(finding_key) if held.whole else None
            if old is None or not self._is_stored(old):
                for finding in successors if fewer else ():
                    del new[finding.key]
            elif finding_key not in new:
                gone.append(old)
        return gone

    def _read(self, finding_key: FindingKey) -> Finding | None:
        """Return the last stored revision of a finding; None if its row is missing or invalid."""
        _, _, first = finding_key
        known = last_revisions(self._store, first, first + 1, self._rule).get(finding_key)
        return None if known is None else known.finding

    def _is_stored(self, finding: Finding) -> bool:
        """Return whether the events that the finding refers to are still stored."""
        shown = {*map(parse_identity, (finding.first_event, finding.last_event)), *finding.evidence}
        return sum(1 for _ in self._events.pick(shown)) == len(shown)

    def _grow(
        self, finding: Finding, last: WrittenRevision | None, replaced: list[WrittenRevision]
    ) -> list[Revision]:
        """Return the next revision of a finding if it changed; it replaces ``replaced``."""
        if last is None and not replaced:
            return [Revision(finding, 0, rises=True, ends=not finding.overdue)]
        if last is not None and last.is_current and last.digest == _digest(finding):
            return []
        before = replaced if last is None else [last, *replaced]
        severer = finding.rank > max(entry.rank for entry in before)
        goes_live = max(entry.last for entry in before) < self._history <= finding.last
        return [
            Revision(
                finding,
                0 if last is None else last.number + 1,
                rises=severer or goes_live,
                ends=not finding.overdue and all(entry.is_open for entry in before),
                doubles=finding.count >= 2 * max(entry.count for entry in before),
            )
        ]

    def keys(self, day: int) -> set[str]:
        """Return the keys with a current finding on this UTC day."""
        return {
            key
            for begin in (day - 1, day)
            for key, known in self._day(begin).items()
            if any(entry.is_current and entry.day == day for entry in known.values())
        }

    def first_joined(self, day: int) -> int | None:
        """Return the first event of the joined finding of this UTC day."""
        known = self._known(JOINED, [day]).values()
        return next((e.first for e in known if e.is_current and e.day == day), None)

    def is_to_join(self, joint: Joint, at: float, *, everything: bool) -> bool:
        """Return whether the joined finding of a day has to be computed now."""
        known = self._known(JOINED, [joint.day]).values()
        written = [entry for entry in known if entry.is_current and entry.day == joint.day]
        if everything or not written:
            return True
        (last,) = written[-1:]
        if joint.rank > last.rank or last.last < self._history <= joint.last:
            return True
        time, number = self._written.get(JOINED, (-math.inf, 0))
        doubled = joint.count >= 2 * last.count and at - time >= _PAUSE
        return doubled or at - time >= _pause_after(number)

    def _may_wait(self, key: str, revisions: list[Revision], at: float) -> bool:
        if not revisions or any(revision.rises or revision.ends for revision in revisions):
            return False
        written = self._written.get(key)
        if written is None or at - written[0] >= _pause_after(written[1]):
            return False
        return at - written[0] < _PAUSE or not any(revision.doubles for revision in revisions)

    def is_due(self, at: float, *, everything: bool) -> bool:
        """Return whether ``flush`` would return revisions."""
        return bool(self._due(at, everything=everything))

    def _due(self, at: float, *, everything: bool) -> list[str]:
        due = []
        for key in self._waiting:
            time, number = self._written.get(key, (-math.inf, 0))
            if everything or at - time >= _pause_after(number):
                due.append(key)
        return due

    def flush(self, at: float, *, everything: bool) -> list[Revision]:
        """Return the revisions that have waited long enough, or all that wait."""
        revisions = []
        for key in self._due(at, everything=everything):
            held = self._waiting.pop(key)
            revisions += self._note(key, self._compare(key, held), at)
        return revisions

    def _note(self, key: str, revisions: list[Revision], at: float) -> list[Revision]:
        for revision in revisions:
            finding = revision.finding
            own = self._day(finding.first // DAY).setdefault(finding.subject, {})
            own[finding.key] = _entry(revision)
        if revisions:
            number = self._written[key][1] + 1 if key in self._written else 0
            self._written[key] = (at, number)
        return revisions

    def _known(self, key: str, days: Collection[int]) -> dict[FindingKey, WrittenRevision]:
        """Return the stored findings of a key on some days; they may start the day before."""
        known: dict[FindingKey, WrittenRevision] = {}
        for day in sorted({*days, *[day - 1 for day in days]}):
            own = self._day(day).get(key)
            if own:
                known |= own
        return known

    def _day(self, day: int) -> WrittenByKey:
        """Return the stored findings that start on a day, by key."""
        if day in self._days:
            return self._days[day]
        known = self._days[day] = {}
        begin = day * DAY
        for finding_key, revision in last_revisions(
            self._store, begin, begin + DAY, self._rule
        ).items():
            known.setdefault(revision.finding.subject, {})[finding_key] = _entry(revision)
        return known


def _overlapping(ordered: list[Finding], old: WrittenRevision) -> Iterator[Finding]:
    """Yield the findings that overlap ``old``; findings of one key do not overlap each other."""
    at = bisect_left(ordered, old.first, key=lambda finding: finding.last)
    return takewhile(old.overlaps, islice(ordered, at, None))

"""The in-memory state of a rule: a cache of what can be computed from the store of events.

For each key, the buckets of the last hour are held, which may still change, and one detector that
has processed all earlier ones. Memory does not grow with the length of an attack, and the cost of
an event does not depend on the size of the store. An event that is older is not processed here: its
day is read again (``heptad.aggregator.detection.runner``).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import takewhile
from typing import Any, Final

import msgspec

from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.flood import Crowd, Joint, join_findings
from heptad.aggregator.detection.rules import DetectionRule, Detector
from heptad.aggregator.progress import OPEN_MINUTES

_APART: Final = 10
"""While many minutes are read, detectors take this many at once."""
MOST_BUCKETS: Final = 60_000
"""Maximum number of buckets held of past minutes, and of the minute that is being read."""
MINUTES_A_DAY: Final = 1440
_NEVER: Final = -(2**63)

DayFindings = dict[int, Sequence[Finding]]
"""UTC day → all findings of that day, possibly none."""
FindingsByKey = dict[str, DayFindings]
"""Key → its findings; read-only, because keys may share a value."""


class _Shared(DayFindings):
    """Days without findings, shared by all keys for which this is the case; must not be changed."""


def _part(days: DayFindings, end: int) -> tuple[DayFindings, DayFindings]:
    """Split findings into those of days before ``end`` and the others."""
    own = type(days)
    before = own({day: found for day, found in days.items() if day < end})
    return before, own({day: found for day, found in days.items() if day >= end})


class KeyedState:
    """The state of all keys of ``rule``, from ``day`` (since the epoch) on."""

    def __init__(self, rule: DetectionRule, day: int) -> None:
        self.day = day
        self.floor = day * MINUTES_A_DAY - rule.before
        self.dropped = 0
        self.whole = True
        """Whether nothing was ever dropped."""
        self.size = 0
        """The number of buckets held; a detector counts as one."""
        self.rule = rule
        self._buckets: dict[int, Mapping[str, Any]] = {}
        """Minute → key → bucket; other states may hold the same bucket."""
        self._detectors: dict[str, Detector] = {}
        self._touched: set[str] = set()
        self._crowds: dict[int, Crowd] = {}
        self._levels: dict[int, tuple[int, frozenset[int]]] = {}
        """Day → level and quiet hosts at the last evaluation; see Crowd."""
        self._joints: dict[int, Joint] = {}
        self._newest = self.floor
        self._forgotten = _NEVER
        """Events up to this minute may have been evicted."""
        self._returned: dict[int, set[str]] = {}
        self.begin(self.floor)

    def begin(self, now: int) -> None:
        """Start a pass over events in order of time; known minutes are passed as a whole.

        ``now`` is the newest plausible minute: a clock that is ahead must not close the minutes
        before it.
        """
        self._now = now
        self._found: FindingsByKey = {}
        self._minute: int | None = None

    def take(self, minute: int, buckets: Mapping[str, Any], dropped: int) -> None:
        """Add the buckets of a minute; ``dropped`` is the number of events that did not fit."""
        if self._minute is not None:
            self._turn(self._minute, minute)
        self._minute = minute
        if dropped:
            self._forgotten = minute
        self._assign(minute, buckets)
        self.dropped += dropped
        self.whole = self.whole and not dropped

    def finish(self, until: int) -> FindingsByKey:
        """Return the findings of all keys with events before minute ``until`` in this pass.

        For days with too many findings, only those reported separately; see ``take_joints``.
        """
        self._advance(min(until, self._now) - OPEN_MINUTES)
        self._collect()
        for day in range(self.day, self._newest // MINUTES_A_DAY + 1):
            self._join(day)
        found, self._found = self._found, {}
        return found

    def take_finished(self) -> FindingsByKey:
        """Return the findings of days that cannot change any more; each is returned once."""
        finished: FindingsByKey = {}
        left: FindingsByKey = {}
        parted: dict[int, tuple[DayFindings, DayFindings]] = {}
        for key, days in self._found.items():
            halves = parted.get(id(days))
            if halves is None:
                halves = parted[id(days)] = _part(days, self.day)
            for half, found in zip(halves, (finished, left), strict=True):
                if half:
                    found[key] = half
        self._found = left
        return finished

    def take_returned(self) -> dict[int, set[str]]:
        """Return day → keys whose earlier events matter and may have been evicted."""
        returned, self._returned = self._returned, {}
        return returned

    def take_joints(self) -> dict[int, Joint]:
        """Return how the findings of each changed day are reported."""
        joints, self._joints = self._joints, {}
        return joints

    def _join(self, day: int) -> None:
        """Update how the day's findings are reported; evaluate those that become visible again."""
        crowd = self._crowds.get(day)
        if crowd is None:
            return
        level, quiet = crowd.level, crowd.quiet
        before = self._levels.get(day, (level, quiet))
        if level < before[0] or (level and quiet - before[1]):
            self._judge(crowd.keys(level))
        self._levels[day] = (level, quiet)
        for days in self._found.values() if level else ():
            if days.get(day):
                days[day] = [finding for finding in days[day] if crowd.tells(finding, level)]
        told = crowd.keys(level) if level else frozenset()
        rank = crowd.rank if level else 0
        self._joints[day] = Joint(
            day,
            level,
            told,
            crowd.count,
            rank,
            crowd.last,
            lambda: self._join_all(day, rank),
            self.whole,
        )

    def _join_all(self, day: int, rank: int) -> Finding:
        keys = self._crowds[day].keys(0)
        held = self._buckets_of(keys)
        findings = (
            finding
            for key in keys
            for finding in self._find(key, held.get(key, ()))
            if finding.day == day
        )
        joined = join_findings(self.rule, day, rank, findings)
        return joined if self.whole else self._crowds[day].complete(joined, self.rule.noun)

    def _turn(self, minute: int, following: int) -> None:
        """Move on to the ``following`` minute; keep only what may still change."""
        if following // MINUTES_A_DAY != minute // MINUTES_A_DAY:
            self._collect()
        floor = min(following, self._now) - OPEN_MINUTES
        if floor - self.floor >= _APART:
            self._advance(floor)

    def _assign(self, minute: int, buckets: Mapping[str, Any]) -> None:
        known = self._buckets.get(minute)
        if known is not None:
            self.size -= len(known)
            buckets = {**known, **buckets}
        self._buckets[minute] = buckets
        self.size += len(buckets)
        self._newest = max(self._newest, minute)
        self._touched.update(buckets)
        if minute - self.rule.before <= self._forgotten:
            self._note_returned(minute, buckets)
        if self.size > MOST_BUCKETS:
            self._shrink()

    def _note_returned(self, minute: int, buckets: Mapping[str, Any]) -> None:
        needs_past = self.rule.needs_past
        returned = [key for key, bucket in buckets.items() if needs_past(bucket)]
        if returned:
            known = self._returned.setdefault(minute // MINUTES_A_DAY, set())
            known.update(returned[: self.rule.most - len(known)])

    def _advance(self, floor: int) -> None:
        """Let detectors process the minutes before ``floor``; hourly, drop the idle ones."""
        if floor <= self.floor:
            return
        detectors = self._detectors
        for minute in sorted(minute for minute in self._buckets if minute < floor):
            buckets = self._buckets.pop(minute)
            for key, bucket in buckets.items():
                detector = detectors.get(key)
                if detector is None:
                    detector = detectors[key] = self.rule.detector()
                    self.size += 1
                detector.add(minute, bucket)
            self.size -= len(buckets)
        if floor // OPEN_MINUTES != self.floor // OPEN_MINUTES:
            busy = {
                s: detector
                for s, detector in self._detectors.items()
                if not detector.is_expired(floor)
            }
            self.size -= len(self._detectors) - len(busy)
            self._detectors = busy
        self.floor = floor

    def _shrink(self) -> None:
        """Evict the least recently active keys, a third at once because eviction is expensive."""
        held = Counter(self._detectors.keys())
        last = dict.fromkeys(self._detectors, 0)
        for minute, buckets in sorted(self._buckets.items()):
            held.update(buckets.keys())
            last |= dict.fromkeys(buckets, minute)
        lost, size, quiet = set(), self.size, 0
        for key in sorted(last, key=last.__getitem__):
            if size <= MOST_BUCKETS * 2 // 3:
                break
            lost.add(key)
            quiet = last[key]
            size -= held[key]
        self._forgotten = max(self._forgotten, quiet, self.floor)
        self._judge(lost & self._touched)
        self._touched -= lost
        self.dropped += self.size - size
        self.size = size
        self._detectors = {s: detector for s, detector in self._detectors.items() if s not in lost}
        for minute, buckets in self._buckets.items():
            if minute <= quiet:
                self._buckets[minute] = {
                    s: bucket for s, bucket in buckets.items() if s not in lost
                }
        self.whole = self.whole and not lost

    def _collect(self) -> None:
        """Evaluate the keys that were touched, then drop the finished days."""
        self._judge(self._touched)
        self._touched.clear()
        day = (self.floor - self.rule.after) // MINUTES_A_DAY
        if day > self.day:
            for past in range(self.day, day):
                self._close(past)
            self.day = day
            for detector in self._detectors.values():
                detector.forget(day)

    def _close(self, day: int) -> None:
        """Finish a day: its findings cannot change any more."""
        self._join(day)
        joint = self._joints.get(day)
        if joint is not None and joint.level:
            joined = joint.join()
            self._joints[day] = msgspec.structs.replace(joint, join=lambda: joined, is_over=True)
        self._crowds.pop(day, None)
        self._levels.pop(day, None)

    def _buckets_of(self, keys: Set[str]) -> dict[str, list[tuple[int, Any]]]:
        """Return the buckets of these keys that no detector has processed yet, in order of time."""
        held: dict[str, list[tuple[int, Any]]] = {}
        for minute, buckets in sorted(self._buckets.items()):
            # iterate over the smaller one
            few, many = (buckets, keys) if len(buckets) < len(keys) else (keys, buckets)
            for key in [key for key in few if key in many]:
                held.setdefault(key, []).append((minute, buckets[key]))
        return held

    def _judge(self, keys: Set[str]) -> None:
        """Evaluate the keys for the unfinished days, and replace their previous findings."""
        held = self._buckets_of(keys)
        unfinished = range(self.day, self._newest // MINUTES_A_DAY + 1)
        nothing = _Shared(dict.fromkeys(unfinished, ()))
        for key in keys:
            new: dict[int, list[Finding]] = {}
            for finding in self._find(key, held.get(key, ())):
                if finding.day >= self.day:
                    new.setdefault(finding.day, []).append(finding)
            for day in unfinished:
                self._note(day, key, new)
            days = self._found.get(key)
            # they are in order, so only the last ones need to be checked, however many there are
            if days is None or next(iter(days), self.day) >= self.day:
                self._found[key] = nothing | new if new else nothing
                continue
            if isinstance(days, _Shared):
                days = self._found[key] = dict(days)
            for day in list(takewhile(lambda day: day >= self.day, reversed(days))):
                del days[day]
            days |= nothing | new

    def _note(self, day: int, key: str, new: dict[int, list[Finding]]) -> None:
        """Count the key's findings of the day; of very many, keep those that may be reported."""
        crowd = self._crowds.get(day)
        if crowd is None:
            if day not in new:
                return
            crowd = self._crowds[day] = Crowd(self.rule.most)
        crowd.note(key, new.get(day, ()))
        if day in new and (level := crowd.level):
            new[day] = [finding for finding in new[day] if crowd.tells(finding, level)]

    def _find(self, key: str, buckets: Sequence[tuple[int, Any]]) -> Iterator[Finding]:
        """Return the findings of a key, including the buckets that may still change."""
        detector = self._detectors.get(key)
        if buckets:
            detector = self.rule.detector() if detector is None else detector.copy()
            for minute, bucket in buckets:
                detector.add(minute, bucket)
        return iter(()) if detector is None else detector.findings(key)

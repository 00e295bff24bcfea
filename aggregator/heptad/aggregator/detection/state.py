"""What a rule's findings are made of, held in memory: a cache of what the store of events says.

Each subject has its cells of the last hour, which may still change, and one chain that has taken
up everything before. So the memory does not grow with the length of an attack, and an event
costs the same whatever the store holds. An event that lies further back is not looked for here:
its day is read again (``heptad.aggregator.detection.runner``).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import takewhile
from typing import Any, Final

import msgspec

from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.flood import Crowd, Joint, join_findings
from heptad.aggregator.detection.rules import Chain, Rule
from heptad.aggregator.progress import KEEP

_APART: Final = 10
"""While many minutes are read, so many are taken up at once."""
MOST_CELLS: Final = 60_000
"""So many are held of the minutes before, and so many of the one that is being read."""
MINUTES_A_DAY: Final = 1440
_NEVER: Final = -(2**63)

Days = dict[int, Sequence[Finding]]
"""UTC day → everything that was found of it, which may be nothing."""
Found = dict[str, Days]
"""Subject → what was found of it; read only, for subjects may share it."""


class _Shared(Days):
    """That nothing was found, of all subjects for which this is so: it is never changed."""


def _part(days: Days, end: int) -> tuple[Days, Days]:
    """What was found of the days before ``end``, and of the others."""
    own = type(days)
    before = own({day: found for day, found in days.items() if day < end})
    return before, own({day: found for day, found in days.items() if day >= end})


class Memory:
    """The subjects of ``rule`` from ``day`` (since the epoch) on."""

    def __init__(self, rule: Rule, day: int) -> None:
        self.day = day
        self.floor = day * MINUTES_A_DAY - rule.before
        self.dropped = 0
        self.whole = True
        """Whether nothing was dropped, ever."""
        self.size = 0
        """How many cells are held, a subject's chain counting as one."""
        self.rule = rule
        self._cells: dict[int, Mapping[str, Any]] = {}
        """Minute → subject → cell; other memories may hold the same ones."""
        self._chains: dict[str, Chain] = {}
        self._touched: set[str] = set()
        self._crowds: dict[int, Crowd] = {}
        self._levels: dict[int, tuple[int, frozenset[int]]] = {}
        """Day → what of its findings was told by itself when last looked: see Crowd."""
        self._joints: dict[int, Joint] = {}
        self._newest = self.floor
        self._forgotten = _NEVER
        """Up to this minute something may have been forgotten."""
        self._returned: dict[int, set[str]] = {}
        self.begin(self.floor)

    def begin(self, now: int) -> None:
        """Events will be told in order of time; minutes that are known are told as a whole.

        ``now`` is the newest minute that can be believed: a clock that is ahead must not close
        the minutes before it.
        """
        self._now = now
        self._found: Found = {}
        self._minute: int | None = None

    def take(self, minute: int, cells: Mapping[str, Any], dropped: int) -> None:
        """The cells of a minute; ``dropped`` are the events of more subjects than fit in."""
        if self._minute is not None:
            self._turn(self._minute, minute)
        self._minute = minute
        if dropped:
            self._forgotten = minute
        self._assign(minute, cells)
        self.dropped += dropped
        self.whole = self.whole and not dropped

    def finish(self, until: int) -> Found:
        """What was found of the subjects that were told of, in the minutes before ``until``.

        Of days with too many findings it has only what is told by itself; see ``take_joints``.
        """
        self._settle(min(until, self._now) - KEEP)
        self._collect()
        for day in range(self.day, self._newest // MINUTES_A_DAY + 1):
            self._join(day)
        found, self._found = self._found, {}
        return found

    def take_finished(self) -> Found:
        """What was found of the days that no event changes any more, each once."""
        finished: Found = {}
        left: Found = {}
        parted: dict[int, tuple[Days, Days]] = {}
        for subject, days in self._found.items():
            halves = parted.get(id(days))
            if halves is None:
                halves = parted[id(days)] = _part(days, self.day)
            for half, found in zip(halves, (finished, left), strict=True):
                if half:
                    found[subject] = half
        self._found = left
        return finished

    def take_returned(self) -> dict[int, set[str]]:
        """Day → subjects to be judged by what they did before, of which some may be forgotten."""
        returned, self._returned = self._returned, {}
        return returned

    def take_joints(self) -> dict[int, Joint]:
        """For each day that has findings, or had some, what of them is told."""
        joints, self._joints = self._joints, {}
        return joints

    def _join(self, day: int) -> None:
        """See how many findings the day has; where they are fewer than before, tell them again."""
        crowd = self._crowds.get(day)
        if crowd is None:
            return
        level, quiet = crowd.level, crowd.quiet
        before = self._levels.get(day, (level, quiet))
        if level < before[0] or (level and quiet - before[1]):
            self._judge(crowd.subjects(level))
        self._levels[day] = (level, quiet)
        for days in self._found.values() if level else ():
            if days.get(day):
                days[day] = [finding for finding in days[day] if crowd.tells(finding, level)]
        told = crowd.subjects(level) if level else frozenset()
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
        subjects = self._crowds[day].subjects(0)
        held = self._cells_of(subjects)
        findings = (
            finding
            for subject in subjects
            for finding in self._find(subject, held.get(subject, ()))
            if finding.day == day
        )
        joined = join_findings(self.rule, day, rank, findings)
        return joined if self.whole else self._crowds[day].complete(joined, self.rule.noun)

    def _turn(self, minute: int, following: int) -> None:
        """The events go on with the ``following`` minute: keep only what may still change."""
        if following // MINUTES_A_DAY != minute // MINUTES_A_DAY:
            self._collect()
        floor = min(following, self._now) - KEEP
        if floor - self.floor >= _APART:
            self._settle(floor)

    def _assign(self, minute: int, cells: Mapping[str, Any]) -> None:
        known = self._cells.get(minute)
        if known is not None:
            self.size -= len(known)
            cells = {**known, **cells}
        self._cells[minute] = cells
        self.size += len(cells)
        self._newest = max(self._newest, minute)
        self._touched.update(cells)
        if minute - self.rule.before <= self._forgotten:
            self._note_returned(minute, cells)
        if self.size > MOST_CELLS:
            self._shrink()

    def _note_returned(self, minute: int, cells: Mapping[str, Any]) -> None:
        needs_past = self.rule.needs_past
        returned = [subject for subject, cell in cells.items() if needs_past(cell)]
        if returned:
            known = self._returned.setdefault(minute // MINUTES_A_DAY, set())
            known.update(returned[: self.rule.most - len(known)])

    def _settle(self, floor: int) -> None:
        """Let the chains take up what lies before ``floor``; hourly, forget who is idle."""
        if floor <= self.floor:
            return
        chains = self._chains
        for minute in sorted(minute for minute in self._cells if minute < floor):
            cells = self._cells.pop(minute)
            for subject, cell in cells.items():
                chain = chains.get(subject)
                if chain is None:
                    chain = chains[subject] = self.rule.chain()
                    self.size += 1
                chain.add(minute, cell)
            self.size -= len(cells)
        if floor // KEEP != self.floor // KEEP:
            busy = {s: chain for s, chain in self._chains.items() if not chain.is_idle(floor)}
            self.size -= len(self._chains) - len(busy)
            self._chains = busy
        self.floor = floor

    def _shrink(self) -> None:
        """Too many: drop the subjects that were quiet for longest, a third, for each time costs."""
        held = Counter(self._chains.keys())
        last = dict.fromkeys(self._chains, 0)
        for minute, cells in sorted(self._cells.items()):
            held.update(cells.keys())
            last |= dict.fromkeys(cells, minute)
        lost, size, quiet = set(), self.size, 0
        for subject in sorted(last, key=last.__getitem__):
            if size <= MOST_CELLS * 2 // 3:
                break
            lost.add(subject)
            quiet = last[subject]
            size -= held[subject]
        self._forgotten = max(self._forgotten, quiet, self.floor)
        self._judge(lost & self._touched)
        self._touched -= lost
        self.dropped += self.size - size
        self.size = size
        self._chains = {s: chain for s, chain in self._chains.items() if s not in lost}
        for minute, cells in self._cells.items():
            if minute <= quiet:
                self._cells[minute] = {s: cell for s, cell in cells.items() if s not in lost}
        self.whole = self.whole and not lost

    def _collect(self) -> None:
        """What is found of the subjects that were touched; then leave finished days behind."""
        self._judge(self._touched)
        self._touched.clear()
        day = (self.floor - self.rule.after) // MINUTES_A_DAY
        if day > self.day:
            for past in range(self.day, day):
                self._close(past)
            self.day = day
            for chain in self._chains.values():
                chain.forget(day)

    def _close(self, day: int) -> None:
        """The day is over: nothing that is held here will change what was found of it."""
        self._join(day)
        joint = self._joints.get(day)
        if joint is not None and joint.level:
            joined = joint.join()
            self._joints[day] = msgspec.structs.replace(joint, join=lambda: joined, is_over=True)
        self._crowds.pop(day, None)
        self._levels.pop(day, None)

    def _cells_of(self, subjects: Set[str]) -> dict[str, list[tuple[int, Any]]]:
        """The cells of these subjects that no chain has taken up yet, in order of time."""
        held: dict[str, list[tuple[int, Any]]] = {}
        for minute, cells in sorted(self._cells.items()):
            # the fewer of the two are gone through
            few, many = (cells, subjects) if len(cells) < len(subjects) else (subjects, cells)
            for subject in [subject for subject in few if subject in many]:
                held.setdefault(subject, []).append((minute, cells[subject]))
        return held

    def _judge(self, subjects: Set[str]) -> None:
        """What is found of the subjects in the days that are not finished, in place of before."""
        held = self._cells_of(subjects)
        unfinished = range(self.day, self._newest // MINUTES_A_DAY + 1)
        nothing = _Shared(dict.fromkeys(unfinished, ()))
        for subject in subjects:
            new: dict[int, list[Finding]] = {}
            for finding in self._find(subject, held.get(subject, ())):
                if finding.day >= self.day:
                    new.setdefault(finding.day, []).append(finding)
            for day in unfinished:
                self._note(day, subject, new)
            days = self._found.get(subject)
            # they are in order: only the last ones are looked at, however many there are
            if days is None or next(iter(days), self.day) >= self.day:
                self._found[subject] = nothing | new if new else nothing
                continue
            if isinstance(days, _Shared):
                days = self._found[subject] = dict(days)
            for day in list(takewhile(lambda day: day >= self.day, reversed(days))):
                del days[day]
            days |= nothing | new

    def _note(self, day: int, subject: str, new: dict[int, list[Finding]]) -> None:
        """Count the subject's findings of the day; of very many keep only what may be told."""
        crowd = self._crowds.get(day)
        if crowd is None:
            if day not in new:
                return
            crowd = self._crowds[day] = Crowd(self.rule.most)
        crowd.note(subject, new.get(day, ()))
        if day in new and (level := crowd.level):
            new[day] = [finding for finding in new[day] if crowd.tells(finding, level)]

    def _find(self, subject: str, cells: Sequence[tuple[int, Any]]) -> Iterator[Finding]:
        """What its chain tells once it has taken up the cells that may still change, too."""
        chain = self._chains.get(subject)
        if cells:
            chain = self.rule.chain() if chain is None else chain.copy()
            for minute, cell in cells:
                chain.add(minute, cell)
        return iter(()) if chain is None else chain.findings(subject)

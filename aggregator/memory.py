"""What a rule's findings are made of, held in memory: a cache of what the store of events says.

Each subject has its cells of the last hour, which may still change, and one chain that has taken
up everything before. So the memory does not grow with the length of an attack, and an event
costs the same whatever the store holds. An event that lies further back is not looked for here:
its day is read again (``aggregator.watch``).
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

import msgspec

from aggregator.finding import Finding
from aggregator.findings import Chain, Rule

KEEP: Final = 60
"""Minutes that stay open to events that come late."""
MOST_CELLS: Final = 100_000
"""So many are held of the minutes before, and so many of the one that is being read."""
MINUTES_A_DAY: Final = 1440

Found = dict[str, dict[int, Sequence[Finding]]]
"""Subject → UTC day → everything that was found of that day, which may be nothing."""


class Track(msgspec.Struct):
    """One subject: its cells that may still change, and the chain of all before."""

    chain: Chain
    cells: dict[int, Any]


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
        self._tracks: dict[str, Track] = {}
        self._touched: set[str] = set()
        self._newest = self.floor
        self.begin(self.floor)

    def begin(self, now: int) -> None:
        """Events will be told in order of time; minutes that are known are told as a whole.

        ``now`` is the newest minute that can be believed: a clock that is ahead must not close
        the minutes before it.
        """
        self._now = now
        self._found: Found = {}
        self._minute = -1

    def take(self, minute: int, cells: Mapping[str, Any], dropped: int) -> None:
        """The cells of a minute; ``dropped`` are the events of more subjects than fit in."""
        if self._minute >= 0:
            self._turn(minute)
        self._minute = minute
        self._assign(cells)
        self.dropped += dropped
        self.whole = self.whole and not dropped

    def finish(self, until: int) -> Found:
        """What was found of the subjects that were told of, in the minutes before ``until``."""
        self._settle(min(until, self._now) - KEEP)
        self._collect()
        return self._found

    def _turn(self, following: int) -> None:
        """The events go on with the ``following`` minute: keep only what may still change."""
        if following // MINUTES_A_DAY != self._minute // MINUTES_A_DAY:
            self._collect()
        if min(following, self._now) - self.floor > 2 * KEEP:
            self._settle(min(following, self._now) - KEEP)

    def _assign(self, cells: Mapping[str, Any]) -> None:
        minute = self._minute
        self._newest = max(self._newest, minute)
        for subject, cell in cells.items():
            track = self._tracks.get(subject)
            if track is None:
                track = self._tracks[subject] = Track(self.rule.chain(), {})
                self.size += 1
            self.size += minute not in track.cells
            track.cells[minute] = cell
        self._touched |= cells.keys()
        if self.size > MOST_CELLS:
            self._shrink()

    def _settle(self, floor: int) -> None:
        """Let the chains take up what lies before ``floor``, and forget who is of no interest."""
        if floor <= self.floor:
            return
        self.floor = floor
        for subject, track in list(self._tracks.items()):
            for minute in sorted(track.cells):
                if minute >= floor:
                    break
                track.chain.add(minute, track.cells.pop(minute))
                self.size -= 1
            if not track.cells and track.chain.is_idle(floor):
                del self._tracks[subject]
                self.size -= 1

    def _shrink(self) -> None:
        """Too many: drop the subjects that were quiet for longest."""
        quiet = sorted(
            self._tracks, key=lambda subject: max(self._tracks[subject].cells, default=0)
        )
        for subject in quiet:
            if self.size <= MOST_CELLS * 9 // 10:
                break
            if subject in self._touched:
                self._touched.remove(subject)
                self._judge(subject)
            lost = 1 + len(self._tracks.pop(subject).cells)
            self.size -= lost
            self.dropped += lost
            self.whole = False

    def _collect(self) -> None:
        """What is found of the subjects that were touched; then leave finished days behind."""
        for subject in self._touched:
            self._judge(subject)
        self._touched.clear()
        day = (self.floor - self.rule.after) // MINUTES_A_DAY
        if day > self.day:
            self.day = day
            for track in self._tracks.values():
                track.chain.forget(day)

    def _judge(self, subject: str) -> None:
        """What is found of a subject in the days that are not finished, in place of before."""
        days = self._found.pop(subject, {})
        # the days are in order: only the last ones are looked at, however many there are
        for day in list(takewhile(lambda day: day >= self.day, reversed(days))):
            del days[day]
        track = self._tracks.get(subject)
        if track is not None:
            newest = self._newest // MINUTES_A_DAY
            days.update(dict.fromkeys(range(self.day, newest + 1), ()))
            new: dict[int, list[Finding]] = {}
            chain = track.chain.copy()
            for minute in sorted(track.cells):
                chain.add(minute, track.cells[minute])
            for finding in chain.findings(subject):
                if finding.day >= self.day:
                    new.setdefault(finding.day, []).append(finding)
            days |= new
        if days:
            self._found[subject] = days

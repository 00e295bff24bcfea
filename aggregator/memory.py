"""What a rule's findings are made of, held in memory: a cache of what the store of events says.

Each subject has its cells of the last hour, which may still change, and one chain that has taken
up everything before. So the memory does not grow with the length of an attack, and an event
costs the same whatever the store holds. An event that lies further back is not looked for here:
its day is read again (``aggregator.watch``).
"""

from itertools import takewhile
from typing import Any, Final

import msgspec

from aggregator.arrivals import MINUTE
from aggregator.finding import Finding
from aggregator.findings import Chain, Rule
from heptad.event_row import MEASUREMENT, event_of_point
from heptad.store import Store

KEEP: Final = 60
"""Minutes that stay open to events that come late."""
MOST_CELLS: Final = 100_000
"""So many are held of the minutes before, and so many of the one that is being read."""
MINUTES_A_DAY: Final = 1440

Found = dict[str, dict[int, list[Finding]]]
"""Subject → UTC day → everything that was found of that day."""


class Track(msgspec.Struct):
    """One subject: its cells that may still change, and the chain of all before."""

    chain: Chain
    cells: dict[int, Any]


class Memory:
    """The subjects of ``rule`` from ``day`` (since the epoch) on."""

    def __init__(self, rule: Rule, day: int) -> None:
        self.day = day
        self.floor = day * MINUTES_A_DAY - rule.reach
        self.dropped = 0
        self.size = 0
        """How many cells are held, a subject's chain counting as one."""
        self._rule = rule
        self._tracks: dict[str, Track] = {}
        self._touched: set[str] = set()

    def read(self, events: Store, since: int, until: int, now: int) -> Found:
        """Read the minutes [since, until) again; what was found of the subjects they hold.

        ``now`` is the newest minute that can be believed: a clock that is ahead must not close
        the minutes before it.
        """
        found: Found = {}
        wants, subject_of, add = self._rule.wants, self._rule.subject_of, self._rule.add
        minute = since
        cells: dict[str, Any] = {}
        for point in events.read(MEASUREMENT, since * MINUTE, until * MINUTE, wants):
            event = event_of_point(point)
            subject = subject_of(event)
            if subject is None:
                continue
            at = event.time // MINUTE
            if at != minute:
                self._assign(minute, cells, found)
                self._turn(minute, at, now, found)
                cells, minute = {}, at
            cell = cells.get(subject)
            if cell is None and len(cells) >= MOST_CELLS:
                self.dropped += 1
                continue
            cells[subject] = add(cell, event)
        self._assign(minute, cells, found)
        self._settle(min(until, now) - KEEP)
        self._collect(found)
        return found

    def _turn(self, minute: int, following: int, now: int, found: Found) -> None:
        """The events go on with the ``following`` minute: keep only what may still change."""
        if following // MINUTES_A_DAY != minute // MINUTES_A_DAY:
            self._collect(found)
        if min(following, now) - self.floor > 2 * KEEP:
            self._settle(min(following, now) - KEEP)

    def _assign(self, minute: int, cells: dict[str, Any], found: Found) -> None:
        for subject, cell in cells.items():
            track = self._tracks.get(subject)
            if track is None:
                track = self._tracks[subject] = Track(self._rule.chain(), {})
                self.size += 1
            self.size += minute not in track.cells
            track.cells[minute] = cell
        self._touched |= cells.keys()
        if self.size > MOST_CELLS:
            self._shrink(found)

    def _settle(self, floor: int) -> None:
        """Let the chains take up what lies before ``floor``, and forget who is of no interest."""
        if floor <= self.floor:
            return
        self.floor = floor
        for subject, track in list(self._tracks.items()):
            for minute in sorted(minute for minute in track.cells if minute < floor):
                track.chain.add(minute, track.cells.pop(minute))
                self.size -= 1
            if not track.cells and track.chain.is_idle(floor):
                del self._tracks[subject]
                self.size -= 1

    def _shrink(self, found: Found) -> None:
        """Too many: drop the subjects that were quiet for longest."""
        quiet = sorted(
            self._tracks, key=lambda subject: max(self._tracks[subject].cells, default=0)
        )
        for subject in quiet:
            if self.size <= MOST_CELLS * 9 // 10:
                break
            if subject in self._touched:
                self._touched.remove(subject)
                self._judge(subject, found)
            lost = 1 + len(self._tracks.pop(subject).cells)
            self.size -= lost
            self.dropped += lost

    def _collect(self, found: Found) -> None:
        """What is found of the subjects that were touched; then leave finished days behind."""
        for subject in self._touched:
            self._judge(subject, found)
        self._touched.clear()
        day = (self.floor - self._rule.reach) // MINUTES_A_DAY
        if day > self.day:
            self.day = day
            for track in self._tracks.values():
                track.chain.forget(day)

    def _judge(self, subject: str, found: Found) -> None:
        """What is found of a subject in the days that are not finished, in place of before."""
        days = found.pop(subject, {})
        # the days are in order: only the last ones are looked at, however many there are
        for day in list(takewhile(lambda day: day >= self.day, reversed(days))):
            del days[day]
        track = self._tracks.get(subject)
        if track is not None:
            chain = track.chain.copy()
            for minute in sorted(track.cells):
                chain.add(minute, track.cells[minute])
            for finding in chain.findings(subject):
                if finding.day >= self.day:
                    days.setdefault(finding.day, []).append(finding)
        if days:
            found[subject] = days

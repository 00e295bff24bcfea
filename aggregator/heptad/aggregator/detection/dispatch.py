"""One walk through the events for every rule that has to read some."""

import time as clock
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from heptad.aggregator.detection import state as memory
from heptad.aggregator.detection.facts import Batch, Told, facts_of
from heptad.aggregator.detection.flood import Joint
from heptad.aggregator.detection.rules import Rule
from heptad.aggregator.detection.state import Found, Memory
from heptad.aggregator.progress import MINUTE
from heptad.core.event import Event
from heptad.core.store.api import Store

_BATCH: Final = 1000
"""Events that are held at once; they are handed on at the end of each minute, too."""
MOST_SHOWN: Final = 10_000
"""Of a minute with more events, so many are kept as evidence, or a flood would fill the memory."""
_FIRST_PIECE: Final = 60
_LONGEST_PIECE: Final = 360
_LONGEST_READ: Final = 1.0
"""Seconds."""

Wants = Mapping[str, Collection[str]]
Parted = dict[Callable[[Event], str | None], dict[str, Batch]]
"""By what tells the subject of an event: subject → events of one kind."""


class Read:
    """What one memory has to be told: the minutes [since, until).

    ``now`` is the newest minute that can be believed: a clock that is ahead must not close the
    minutes before it. ``error`` is what the rule raised; then nothing further is told to it.
    ``found`` is there at the end; only what is booked on days before ``end`` is whole.
    """

    def __init__(
        self, memory: Memory, since: int, until: int, now: int, end: int | None = None
    ) -> None:
        self.memory = memory
        self.first = memory.day
        self.since = since
        self.until = until
        self.now = now
        self.end = end
        self.error: Exception | None = None
        self.found: Found = {}
        self.joints: dict[int, Joint] = {}
        self.begun = False
        self.is_over = False

    @property
    def finished(self) -> range:
        """Those of its days of which no event to come changes what was found."""
        last = self.memory.day if self.end is None else min(self.memory.day, self.end)
        return range(self.first, last)

    def take(self, minute: int, cells: Mapping[str, Any], dropped: int) -> None:
        """The cells of a minute; an error of the rule ends this reading only."""
        try:
            if not self.begun:
                self.begun = True
                self.memory.begin(self.now)
            if self.error is None:
                self.memory.take(minute, cells, dropped)
        except Exception as error:  # noqa: BLE001 - raised again where the rule is asked for it
            self.error = error

    def finish(self) -> None:
        """There are no more."""
        self.is_over = True
        try:
            if not self.begun:
                self.memory.begin(self.now)
            if self.error is None:
                self.found = self.memory.finish(self.until)
                self.joints = self.memory.take_joints()
        except Exception as error:  # noqa: BLE001 - raised again where the rule is asked for it
            self.error = error


class Cells:
    """The cells of a minute, made once for all rules that make the same ones."""

    def __init__(self, reads: list[Read]) -> None:
        self._reads = reads
        self._rule = reads[0].memory.rule
        self._cells: dict[str, Any] = {}
        self._dropped = 0

    def add(self, events: list[Told], parted: Parted) -> None:
        """Some events of the minute; an error ends the readings of these rules only.

        ``parted`` holds them by subject, for those that ask for the same subjects.
        """
        self._reads = [read for read in self._reads if read.error is None]
        try:
            self._add(events, parted)
        except Exception as error:  # noqa: BLE001 - raised again where the rule is asked for it
            for read in self._reads:
                read.error = error

    def _add(self, events: list[Told], parted: Parted) -> None:
        if not self._reads:
            return
        subject_of, add, cells = self._rule.subject_of, self._rule.add, self._cells
        most = memory.MOST_CELLS
        told = parted.get(subject_of)
        if told is None:
            told = parted[subject_of] = _part(events, subject_of)
        for subject, own in told.items():
            cell = cells.get(subject)
            # what succeeds is not passed over in a flood of what fails
            if cell is None and len(cells) >= most << (own[0][0].outcome == "success"):
                self._dropped += len(own)
            elif (more := add(cell, own)) is not None:
                cells[subject] = more

    def hand_on(self, minute: int) -> None:
        """The minute is over."""
        if self._cells:
            for read in self._reads:
                read.take(minute, self._cells, self._dropped)
            self._cells, self._dropped = {}, 0


class Pace:
    """Cuts a long span into pieces (minutes) that take about as long as each other to read."""

    def __init__(self) -> None:
        self._length = _FIRST_PIECE

    def cut(self, since: int, until: int) -> Iterator[tuple[int, int]]:
        """The pieces of a span; each is done when the next one is asked for."""
        while since < until:
            end = min(since + self._length, until)
            begun = clock.monotonic()
            yield since, end
            took = clock.monotonic() - begun
            if took > _LONGEST_READ:
                self._length = max(1, self._length // 2)
            elif took < _LONGEST_READ / 4:
                self._length = min(self._length * 2, _LONGEST_PIECE)
            since = end


Group = tuple[
    tuple[tuple[str, tuple[str, ...]], ...], Callable[..., Any], Callable[..., Any], Read | None
]
"""What is wanted, how it becomes cells, and who makes them where they are not shared."""


def walk(
    events: Store,
    reads: Iterable[Read],
    is_ignored: Callable[[Event], bool],
    pause: Callable[[], None],
) -> None:
    """Read the events once, in order of time, and hand each to all who want it.

    Raises what the store raises. Reads of one memory do not overlap. ``pause`` is called every
    second or so, unless a single minute takes longer.
    """
    pace = Pace()
    waiting = deque(sorted(reads, key=lambda read: read.since))
    edges = sorted({edge for read in waiting for edge in (read.since, read.until)})
    active: list[Read] = []
    for since, until in pairwise(edges):
        while waiting and waiting[0].since <= since:
            active.append(waiting.popleft())
        active = _finish(active, since)
        for begin, end in pace.cut(since, until) if active else ():
            _walk_span(events, begin, end, active, is_ignored)
            pause()
        active = _finish(active, until)
    for read in (*active, *waiting):
        read.finish()


def _finish(reads: list[Read], until: int) -> list[Read]:
    """Finish those that end at ``until``; the others."""
    for read in reads:
        if read.until <= until:
            read.finish()
    return [read for read in reads if read.until > until]


def _walk_span(
    events: Store,
    since: int,
    until: int,
    reads: list[Read],
    is_ignored: Callable[[Event], bool],
) -> None:
    wants = _unite([read.memory.rule.wants for read in reads])
    groups = _group(reads)
    listeners: dict[tuple[str, str], list[Cells]] = {}
    batches: dict[tuple[str, str], list[Event]] = {}
    minute, held, seen = since, 0, 0
    for event in events.events(since * MINUTE, until * MINUTE, wants):
        at = event.time // MINUTE
        if at != minute or held >= _BATCH:
            _hand_on(batches, listeners, is_ignored, shown=seen <= MOST_SHOWN)
            held = 0
        if at != minute:
            seen = 0
            for cells in groups.values():
                cells.hand_on(minute)
            minute = at
        kind = (event.action, event.outcome)
        batch = batches.get(kind)
        if batch is None:
            batch = batches[kind] = []
            if kind not in listeners:
                wanted = [c for key, c in groups.items() if _is_wanted(kind, dict(key[0]))]
                listeners[kind] = wanted
        batch.append(event)
        held += 1
        seen += 1
    _hand_on(batches, listeners, is_ignored, shown=seen <= MOST_SHOWN)
    for cells in groups.values():
        cells.hand_on(minute)


def _group(reads: list[Read]) -> dict[Group, Cells]:
    groups: dict[Group, list[Read]] = {}
    for read in reads:
        rule = read.memory.rule
        wants = tuple((tag, tuple(values)) for tag, values in rule.wants.items())
        kind: type[Rule] = type(rule)
        own = None if rule.shares_cells else read
        groups.setdefault((wants, kind.subject_of, kind.add, own), []).append(read)
    return {key: Cells(own) for key, own in groups.items()}


def _hand_on(
    batches: dict[tuple[str, str], list[Event]],
    listeners: dict[tuple[str, str], list[Cells]],
    is_ignored: Callable[[Event], bool],
    *,
    shown: bool,
) -> None:
    """``shown``: they are kept as evidence, as what succeeded always is."""
    for kind, batch in batches.items():
        if listeners[kind]:
            keep = shown or kind[1] == "success"
            told = [
                (event, facts_of(event, shown=keep)) for event in batch if not is_ignored(event)
            ]
            parted: Parted = {}
            for cells in listeners[kind]:
                cells.add(told, parted)
    batches.clear()


def _part(events: list[Told], subject_of: Callable[[Event], str | None]) -> dict[str, Batch]:
    told: dict[str, Batch] = {}
    for one in events:
        subject = subject_of(one[0])
        if subject:  # an empty one would be taken for many
            own = told.get(subject)
            if own is None:
                own = told[subject] = Batch()
            own.append(one)
    return told


def _is_wanted(kind: tuple[str, str], wants: Wants) -> bool:
    values = zip(("action", "outcome"), kind, strict=True)
    return all(value in wants.get(tag, (value,)) for tag, value in values)


def _unite(wants: list[Wants]) -> dict[str, set[str]]:
    """What any of them wants, and perhaps more."""
    united: dict[str, set[str]] = {}
    for tag in ("action", "outcome"):
        if all(tag in want for want in wants):
            united[tag] = {value for want in wants for value in want[tag]}
    return united

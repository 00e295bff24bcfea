"""One walk through the events for every rule that has to read some."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import pairwise
from typing import Final

from aggregator.arrivals import MINUTE
from aggregator.chains.facts import Facts, facts_of
from aggregator.memory import Found, Memory
from heptad.event import Event
from heptad.event_row import MEASUREMENT, event_of_point
from heptad.store import Store

_BATCH: Final = 1000
"""Events that are held at once; they are handed on at the end of each minute, too."""

Wants = Mapping[str, Collection[str]]
Told = tuple[Event, Facts]


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
        self.since = since
        self.until = until
        self.now = now
        self.end = end
        self.error: Exception | None = None
        self.found: Found = {}
        self.begun = False

    def attempt(self, work: Callable[[], object]) -> None:
        """Do a part of the rule's work; an error ends this reading only."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again where the rule is asked for it
            self.error = error

    def take(self, minute: int, events: list[Told]) -> None:
        """Some events of a minute."""
        if not self.begun:
            self.begun = True
            self.attempt(lambda: self.memory.begin(self.now))
        if self.error is None:
            self.attempt(lambda: self.memory.take(minute, events))

    def finish(self) -> None:
        """There are no more."""
        if not self.begun:
            self.attempt(lambda: self.memory.begin(self.now))
        if self.error is None:
            self.attempt(self._finish)

    def _finish(self) -> None:
        self.found = self.memory.finish(self.until)


def walk(events: Store, reads: Iterable[Read], is_ignored: Callable[[Event], bool]) -> None:
    """Read the events once, in order of time, and hand each to all who want it.

    Raises what the store raises. Reads of one memory do not overlap.
    """
    waiting = sorted(reads, key=lambda read: read.since)
    edges = sorted({edge for read in waiting for edge in (read.since, read.until)})
    for since, until in pairwise(edges):
        active = [read for read in waiting if read.since <= since and until <= read.until]
        if active:
            _walk_span(events, since, until, active, is_ignored)
        for read in [read for read in waiting if read.until <= until]:
            read.finish()
            waiting.remove(read)
    for read in waiting:
        read.finish()


def _walk_span(
    events: Store,
    since: int,
    until: int,
    reads: list[Read],
    is_ignored: Callable[[Event], bool],
) -> None:
    wants = _unite([read.memory.wants for read in reads])
    listeners: dict[tuple[str, str], list[Read]] = {}
    batches: dict[tuple[str, str], list[Told]] = {}
    minute, held = since, 0
    for point in events.read(MEASUREMENT, since * MINUTE, until * MINUTE, wants):
        at = point.time // MINUTE
        if at != minute or held >= _BATCH:
            _hand_on(minute, batches, listeners)
            minute, held = at, 0
        kind = (point.tags["action"], point.tags["outcome"])
        if kind not in listeners:
            listeners[kind] = [read for read in reads if _is_wanted(kind, read.memory.wants)]
        if listeners[kind]:
            event = event_of_point(point)
            if not is_ignored(event):
                batches.setdefault(kind, []).append((event, facts_of(event)))
                held += 1
    _hand_on(minute, batches, listeners)


def _hand_on(
    minute: int,
    batches: dict[tuple[str, str], list[Told]],
    listeners: dict[tuple[str, str], list[Read]],
) -> None:
    for kind, batch in batches.items():
        for read in listeners[kind]:
            read.take(minute, batch)
    batches.clear()


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

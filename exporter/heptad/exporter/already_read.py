"""Recognize lines that another source has already read, when a source takes over its programs.

A source that takes over programs reads its log from the beginning. For each program, it skips lines
older than the last stored event; lines around that time and after it are compared with the store. A
line in both logs is therefore stored once, and a line logged between the stop of one source and the
start of the other is stored too, whatever the precision of the timestamps, and even if the clock
was set.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from heptad.core.event import Event
from heptad.core.store.history import Past, Stored
from heptad.core.store.line_protocol import decode_series
from heptad.core.store.point import Row
from heptad.exporter.normalize.login_attempts import LONGEST
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.stored_line import (
    SECOND,
    EventKind,
    LineContent,
    MachineProgram,
    content_of,
    content_of_event,
    host_of,
    kind_of,
)

SLACK: Final = 5 * SECOND
"""The timestamps of two daemons for the same line differ by less than this."""
_FOLDING: Final = LONGEST
"""A folded line may be logged this much later than the lines that it stands for."""
_ZONE: Final = 60 * SECOND
"""Comparison starts this long before the last event of a program, to align repeated lines."""
_BLOCK: Final = 16 * SECOND
_MOST_BLOCKS: Final = 8
_MOST_IN_BLOCK: Final = 50_000
_MOST_FOLDED: Final = 2_000
_MOST_USED: Final = 20_000
_MOST_ARRIVALS: Final = 100_000
_MOST_VOICES: Final = 10_000


StoredLine = tuple[int, LineContent]
"""A stored point: its arrival number and content."""


class Handover(msgspec.Struct):
    """The progress of a takeover, committed with each batch.

    ``upto`` is the position of the store at the start, ``at`` its time (ns), and ``since`` the time
    from which lines may be new. ``whole``: the previous sources had read their logs to the end.
    ``begun_anew`` identifies the file of the store. ``used`` maps arrival numbers of stored points
    to the number of lines matched with them. ``matched`` are the programs whose last event was
    found.
    """

    upto: int
    at: int
    since: int
    whole: bool
    begun_anew: int
    used: dict[int, int] = {}
    matched: list[MachineProgram] = msgspec.field(default_factory=list, name="passed")
    joined: bool = False


class LastEvent(msgspec.Struct, frozen=True):
    """The last event of a program on a machine: arrival number (0: unknown), time in ns, source."""

    arrival: int
    time: int
    source: str


def find_last_events(past: Past, own: frozenset[str]) -> dict[MachineProgram, LastEvent]:
    """Return the last event of each program on each machine."""
    tails: dict[MachineProgram, LastEvent] = {}
    for arrival, series, time, body, raw in past.newest_arrivals(_MOST_ARRIVALS):
        voice = content_of(Row(series, time, body, raw), own).voice
        if voice not in tails and len(tails) < _MOST_VOICES:
            tails[voice] = LastEvent(arrival, time, source_of(series))
    older: dict[MachineProgram, LastEvent] = {}
    for series, time in past.newest_times():
        machine = host_of(series)
        voice = ("" if machine in own else machine, kind_of(series)[1])
        if voice not in tails and time > older.get(voice, LastEvent(0, time - 1, "")).time:
            older[voice] = LastEvent(0, time, source_of(series))
    return tails | older


class AlreadyRead:
    """Filters the events of one source; ``own`` are the names of this host."""

    def __init__(
        self, past: Past, state: Handover, own: frozenset[str], joined: bytes = b""
    ) -> None:
        self._past = past
        self._joined = joined
        self._state = state
        self._own = own
        self._matched = set(state.matched)
        self._tails = find_last_events(past, own)
        self._series: dict[EventKind, list[tuple[int, str]]] = {}
        for number, series in past.series.items():
            self._series.setdefault(kind_of(series), []).append((number, host_of(series)))
        self._blocks: OrderedDict[tuple[EventKind, str, int], dict[str, list[StoredLine]]] = (
            OrderedDict()
        )

    @property
    def since(self) -> int:
        """The time (ns) from which lines may be new."""
        return self._state.since

    def dump(self) -> bytes:
        """Return the progress, encoded for the store."""
        self._state.matched = sorted(self._matched)
        for number in list(self._state.used)[:-_MOST_USED]:
            del self._state.used[number]
        return msgspec.msgpack.encode(self._state)

    def is_over(self, now: int) -> bool:
        """Return whether lines that were read before can no longer occur."""
        return not 0 <= now - self._state.at <= _FOLDING

    def join(self, before: int, normalizer: Normalizer) -> None:
        """Continue the connections that started before the first line, at ``before`` (ns)."""
        if self._joined and not self._state.joined:
            known = msgspec.msgpack.decode(self._joined, type=list[tuple[bytes, bytes]])
            for attempts, unknown_users in known:
                if attempts:
                    normalizer.attempts.adopt(attempts, before)
                if unknown_users:
                    normalizer.masking.unknown_users.adopt(unknown_users, before)
        self._state.joined = True

    def sift(self, events: Iterable[Event], *, caught_up: bool) -> tuple[list[Event], int]:
        """Return the new events, and the number of others; reduce ``count`` to the new lines.

        ``caught_up``: the log was read to its end once, so lines with old timestamps are new.
        """
        fresh: list[Event] = []
        duplicates = 0
        for event in events:
            event.count = self._count_new(content_of_event(event, self._own), caught_up=caught_up)
            if event.count:
                fresh.append(event)
            else:
                duplicates += 1
        return fresh, duplicates

    def sift_left(
        self, left: Iterable[tuple[str, Row | None]], *, caught_up: bool
    ) -> tuple[list[tuple[str, Row | None]], int]:
        """Do the same for lines that no rule matched."""
        fresh: list[tuple[str, Row | None]] = []
        duplicates = 0
        for program, row in left:
            if row is not None and not self._count_new(
                content_of(row, self._own), caught_up=caught_up
            ):
                duplicates += 1
            else:
                fresh.append((program, row))
        return fresh, duplicates

    def _count_new(self, told: LineContent, *, caught_up: bool) -> int:
        """Return how many of the lines of an event are new."""
        tail = self._tails.get(told.voice)
        if tail is None:
            lost = not caught_up and told.time < self._state.begun_anew
            return 0 if lost else told.count
        if not self._state.whole:
            return self._match(told, tail, -(2**63))
        old = not caught_up and told.voice not in self._matched and told.end + SLACK < tail.time
        if old and told.time < tail.time - _ZONE:
            return 0
        left = self._match(told, tail, tail.time - _ZONE)
        return 0 if old else left

    def _match(self, told: LineContent, tail: LastEvent, floor: int) -> int:
        """Return how many lines remain after subtracting stored ones from ``floor`` on."""
        since, until = max(told.time - SLACK, floor), told.end + SLACK
        left = self._use(self._of_moment(told, since, until), told, tail, told.count)
        if left and told.count > 1:
            before = self._query(told, max(told.time - _FOLDING, floor), since, backwards=True)
            left = self._use(before, told, tail, left)
        if left:
            after = self._query(told, until, told.end + _FOLDING, folded=True)
            left = self._use(after, told, tail, left)
        return left

    def _use(
        self, stored: Iterable[StoredLine], told: LineContent, tail: LastEvent, wanted: int
    ) -> int:
        """Match stored points with lines; return how many lines remain."""
        used = self._state.used
        fitting = [one for one in stored if one[1].may_be(told)]
        # the same process first: a point without a process id may be of another process
        fitting.sort(key=lambda one: one[1].pid != told.pid)
        for arrival, other in fitting:
            part = min(other.count - used.get(arrival, 0), wanted)
            if part > 0:
                used[arrival] = used.get(arrival, 0) + part
                wanted -= part
                if arrival == tail.arrival:
                    self._matched.add(told.voice)
        return wanted

    def _of_moment(self, told: LineContent, since: int, until: int) -> Iterator[StoredLine]:
        for number in range(since // _BLOCK, until // _BLOCK + 1):
            for arrival, other in self._block(told, number).get(told.content, ()):
                if since <= other.time <= until:
                    yield arrival, other

    def _block(self, told: LineContent, number: int) -> dict[str, list[StoredLine]]:
        """Return the stored points of some seconds by content; cached for busy logs."""
        key = (told.kind, told.voice[0], number)
        block = self._blocks.get(key)
        if block is None:
            block = {}
            begin = number * _BLOCK
            series_ids = self._series_for(told)
            for one in self._past.between(series_ids, begin, begin + _BLOCK, _MOST_IN_BLOCK):
                arrival, other = self._stored_line(one)
                block.setdefault(other.content, []).append((arrival, other))
            self._blocks[key] = block
            if len(self._blocks) > _MOST_BLOCKS:
                self._blocks.popitem(last=False)
        return block

    def _query(
        self,
        told: LineContent,
        since: int,
        until: int,
        *,
        backwards: bool = False,
        folded: bool = False,
    ) -> Iterator[StoredLine]:
        series_ids = self._series_for(told)
        rows = self._past.between(
            series_ids, since, until, _MOST_FOLDED, backwards=backwards, folded=folded
        )
        return map(self._stored_line, rows)

    def _series_for(self, told: LineContent) -> list[int]:
        """Return the series that may contain the line: of its machine, or of this host (relay)."""
        hosts = {told.voice[0], *self._own}
        return [number for number, host in self._series.get(told.kind, ()) if host in hosts]

    def _stored_line(self, stored: Stored) -> StoredLine:
        arrival, series, time, body, raw = stored
        return arrival, content_of(Row(series, time, body, raw), self._own)


def source_of(series: str) -> str:
    """Return the source of a series."""
    return decode_series(series)[1].get("source", "")

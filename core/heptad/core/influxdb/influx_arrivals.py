"""Find what arrived in a bucket of events since a position; InfluxDB has no index of arrival.

It combines three methods:

- the *scan*, once at the start: all minutes that have events;
- the *tail*: each poll counts the events in each minute of the last ten, and of future ones; a
  minute with more events than before has new arrivals;
- *heartbeats*: each lists the minutes of the events that its exporter delivered since its last one.
  They reveal what arrived too late for the tail.

An event is delivered before the heartbeat that reports it is written, and heartbeats are read
before the tail is counted. So minutes of the tail are ignored in heartbeats. Heartbeats carry the
server's clock, and one whose response was lost may arrive late; so they are read again with a
margin.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from heptad.core.influxdb.heartbeats import (
    Fleet,
    Heartbeat,
    Machine,
    read_heartbeats,
    read_last_heartbeats,
)
from heptad.core.influxdb.influxql import LATEST
from heptad.core.influxdb.paging import DAY
from heptad.core.influxdb.query import Reader
from heptad.core.intervals import MINUTE, Interval, merge_intervals
from heptad.core.store.api import Arrival
from heptad.core.store.heartbeat_row import MEASUREMENT as HEARTBEAT
from heptad.core.store.heartbeat_row import DeliveredInterval
from heptad.core.validation import Intake

TAIL: Final = 10
"""Minutes."""
MARGIN: Final = 10 * MINUTE
_SHORT_MARGIN: Final = MINUTE
_EVERY: Final = 10.0
_MARGIN_EVERY: Final = 60.0
_HOUR: Final = 60 * MINUTE
_AHEAD: Final = DAY // MINUTE
_LONGEST: Final = 1440
_END: Final = LATEST // MINUTE

Minutes = dict[int, int]
"""Minute since the epoch → number of events that arrived in it."""


class ArrivalPosition(msgspec.Struct, omit_defaults=True):
    """``scan``: the next minute to scan; None at the end.

    ``heartbeat``: heartbeats up to this time (server's clock, ns) are processed. ``tail``: the
    number of events counted per minute.
    """

    heartbeat: int = msgspec.field(name="beat")
    scan: int | None = None
    tail: list[tuple[int, int]] = []


_decode_position: Final = msgspec.json.Decoder(ArrivalPosition).decode


class Clocks(msgspec.Struct, frozen=True):
    """This host's time, the server's (both ns since the epoch) and a monotonic one (s)."""

    now: Callable[[], int]
    server: Callable[[], int]
    tick: Callable[[], float]


class InfluxArrivals:
    """Arrivals in the bucket of ``events``; ``heptad`` is the bucket of the heartbeats.

    ``keeps`` and ``remembers``: the retention of the two in nanoseconds.
    """

    def __init__(
        self,
        events: Reader,
        heptad: Reader,
        clocks: Clocks,
        *,
        keeps: int,
        remembers: int,
        intake: Intake | None = None,
    ) -> None:
        self._intake = intake or Intake()
        self.fleet = Fleet()
        self._events = events
        self._heptad = heptad
        self._clocks = clocks
        self._keeps = keeps
        self._remembers = remembers
        self._text: str | None = None
        self._at = ArrivalPosition(0)
        self._taken: dict[Machine, int] = {}
        self._step = _AHEAD
        self.began = False
        self._heartbeats_due = self._margin_due = 0.0

    def take(
        self, measurement: str, position: str, limit: int, edges: Sequence[int]
    ) -> list[Arrival]:
        """See EventStore.arrived. All pieces but the last have the position before them."""
        now = self._clocks.now()
        if position != self._text:
            self._begin(position, now)
        # after an error, nothing of this poll counts
        self._text = None
        found: Minutes = {}
        self._scan(measurement, found, limit)
        if self._at.scan is None:
            end = now // MINUTE + _AHEAD
            tail = (now // MINUTE - TAIL, end)
            if self._clocks.tick() >= self._heartbeats_due:
                self._read_heartbeats(measurement, found, tail, limit)
            # always, so that many late events do not delay new ones
            self._count_tail(measurement, found, tail)
        self._text = position
        pieces = list(_pieces(found, position, edges))
        if pieces:
            self._text = msgspec.json.encode(self._at).decode()
            pieces[-1] = pieces[-1]._replace(position=self._text)
        return pieces

    def _begin(self, position: str, now: int) -> None:
        if not self.began:
            self._heptad.columns(HEARTBEAT)  # the first response sets the server's clock
        server = self._clocks.server()
        kept = position.encode() if position else None
        self._at = self._intake.restore("position", kept, _decode_position) or ArrivalPosition(0)
        if self._at.heartbeat < server - self._remembers:
            # heartbeats may have expired unread
            self._at = ArrivalPosition(server - MARGIN, max(0, (now - self._keeps - DAY) // MINUTE))
        if not self.began:
            for heartbeat in read_last_heartbeats(self._heptad, server, self._intake):
                self._hear(heartbeat)
        self.began = True
        self._taken.clear()
        self._heartbeats_due = self._margin_due = 0.0

    def _scan(self, measurement: str, found: Minutes, limit: int) -> None:
        """Scan all minutes, including future ones, until about ``limit`` events are found."""
        at = self._at
        while at.scan is not None and (points := sum(found.values())) < limit:
            ahead = at.scan > self._clocks.now() // MINUTE + _AHEAD
            end = _END if ahead else min(at.scan + self._step, _END)
            new = dict(self._count(measurement, at.scan, end))
            found |= new
            many = sum(new.values())
            at.scan = end if end < _END else None
            if many > 2 * limit:
                self._step = max(1, self._step // 2)
            elif many + points < limit:
                self._step = min(2 * self._step, _END)

    def _read_heartbeats(
        self, measurement: str, found: Minutes, tail: Interval, limit: int
    ) -> None:
        """Read heartbeats an hour at a time until they report ``limit`` events."""
        tick, server = self._clocks.tick(), self._clocks.server()
        margin = _SHORT_MARGIN
        if tick >= self._margin_due:
            margin, self._margin_due = MARGIN, tick + _MARGIN_EVERY
        begin, until = self._at.heartbeat - margin, server + MINUTE
        self._taken = {m: t for m, t in self._taken.items() if t >= self._at.heartbeat - MARGIN}
        while begin < until and sum(found.values()) < limit:
            end = min(begin + _HOUR, until)
            told: list[DeliveredInterval] = []
            for heartbeat in read_heartbeats(self._heptad, begin, end, self._intake):
                self._hear(heartbeat)
                told += self._news_of(heartbeat, tail)
                self._at.heartbeat = max(self._at.heartbeat, min(heartbeat.time, server))
            self._add(measurement, found, told)
            begin = end
        if begin >= until:
            self._heartbeats_due = tick + _EVERY

    def _hear(self, heartbeat: Heartbeat) -> None:
        """Add a heartbeat with its age: an old one that is read now is not a sign of life."""
        age = max(0, self._clocks.server() - heartbeat.time) / 10**9
        self.fleet.take(heartbeat, self._clocks.tick() - age)

    def _news_of(self, heartbeat: Heartbeat, tail: Interval) -> Iterator[DeliveredInterval]:
        """Yield the intervals of a heartbeat that was not processed yet, without the tail."""
        if heartbeat.time <= self._taken.get(heartbeat.machine, 0):
            return
        self._taken[heartbeat.machine] = heartbeat.time
        first = max(0, tail[0] - self._keeps // MINUTE - _AHEAD)
        for since, until, points in heartbeat.intervals:
            for begin, end in ((first, tail[0]), (tail[1], _END)):
                if points > 0 and max(since, begin) < min(until, end):
                    yield max(since, begin), min(until, end), points

    def _add(self, measurement: str, found: Minutes, told: Iterable[DeliveredInterval]) -> None:
        """Add what heartbeats reported.

        If that is sparse, query the bucket for the exact minutes.
        """
        sparse: list[DeliveredInterval] = []
        for since, until, points in told:
            if until - since > min(2 * points, _LONGEST):
                sparse.append((since, until, points))
                continue
            each, rest = divmod(points, until - since)
            for minute in range(since, until):
                found[minute] = found.get(minute, 0) + max(1, each + (minute - since < rest))
        if not sparse:
            return
        hull = (min(since for since, _, _ in sparse), max(until for _, until, _ in sparse))
        intervals = merge_intervals((since, until) for since, until, _ in sparse)
        points = sum(points for _, _, points in sparse)
        place = 0
        for minute, number in self._count(measurement, *hull):
            while place < len(intervals) and intervals[place][1] <= minute:
                place += 1
            if place < len(intervals) and intervals[place][0] <= minute:
                found[minute] = found.get(minute, 0) + max(1, min(number, points))
                points -= min(number, points)

    def _count_tail(self, measurement: str, found: Minutes, tail: Interval) -> None:
        before, now = dict(self._at.tail), dict(self._count(measurement, *tail))
        for minute, number in now.items():
            if number > before.get(minute, 0):
                found[minute] = number - before.get(minute, 0)
        self._at.tail = sorted(now.items())

    def _count(self, measurement: str, since: int, until: int) -> Iterator[tuple[int, int]]:
        return self._events.count_minutes(measurement, since * MINUTE, until * MINUTE)


def _pieces(found: Minutes, position: str, edges: Sequence[int]) -> Iterator[Arrival]:
    """Yield runs of minutes that lie on one side of each edge; a minute is not split."""
    # a minute that contains an edge becomes a piece of its own
    cuts = {minute for edge in edges for minute in (edge // MINUTE, -(-edge // MINUTE))}
    minutes = sorted(found)
    begins = [b for a, b in pairwise(minutes) if b > a + 1 or b in cuts]
    starts = [*minutes[:1], *begins]
    ends = [*begins, _END + 1]
    place = 0
    for start, end in zip(starts, ends, strict=False):
        points = last = 0
        while place < len(minutes) and minutes[place] < end:
            last = minutes[place]
            points += found[last]
            place += 1
        yield Arrival(start * MINUTE, last * MINUTE + MINUTE - 1, points, position)

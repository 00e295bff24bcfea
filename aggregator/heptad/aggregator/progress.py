"""What has arrived since the last look: the spans of time that must be read again."""

import threading
from typing import Annotated, Final

import msgspec

from heptad.aggregator.stopping import until_stopped
from heptad.core.intervals import MINUTE, Interval, merge_intervals
from heptad.core.store.event_row import MEASUREMENT

__all__ = ["MINUTE", "merge_intervals"]
from heptad.core.event import Time
from heptad.core.store.api import EventStore
from heptad.core.validation import decode_time

AHEAD: Final = 86_400 * 10**9
"""What lies further ahead of the clock, in nanoseconds, is not looked at before its time."""
MOST_AHEAD: Final = 1000
"""So many spans of it are remembered, the nearest ones."""
_LONGEST_WAIT: Final = 60 * 1440
"""Minutes; of what lay ahead longer ago no part of it is looked at."""
_CHUNK: Final = 5000
_MOST_FRESH: Final = 120_000
"""So many new ones in one look: it shows the day's findings again of everyone who is in it, so
that many small looks at a backlog cost more, and it holds what it found until it is committed."""
_MOST_CHUNKS: Final = 500
"""What comes late only marks days, and new events may have arrived behind it."""
OPEN_MINUTES: Final = 60
"""Minutes that stay open to events that come late."""


class Progress(msgspec.Struct):
    """How far the aggregator is; committed with what follows from it.

    ``store`` names the store of events to which ``position`` belongs; ``newest`` is the newest
    event time that has been seen, not later than the clock, ``latest`` the newest of all that
    was to be looked at, both in nanoseconds; ``ahead`` are the spans whose time has not come.
    """

    store: str = ""
    position: str = ""
    newest: Time = 0
    latest: Time = 0
    ahead: Annotated[list[Interval], msgspec.Meta(max_length=MOST_AHEAD)] = []


class Arrived(msgspec.Struct):
    """What a look found: ``spans`` merged and in order; events that came too late, or too early.

    ``late`` were beyond the horizon, in ``late_spans``; ``ahead`` more than a day ahead of the
    clock. ``behind`` lay so far behind the newest that their days have to be read again.
    """

    intervals: list[Interval]
    late_intervals: list[Interval]
    late: int
    ahead: int
    behind: int
    more: bool


PROGRESS: Final = "progress"
_decode_progress: Final = msgspec.json.Decoder(Progress).decode


def recall_progress(reports: EventStore, name: str) -> Progress:
    """The progress on the store of this name, as it was kept; of another one's it begins anew.

    Where it is not whole, too: reading everything again changes nothing.
    """
    kept = reports.intake.restore(PROGRESS, reports.recall(PROGRESS), _decode_progress)
    return kept if kept is not None and kept.store == name else Progress(store=name)


def recall_start(events: EventStore) -> int:
    """When (ns) the exporter first began; what is older is history. 0 where that is not known."""
    known = events.intake.restore("first_start", events.recall("first_start"), decode_time)
    return 0 if known is None else known


def take_arrivals(
    events: EventStore, progress: Progress, horizon: int, now: int, stop: threading.Event
) -> Arrived:
    """Move ``progress`` over what arrived after it; times and ``horizon`` are nanoseconds.

    An event is late by what it lies behind the newest one that arrived before it, not by the
    clock: so a backlog that is read in order is never late. History (from before the exporter's
    first start) is not late either. Events later than ``horizon`` are counted and kept apart.
    Those more than a day ahead of the clock are counted, and wait until it is their time.
    """
    history = recall_start(events)
    limit = now // MINUTE * MINUTE + AHEAD
    progress.newest = min(progress.newest, now)
    if progress.latest > limit:  # the clock went back: what was seen is ahead of it again
        last = min(progress.latest // MINUTE, limit // MINUTE + _LONGEST_WAIT)
        seen = (limit // MINUTE, last + 1)
        progress.ahead = merge_intervals([*progress.ahead, seen])[:MOST_AHEAD]
        progress.latest = limit
    intervals, late_intervals = _take_ahead(progress, limit // MINUTE), list[Interval]()
    late = ahead = behind = fresh = 0
    more = False
    for _, until in intervals:
        _see(progress, until * MINUTE - 1, now)
    for _ in until_stopped(range(_MOST_CHUNKS), stop):
        line = max(history, progress.newest - horizon)
        recent = progress.newest // MINUTE * MINUTE - OPEN_MINUTES * MINUTE
        edges = sorted({history, line, recent, limit} if line > history else {recent, limit})
        pieces = events.arrived(MEASUREMENT, progress.position, _CHUNK, edges)
        for piece in pieces:
            progress.position = piece.position
            span = (piece.oldest // MINUTE, piece.newest // MINUTE + 1)
            if piece.oldest >= limit:
                ahead += piece.points
                progress.ahead.append(span)
                continue
            if history <= piece.oldest and piece.newest < line:
                late += piece.points
                late_intervals.append(span)
            else:
                intervals.append(span)
            if piece.newest < recent:
                behind += piece.points
            else:
                fresh += piece.points
            _see(progress, piece.newest, now)
        progress.ahead = merge_intervals(progress.ahead)[:MOST_AHEAD]
        more = sum(piece.points for piece in pieces) >= _CHUNK
        if not more or fresh >= _MOST_FRESH:
            break
    found = merge_intervals(intervals), merge_intervals(late_intervals)
    return Arrived(*found, late, ahead, behind, more)


def _take_ahead(progress: Progress, limit: int) -> list[Interval]:
    """The minutes before ``limit`` that were ahead of it until now."""
    waiting = progress.ahead
    progress.ahead = [(max(since, limit), until) for since, until in waiting if until > limit]
    return [
        (max(since, limit - _LONGEST_WAIT), min(until, limit))
        for since, until in waiting
        if since < limit and until > limit - _LONGEST_WAIT
    ]


def _see(progress: Progress, newest: int, now: int) -> None:
    progress.newest = max(progress.newest, min(newest, now))
    progress.latest = max(progress.latest, newest)

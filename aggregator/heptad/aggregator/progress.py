"""What arrived since the last cycle: the intervals of time that must be read again."""

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
"""Events further ahead of the clock than this (ns) wait until their time comes."""
MOST_AHEAD: Final = 1000
"""Maximum number of intervals ahead of the clock that are remembered; the nearest are kept."""
_LONGEST_WAIT: Final = 60 * 1440
"""Minutes. Intervals ahead of the clock that came due longer ago than this are dropped."""
_CHUNK: Final = 5000
_MOST_FRESH: Final = 120_000
"""Maximum number of new events in one pass. Each pass computes the day's findings of every affected
subject again, so many small passes over a backlog cost more; the results are held in memory until
the commit."""
_MOST_CHUNKS: Final = 500
"""Maximum number of chunks in one pass. Late events only mark days as dirty, and new events may
have arrived after them."""
OPEN_MINUTES: Final = 60
"""Minutes before the newest event that stay open for late events."""


class Progress(msgspec.Struct):
    """How far the aggregator has read; committed together with the results.

    ``store`` identifies the store of events to which ``position`` belongs. ``newest`` is the newest
    event time seen, capped at the clock; ``latest`` is the newest time of all events taken, both in
    nanoseconds. ``ahead`` are the intervals whose time has not come.
    """

    store: str = ""
    position: str = ""
    newest: Time = 0
    latest: Time = 0
    ahead: Annotated[list[Interval], msgspec.Meta(max_length=MOST_AHEAD)] = []


class Arrived(msgspec.Struct):
    """The result of one pass: ``intervals``, merged and in order, and counts of events.

    ``late`` events were beyond the horizon, in ``late_intervals``; ``ahead`` events are more than a
    day ahead of the clock. ``behind`` events are so far behind the newest that their days must be
    read again.
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
    """Return the stored progress on the store ``name``; for another store, start over.

    The same if it is damaged: reading everything again does not change the results.
    """
    kept = reports.intake.restore(PROGRESS, reports.recall(PROGRESS), _decode_progress)
    return kept if kept is not None and kept.store == name else Progress(store=name)


def recall_start(events: EventStore) -> int:
    """Return when (ns) the exporter first started; older events are history. 0 if unknown."""
    known = events.intake.restore("first_start", events.recall("first_start"), decode_time)
    return 0 if known is None else known


def take_arrivals(
    events: EventStore, progress: Progress, horizon: int, now: int, stop: threading.Event
) -> Arrived:
    """Move ``progress`` past what arrived after it; times and ``horizon`` are in nanoseconds.

    The lateness of an event is its distance from the newest event that arrived before it, not from
    the clock, so a backlog that is read in order is never late. History (from before the exporter's
    first start) is never late either. Events later than ``horizon`` are counted and returned
    separately. Events more than a day ahead of the clock are counted, and wait until their time
    comes.
    """
    history = recall_start(events)
    limit = now // MINUTE * MINUTE + AHEAD
    progress.newest = min(progress.newest, now)
    if progress.latest > limit:  # the clock was set back: seen events are ahead of it again
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
    """Return the minutes before ``limit`` that were ahead of it until now."""
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

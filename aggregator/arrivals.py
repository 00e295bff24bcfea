"""What has arrived since the last look: the spans of time that must be read again."""

from collections.abc import Iterator
from typing import Final

import msgspec

from heptad.event_row import MEASUREMENT
from heptad.store import Arrival, Store

MINUTE: Final = 60 * 10**9
_CHUNK: Final = 5000
_MOST_CHUNKS: Final = 20

Span = tuple[int, int]
"""since <= t < until, in whole minutes since the epoch."""


class Progress(msgspec.Struct):
    """How far the aggregator is; committed with what follows from it.

    ``store`` names the file of events to which ``position`` belongs; ``newest`` is the newest
    event time that has been seen, not later than the clock, ``latest`` the newest of all, both
    in nanoseconds.
    """

    store: str = ""
    position: int = 0
    newest: int = 0
    latest: int = 0


class Arrived(msgspec.Struct):
    """What a look found: ``spans`` merged and in order, ``late`` events beyond the horizon."""

    spans: list[Span]
    late: int
    more: bool


def take(events: Store, progress: Progress, horizon: int, now: int) -> Arrived:
    """Move ``progress`` over what arrived after it; times and ``horizon`` are nanoseconds.

    An event is late by what it lies behind the newest one that arrived before it, not by the
    clock: so a backlog that is read in order is never late. History (from before the exporter's
    first start) is not late either. Events later than ``horizon`` are counted and left out.
    """
    history = int(events.recall("first_start") or 0)
    spans, late, more = [], 0, False
    for number in range(_MOST_CHUNKS + 1):
        arrival = events.arrived(MEASUREMENT, progress.position, _CHUNK)
        if arrival is None:
            break
        if number == _MOST_CHUNKS:
            more = True
            break
        line = max(history, progress.newest - horizon)
        lines = (history, line) if line > history else ()
        for piece in _tighten(events, progress.position, arrival, lines):
            if history <= piece.oldest and piece.newest < line:
                late += piece.points
            else:
                spans.append((piece.oldest // MINUTE, piece.newest // MINUTE + 1))
        progress.position = arrival.position
        progress.newest = max(progress.newest, min(arrival.newest, now))
        progress.latest = max(progress.latest, arrival.newest)
    return Arrived(merge_spans(spans), late, more)


def _tighten(
    events: Store, position: int, arrival: Arrival, lines: tuple[int, ...]
) -> Iterator[Arrival]:
    """Halve an arrival until it is dense in time and on one side of each of ``lines``.

    One straggler among many events must not cause all the time in between to be read again.
    """
    minutes = (arrival.newest - arrival.oldest) // MINUTE
    astride = any(arrival.oldest < line <= arrival.newest for line in lines)
    if arrival.points <= 1 or (minutes <= 2 * arrival.points and not astride):
        yield arrival
        return
    half = arrival.points // 2
    for points in (half, arrival.points - half):
        part = events.arrived(MEASUREMENT, position, points)
        if part is None:
            return
        yield from _tighten(events, position, part, lines)
        position = part.position


def merge_spans(spans: list[Span]) -> list[Span]:
    """The same minutes in order, each once."""
    merged: list[Span] = []
    for since, until in sorted(spans):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged

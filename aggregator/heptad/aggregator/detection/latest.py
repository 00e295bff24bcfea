"""The current findings and sessions of a range."""

from collections.abc import Iterator, Mapping
from typing import Any

from heptad.aggregator.detection.finding import (
    DAY,
    LONG,
    LONGEST,
    SESSION,
    SHORT,
    Finding,
    Revision,
    last_revisions,
)
from heptad.core.intervals import MINUTE
from heptad.core.store.api import EventStore


def latest_sessions(store: EventStore, since: int, until: int) -> list[Finding]:
    """Return the sessions that overlap [since, until), the latest start first."""
    standing = _standing_sessions(store, since - LONGEST, until, since)
    return sorted(standing, key=lambda session: (session.first, session.key), reverse=True)


def walk_sessions(store: EventStore, since: int, until: int) -> Iterator[tuple[int, list[Finding]]]:
    """Yield the same, newest day first, each time with how far back it went (ns)."""
    for begin, end in _days_of(since, until):
        yield begin, _standing_sessions(store, begin // MINUTE * MINUTE, end, since)
    yield since, _standing_sessions(store, since - LONGEST, since, since)


def _standing_sessions(store: EventStore, begin: int, end: int, since: int) -> list[Finding]:
    """Return the sessions that started in [begin, end) and did not end before ``since``."""
    return [
        revision.finding
        for revision in last_revisions(store, begin, end, SESSION).values()
        if revision.is_current and max(revision.finding.last, revision.finding.overdue) >= since
    ]


def latest_findings(store: EventStore, since: int, until: int) -> list[Finding]:
    """Return the current findings that overlap [since, until), in order of time."""
    return sorted(_standing(store, since, until), key=lambda finding: (finding.first, finding.key))


def walk_findings(store: EventStore, since: int, until: int) -> Iterator[tuple[int, list[Finding]]]:
    """Yield the same, newest day first, each time with how far back it went (ns)."""
    for begin, end in _days_of(since, until):
        yield begin, _standing_of(last_revisions(store, begin // MINUTE * MINUTE, end), begin)
    yield since, list(_standing(store, since, since))


def _days_of(since: int, until: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each day of the range, newest first."""
    end = until
    while end > since:
        begin = max(since, (end - 1) // DAY * DAY)
        yield begin, end
        end = begin


def _standing(store: EventStore, since: int, until: int) -> Iterator[Finding]:
    revisions = last_revisions(store, since - SHORT, until)
    revisions |= last_revisions(store, since - LONGEST, since - SHORT, LONG)
    yield from _standing_of(revisions, since)


def _standing_of(revisions: Mapping[Any, Revision], since: int) -> list[Finding]:
    found = [revision.finding for revision in revisions.values() if revision.is_current]
    return [finding for finding in found if finding.last >= since]

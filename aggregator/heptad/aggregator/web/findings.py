"""The view of findings: the most severe and newest first, and the evidence of one of them."""

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.finding import Finding, find_finding, technique_url
from heptad.aggregator.detection.latest import walk_findings, walk_sessions
from heptad.aggregator.summary.build import session_row
from heptad.aggregator.web.events import SHOWN, fits, show_event
from heptad.aggregator.web.query import BadQuery, Query
from heptad.core.influxdb.client import TooSlow
from heptad.core.store.api import EventStore
from heptad.core.terminal import printable
from heptad.core.units import SECOND, format_time

_SENTENCE: Final = 600
_SECONDS: Final = 1.5
_LONGEST: Final = 32 * 86_400 * SECOND


def list_findings(reports: EventStore | None, query: Query) -> dict[str, Any]:
    """Return at most ``query.limit`` findings that overlap the range, and their total number.

    ``from`` is how far back the search went if it ran out of time.
    """
    if reports is None:
        return {"findings": [], "number": 0, "from": None, "waiting": True}
    now = int(time.time() * SECOND)
    until = min(query.until, now + SECOND)
    since = max(query.since, until - _LONGEST)
    found, reached = _collect(walk_findings(reports, since, until), since)
    found.sort(key=lambda finding: (-finding.rank, -finding.last, finding.key))
    return {
        "findings": [_show(f.at(now)) for f in found[: query.limit]],
        "number": len(found),
        "from": None if reached is None else format_time(reached),
    }


def _collect(
    walked: Iterator[tuple[int, list[Finding]]], since: int
) -> tuple[list[Finding], int | None]:
    """Collect findings; the second value is how far back (ns) the walk went if time ran out."""
    found: dict[tuple[str, str, int], Finding] = {}
    reached, end = None, time.monotonic() + _SECONDS
    try:
        for begin, findings in walked:
            reached = begin
            for finding in findings:
                found.setdefault(finding.key, finding)
            if time.monotonic() >= end and begin > since:
                return list(found.values()), begin
    except TooSlow:
        if reached is None:
            raise
        return list(found.values()), reached
    return list(found.values()), None


def list_sessions(reports: EventStore | None, query: Query) -> dict[str, Any]:
    """Return at most ``query.limit`` sessions that overlap the range, the latest first.

    ``from`` is how far back the search went, by session start, if it ran out of time.
    """
    if reports is None:
        return {"sessions": [], "number": 0, "from": None, "waiting": True}
    now = int(time.time() * SECOND)
    until = min(query.until, now + SECOND)
    since = max(query.since, until - _LONGEST)
    found, reached = _collect(walk_sessions(reports, since, until), since)
    found.sort(key=lambda session: (session.first, session.key), reverse=True)
    return {
        "sessions": [
            _escape(msgspec.to_builtins(session_row(s, now))) for s in found[: query.limit]
        ],
        "number": len(found),
        "from": None if reached is None else format_time(reached),
    }


def show_evidence(events: EventStore, reports: EventStore | None, query: Query) -> dict[str, Any]:
    """Return the matching events of the finding ``query.finding``, newest first.

    ``note`` says which part of the evidence these events are, if it is incomplete.
    """
    finding = find_finding(reports, query.finding) if reports is not None else None
    if reports is None or finding is None:
        raise BadQuery("no finding has this id; it may have been deleted because of its age")
    evidence = read_evidence(reports, events, finding)
    return {
        "events": [show_event(event) for event in reversed(evidence.events) if fits(event, query)],
        "count": finding.count,
        "note": evidence.note(finding),
        "sentence": printable(finding.sentence, _SENTENCE),
    }


def _show(finding: Finding) -> dict[str, Any]:
    shown: dict[str, Any] = _escape(msgspec.to_builtins(finding.content))
    shown["id"] = finding.id
    shown["title"] = printable(finding.name, SHOWN)
    shown["facts"] = printable(finding.facts or finding.sentence, _SENTENCE)
    shown["technique_url"] = technique_url(finding.technique)
    shown["sentence"] = printable(finding.sentence, _SENTENCE)
    for settled in ("overdue", "overdue_sentence"):
        shown.pop(settled, None)
    shown["first"], shown["last"] = format_time(finding.first), format_time(finding.last)
    # just after the last event
    shown["until"] = format_time(finding.last + 1000)
    shown["key"] = printable(f"{finding.rule}/{finding.subject}/{finding.first}", SHOWN)
    return shown


def _escape(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, SHOWN)
    if isinstance(value, dict):
        return {name: _escape(inner) for name, inner in value.items()}
    return [_escape(inner) for inner in value] if isinstance(value, list | tuple) else value

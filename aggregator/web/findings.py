"""The findings of a range, the most severe and newest first."""

import time as clock
from typing import Any, Final

import msgspec

from aggregator.finding import Finding, latest_findings
from aggregator.web.events import SHOWN
from aggregator.web.query import Query
from heptad.store.local import LocalStore
from heptad.terminal import printable
from heptad.units import SECOND, format_time

_SENTENCE: Final = 600
_LONGEST: Final = 32 * 86_400 * SECOND


def list_findings(reports: LocalStore | None, query: Query) -> dict[str, Any]:
    """At most ``query.limit`` findings that share time with the range, and how many there are."""
    if reports is None:
        return {"findings": [], "number": 0, "waiting": True}
    now = int(clock.time() * SECOND)
    until = min(query.until, now + SECOND)
    since = max(query.since, until - _LONGEST)
    found = latest_findings(reports, since, until)
    found.sort(key=lambda finding: (-finding.rank, -finding.last, finding.key))
    return {"findings": [_show(f.at(now)) for f in found[: query.limit]], "number": len(found)}


def _show(finding: Finding) -> dict[str, Any]:
    shown: dict[str, Any] = _escape(msgspec.to_builtins(finding))
    shown["sentence"] = printable(finding.sentence, _SENTENCE)
    for settled in ("overdue", "overdue_sentence"):
        shown.pop(settled, None)
    shown["first"], shown["last"] = format_time(finding.first), format_time(finding.last)
    shown["key"] = printable(f"{finding.rule}/{finding.subject}/{finding.first}", SHOWN)
    # behind the last event: the range of the evidence has it too
    shown["until"] = format_time(finding.last + 1000)
    return shown


def _escape(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, SHOWN)
    if isinstance(value, dict):
        return {name: _escape(inner) for name, inner in value.items()}
    return [_escape(inner) for inner in value] if isinstance(value, list | tuple) else value

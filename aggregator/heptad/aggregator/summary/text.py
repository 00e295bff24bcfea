"""Render the summary as text: what to check first, what happened, what is unusual.

Every value from a log is escaped for a terminal (``heptad.core.terminal``).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from heptad.aggregator.reports.counting import Top
from heptad.aggregator.summary.build import MOST_FINDINGS, build_summary
from heptad.aggregator.summary.model import (
    AccessTable,
    FindingEvents,
    SessionCount,
    SessionRow,
    Summary,
)
from heptad.core.terminal import columns, printable
from heptad.core.units import format_time
from heptad.core.wording import count_of

__all__ = ["SHOW_EVENTS", "Summary", "build_summary", "to_text"]

SHOW_EVENTS: Final = "heptad events --finding"
HOSTS = ("host", "first event", "last event", "events", "gaps", "lines not understood")
_WIDEST = 48
_SENTENCE = 400
_SAMPLE = 160
_MOST_LINES = 3


def to_text(report: Summary, options: str = "") -> str:
    """Render a summary as text; ``options`` are appended to the commands that it shows."""
    lines = [f"Heptad report, {_minute(report.since)} to {_minute(report.until)} (UTC)"]
    lines += [format_read_until(report), ""]
    for title, body in _sections(report, options):
        lines += [title, *(f"  {line}".rstrip() for line in body), ""]
    return "\n".join(lines).rstrip()


def format_read_until(report: Summary) -> str:
    """Return a sentence with the time up to which the summary is complete."""
    if not report.looked_until:
        return "It is unknown up to when the logs were processed."
    return f"The logs were processed up to {report.looked_until[:19].replace('T', ' ')}."


def _sections(report: Summary, options: str) -> Iterator[tuple[str, list[str]]]:
    yield "What to check first", _first(report)
    yield "What happened", _summary(report)
    if report.findings:
        yield f"Findings ({len(report.findings)})", list(_findings(report, options))
    if report.logins:
        rows = [
            (row.host, row.program, row.method or "-", row.attempts, row.successes, row.failures)
            for row in report.logins
        ]
        heading = ("host", "service", "method", "attempts", "successes", "failures")
        yield "Logins", _table(heading, rows)
    if report.successes.rows:
        yield "Successful logins, latest first", _accesses(report.successes)
    if report.privileges.rows:
        yield "Privilege use (sudo, su), latest first", _privileges(report.privileges)
    if report.failing_addresses.rows:
        yield "Addresses of failed logins", _top("address", report.failing_addresses)
        yield "User names of failed logins", _top("name", report.failing_users)
    yield from _more_sections(report)
    if report.events:
        events = [(row.program, row.action, row.outcome, row.count) for row in report.events]
        yield "All events", _table(("service", "action", "outcome", "count"), events)
    if report.gaps:
        gaps = [(_minute(g.time), g.host, g.source, g.reason, g.what) for g in report.gaps]
        title = f"Gaps: parts of a log that could not be read ({report.gaps_number})"
        yield title, _table(("time", "host", "source", "reason", "detail"), gaps)
    if report.not_understood:
        yield "Unparsed lines, since the store was created", list(_not_understood(report))


def _more_sections(report: Summary) -> Iterator[tuple[str, list[str]]]:
    if report.was_on:
        yield f"User sessions, latest first ({report.was_on_number})", _was_on(report)
    if report.changes.rows:
        yield "Accounts, groups and passwords, latest first", _changes(report.changes)
    if report.sessions:
        sessions = [
            (s.host, s.program, s.opened, s.closed, s.open, _mean(s)) for s in report.sessions
        ]
        heading = ("host", "service", "opened", "closed", "open", "mean duration")
        yield "Sessions", _table(heading, sessions)
    if report.seen:
        seen = [
            (h.host, _minute(h.first), _minute(h.last), h.events, h.gaps, h.not_understood)
            for h in report.seen
        ]
        yield "Hosts", _table(HOSTS, seen)


def _first(report: Summary) -> list[str]:
    told = [f"- {printable(text, _SENTENCE)}" for text in report.unheard]
    first = enumerate(report.first, start=1)
    told += [f"{n}. {printable(text, _SENTENCE)}" for n, text in first]
    if report.gaps_number:
        told.append("- a part of a log could not be read: see the gaps below")
    told += [
        f"- {row.lines} lines of {printable(row.program, _WIDEST)} were not understood: its "
        "log format may have changed"
        for row in report.not_understood
        if row.lines and row.program
    ]
    return told or ["Nothing needs attention."]


def _summary(report: Summary) -> list[str]:
    attempts = sum(row.attempts for row in report.logins)
    successes = sum(row.successes for row in report.logins)
    failures = sum(row.failures for row in report.logins)
    hosts = ", ".join(printable(host, _WIDEST) for host in report.hosts[:5])
    more = f" and {len(report.hosts) - 5} more" if len(report.hosts) > 5 else ""
    return [
        f"{count_of(report.total, 'event')} on {hosts or 'no host'}{more}",
        f"{count_of(attempts, 'login attempt')}: {successes} succeeded, {failures} failed",
        *(
            f"{number.outcome}: {count_of(number.users, 'user')}, "
            f"{count_of(number.addresses, 'address', 'addresses')}"
            for number in report.distinct
        ),
    ]


def _findings(report: Summary, options: str) -> Iterator[str]:
    shown = {evidence.id: evidence for evidence in report.evidence}
    for finding in report.findings[:MOST_FINDINGS]:
        technique = f" ({finding.technique})" if finding.technique else ""
        yield f"{finding.severity:<6}  {finding.rule}{technique}"
        yield f"        {printable(finding.sentence, _SENTENCE)}"
        begin, end = (_minute(format_time(time)) for time in (finding.first, finding.last))
        yield f"        {begin} to {end}"
        if finding.id in shown:
            yield from (f"        {line}" for line in _evidence(shown[finding.id], options))
    if len(report.findings) > MOST_FINDINGS:
        yield f"and {len(report.findings) - MOST_FINDINGS} more; see --format json"


def _evidence(shown: FindingEvents, options: str) -> Iterator[str]:
    for line in shown.lines[:_MOST_LINES]:
        times = f" (×{line.count})" if line.count > 1 else ""
        yield f"| {printable(line.line, _SAMPLE)}{times}"
    more = len(shown.lines) - _MOST_LINES
    left = f"and {count_of(more, 'more line')}: " if more > 0 else "all events: "
    note = shown.note and f" ({shown.note})"
    yield f"{left}{SHOW_EVENTS} {shown.id}{options}{note}"


def _accesses(accesses: AccessTable) -> list[str]:
    rows = [
        (
            _minute(a.last),
            a.who or "-",
            a.source or "-",
            a.host,
            a.program,
            a.method or "-",
            a.count,
        )
        for a in accesses.rows
    ]
    heading = ("last", "user", "source", "host", "service", "method", "count")
    return _table(heading, rows) + _others(accesses.others)


def _privileges(accesses: AccessTable) -> list[str]:
    rows = [
        (
            _minute(a.last),
            a.who or "-",
            a.target or "-",
            a.host,
            a.program,
            a.outcome,
            a.count,
            a.what,
        )
        for a in accesses.rows
    ]
    heading = ("last", "user", "as", "host", "service", "outcome", "count", "command")
    return _table(heading, rows) + _others(accesses.others)


def _changes(changes: AccessTable) -> list[str]:
    rows = [
        (
            _minute(a.last),
            a.who or "-",
            a.action,
            a.target or "-",
            a.what or "-",
            a.host,
            a.program,
            a.outcome,
            a.count,
        )
        for a in changes.rows
    ]
    heading = ("last", "user", "change", "target", "object", "host", "service", "outcome", "count")
    return _table(heading, rows) + _others(changes.others)


def format_session_end(session: SessionRow) -> str:
    """Return how a session ended, or its duration."""
    return {
        "closed": _length(session.seconds),
        "restart": f"{_length(session.seconds)}, until the host restarted",
        "reused": "no end logged",
        "never": "no end logged",
    }.get(session.end, "open")


def _was_on(report: Summary) -> list[str]:
    rows = [
        (
            _minute(s.begin),
            s.user or "-",
            s.address or "-",
            s.host,
            s.program,
            format_session_end(s),
        )
        for s in report.was_on
    ]
    more = report.was_on_number - len(rows)
    return _table(("start", "user", "source", "host", "service", "duration"), rows) + (
        [f"and {count_of(more, 'session')} more"] if more else []
    )


def _length(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _mean(sessions: SessionCount) -> str:
    return _length(sessions.mean_seconds) if sessions.longest_seconds else "-"


def _top(name: str, top: Top) -> list[str]:
    rows = [(row.name or "(none)", row.count) for row in top.rows]
    return _table((name, "failures"), rows) + _others(top.others)


def _others(count: int) -> list[str]:
    return [f"and {count} from others"] if count else []


def _not_understood(report: Summary) -> Iterator[str]:
    for row in report.not_understood:
        yield f"{printable(row.program, _WIDEST) or '(no header)'}: {row.lines}"
        for sample in row.samples:
            yield f"  {printable(sample, _SAMPLE)}"


def _table(heading: Sequence[str], rows: Iterable[Sequence[str | int]]) -> list[str]:
    """Format a table: columns as wide as needed, numbers right-aligned."""
    table = [list(heading)]
    numbers: set[int] = set()
    for row in rows:
        numbers |= {place for place, value in enumerate(row) if isinstance(value, int)}
        table.append([printable(str(value), _WIDEST) for value in row])
    widths = [max(map(columns, column)) for column in zip(*table, strict=True)]
    return ["  ".join(_pad(row, widths, numbers)).rstrip() for row in table]


def _pad(row: Sequence[str], widths: Sequence[int], numbers: set[int]) -> Iterator[str]:
    for place, (text, width) in enumerate(zip(row, widths, strict=True)):
        blanks = " " * (width - columns(text))
        yield blanks + text if place in numbers else text + blanks


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")

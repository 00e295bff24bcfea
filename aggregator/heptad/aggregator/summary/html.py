"""Render the summary as one HTML file that can be mailed: no scripts, no external resources.

Every value is passed through ``heptad.core.terminal.printable``, which escapes control and
bidirectional characters and truncates long values, and is then escaped for HTML by the template
engine. ``finalize`` and autoescape do this for every expression, so a template cannot omit it. The
Content-Security-Policy (CSP Level 3) of the file allows one style sheet, by its hash, and nothing
else.

The chart is built here because it is only a few bars, and a charting library (pygal) adds scripts
or style attributes, which the policy forbids.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from heptad.aggregator.detection.finding import Finding, technique_url
from heptad.aggregator.reports.counting import Top
from heptad.aggregator.summary.model import AccessTable, FindingEvents, Slot, Summary
from heptad.aggregator.summary.text import HOSTS, format_read_until, format_session_end
from heptad.core.terminal import printable
from heptad.core.units import format_time

LONGEST: Final = 400
"""The maximum number of characters shown of a value."""
MOST_FINDINGS: Final = 50
_MOST_LINES: Final = 50
WIDTH: Final = 960
HEIGHT: Final = 160
TIMES: Final = {"last", "time", "start", "first event", "last event"}
"""Headings of columns with a time, which must not be wrapped."""
_FOLDER: Final = Path(__file__).parent


class Table(NamedTuple):
    """A section of the page; ``note`` is shown below the table."""

    title: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str | int]]
    note: str = ""


class Bar(NamedTuple):
    """A bar of the chart; position and size in the chart's units, from the top left."""

    kind: str
    x: int
    y: int
    width: int
    height: int
    title: str


def to_html(report: Summary) -> str:
    """Render a summary as an HTML page."""
    peak = _peak(report.timeline)
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        report=report,
        style=Markup(style),  # noqa: S704 - a file of the project
        digest=digest,
        since=_minute(report.since),
        until=_minute(report.until),
        attempts=sum(row.attempts for row in report.logins),
        successes=sum(row.successes for row in report.logins),
        failures=sum(row.failures for row in report.logins),
        findings=_findings(report),
        more=max(0, len(report.findings) - MOST_FINDINGS),
        looked=format_read_until(report),
        bars=_bars(report.timeline),
        peak=peak,
        marks=[peak, 0] if peak % 2 else [peak, peak // 2, 0],
        ticks=_ticks(report.timeline),
        times=TIMES,
        width=WIDTH,
        height=HEIGHT,
        tables=[table for table in _tables(report) if table.rows],
    )


def _finalize(value: Any) -> Any:
    """Convert the value of a template expression; autoescape is applied afterwards."""
    return value if isinstance(value, Markup | int) else printable(str(value), LONGEST)


def _findings(report: Summary) -> list[dict[str, Any]]:
    shown = {evidence.id: evidence for evidence in report.evidence}
    none = FindingEvents("", [])
    return [
        _finding(finding, shown.get(finding.id, none))
        for finding in report.findings[:MOST_FINDINGS]
    ]


def _finding(finding: Finding, shown: FindingEvents) -> dict[str, Any]:
    return {
        "id": finding.id,
        "lines": shown.lines[:_MOST_LINES],
        "note": shown.note,
        "severity": finding.severity,
        "rule": finding.rule,
        "technique": finding.technique,
        "url": technique_url(finding.technique),
        "sentence": finding.sentence,
        "first": _minute(format_time(finding.first)),
        "last": _minute(format_time(finding.last)),
    }


def _peak(slots: Sequence[Slot]) -> int:
    return max((slot.successes + slot.failures for slot in slots), default=0)


def _ticks(slots: Sequence[Slot]) -> list[str]:
    """Return the start of each quarter of the chart, rounded to a bar."""
    quarters = 4 if len(slots) >= 4 else 1
    return [_minute(slots[len(slots) * n // quarters].time) for n in range(quarters) if slots]


def _bars(slots: Sequence[Slot]) -> list[Bar]:
    """Return the bars: failures, with the successes stacked on top."""
    peak, bars = _peak(slots), []
    for place, slot in enumerate(slots):
        left, right = (WIDTH * n // len(slots) for n in (place, place + 1))
        title = f"{_minute(slot.time)}: {slot.failures} failed, {slot.successes} succeeded"
        floor = HEIGHT
        for kind, number in (("failure", slot.failures), ("success", slot.successes)):
            if number:
                height = max(2, HEIGHT * number // peak)
                floor -= height
                bars.append(Bar(kind, left, max(0, floor), max(1, right - left - 2), height, title))
    return bars


def _tables(report: Summary) -> Iterator[Table]:
    yield from _tables_of_people(report)
    yield from _tables_of_hosts(report)


def _tables_of_people(report: Summary) -> Iterator[Table]:
    yield Table(
        "Logins",
        ("host", "service", "method", "attempts", "successes", "failures"),
        [
            (r.host, r.program, r.method or "-", r.attempts, r.successes, r.failures)
            for r in report.logins
        ],
    )
    yield Table(
        "Different users and addresses",
        ("logins", "users", "addresses"),
        [(row.outcome, row.users, row.addresses) for row in report.distinct],
    )
    yield _accesses("Successful logins, latest first", report.successes)
    yield _accesses("Privilege use (sudo, su), latest first", report.privileges)
    yield _accesses("Accounts, groups and passwords, latest first", report.changes)
    yield _top("Addresses of failed logins", "address", report.failing_addresses)
    yield _top("User names of failed logins", "name", report.failing_users)
    yield Table(
        f"User sessions, latest first ({report.was_on_number})",
        ("start", "user", "source", "host", "service", "duration"),
        [
            _dashes((_minute(s.begin), s.user, s.address, s.host, s.program, format_session_end(s)))
            for s in report.was_on
        ],
    )
    yield Table(
        "Sessions",
        ("host", "service", "opened", "closed", "open", "mean duration", "longest"),
        [
            (
                s.host,
                s.program,
                s.opened,
                s.closed,
                s.open,
                *_lengths(s.mean_seconds, s.longest_seconds),
            )
            for s in report.sessions
        ],
    )


def _tables_of_hosts(report: Summary) -> Iterator[Table]:
    yield Table(
        "Hosts",
        HOSTS,
        [
            (h.host, _minute(h.first), _minute(h.last), h.events, h.gaps, h.not_understood)
            for h in report.seen
        ],
    )
    yield Table(
        f"Gaps: parts of a log that could not be read ({report.gaps_number})",
        ("time", "host", "source", "reason", "detail"),
        [(_minute(g.time), g.host, g.source, g.reason, g.what) for g in report.gaps],
    )
    yield Table(
        "Unparsed lines, since the store was created",
        ("service", "lines", "latest example"),
        [
            (row.program or "(no header)", row.lines, sample)
            for row in report.not_understood
            for sample in row.samples or [""]
        ],
    )
    yield Table(
        "All events",
        ("service", "action", "outcome", "count"),
        [(row.program, row.action, row.outcome, row.count) for row in report.events],
    )


def _accesses(title: str, accesses: AccessTable) -> Table:
    columns = (
        ("last", [_minute(a.last) for a in accesses.rows]),
        ("user", [a.who for a in accesses.rows]),
        ("event", [" ".join(filter(None, (a.action, a.what))) for a in accesses.rows]),
        ("target", [a.target for a in accesses.rows]),
        ("source", [a.source for a in accesses.rows]),
        ("host", [a.host for a in accesses.rows]),
        ("service", [a.program for a in accesses.rows]),
        ("method", [a.method for a in accesses.rows]),
        ("outcome", [a.outcome for a in accesses.rows]),
        ("count", [a.count for a in accesses.rows]),
    )
    told: list[tuple[str, Sequence[str | int]]] = [
        (n, values) for n, values in columns if any(values)
    ]
    rows = list(zip(*(values for _, values in told), strict=True))
    return Table(
        title, [name for name, _ in told], [_dashes(row) for row in rows], _others(accesses.others)
    )


def _dashes(row: Iterable[str | int]) -> list[str | int]:
    return [value if value != "" else "-" for value in row]


def _top(title: str, name: str, top: Top) -> Table:
    rows = [(row.name or "(none)", row.count) for row in top.rows]
    return Table(title, (name, "failures"), rows, _others(top.others))


def _others(count: int) -> str:
    return f"and {count} from others" if count else ""


def _lengths(*seconds: float) -> list[str]:
    return [str(timedelta(seconds=round(length))) for length in seconds]


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")

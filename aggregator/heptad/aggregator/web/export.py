"""Exports of what the page shows: CSV for spreadsheets, JSON for programs.

A spreadsheet executes a cell that begins with ``=`` and similar characters, and an attacker chooses
names: such a cell is prefixed with an apostrophe (OWASP, CSV Injection). Some spreadsheets also
split lines at semicolons or tabs, so the text after each of those is prefixed too.
"""

import csv
import io
import re
import time as clock
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from heptad.aggregator.web.events import NUMBERS, TEXTS, find_events
from heptad.aggregator.web.findings import list_findings, show_evidence
from heptad.aggregator.web.query import Query
from heptad.aggregator.web.source import Opened
from heptad.core.units import SECOND, format_time

MOST: Final = 10_000
"""Maximum number of rows in a file."""
_LARGEST: Final = 6 * 2**20
_SECONDS: Final = 2.0
_ACTIVE: Final = re.compile(r"""(^|[;,|\t])(?=[\s"']*[=+\-@\uff1d\uff0b\uff0d\uff20])""")
_EVENT: Final = ("time", *TEXTS, *NUMBERS, "raw")
_FINDING: Final = (
    *("first", "last", "severity", "rule", "title", "facts", "subject", "count"),
    *("hosts", "users", "targets", "addresses", "technique", "id"),
)

Rows = Sequence[Mapping[str, Any]]


class File(NamedTuple):
    """A file to download."""

    name: str
    kind: str
    content: bytes


class _Table(NamedTuple):
    rows: Rows
    cut: str
    """A sentence about what is missing; empty if complete."""


def export(what: str, form: str, stores: Opened, query: Query) -> File:
    """Export the ``events`` or ``findings`` of a query, or the ``evidence`` of one finding."""
    columns = _FINDING if what == "findings" else _EVENT
    until = min(query.until, int(clock.time() * SECOND))
    table = _bound(_COLLECT[what](stores, query), columns)
    name = f"heptad-{what}-{_stamp(query.since)}-{_stamp(until)}.{form}"
    if what == "evidence":
        name = f"heptad-finding-{re.sub('[^0-9a-f]', '', query.finding)[:40]}.{form}"
    if form == "csv":
        return File(name, "text/csv; charset=utf-8", _write_csv(table, columns))
    told = {
        "since": format_time(query.since),
        "until": format_time(until),
        "complete": not table.cut,
        "cut": table.cut or None,
        "findings" if what == "findings" else "events": table.rows,
    }
    return File(name, "application/json", msgspec.json.encode(told))


def _collect_events(stores: Opened, query: Query) -> _Table:
    query = msgspec.structs.replace(query, limit=MOST + 1, before=None, after=-1)
    data = find_events(stores[0], query, _SECONDS)
    rows = data["events"]
    if len(rows) > MOST:
        return _Table(rows[:MOST], f"only the newest {MOST:,} events are in this file")
    if data["next"] is not None:
        return _Table(rows, f"events before {data['searched_to']} are not in this file")
    return _Table(rows, "")


def _collect_findings(stores: Opened, query: Query) -> _Table:
    data = list_findings(stores[1], msgspec.structs.replace(query, limit=MOST))
    cut = []
    if data["number"] > MOST:
        cut.append(f"only the {MOST:,} most severe of {data['number']:,} findings are in this file")
    if data["from"] is not None:
        cut.append(f"findings before {data['from']} are not in this file")
    return _Table(data["findings"], "; ".join(cut))


def _collect_evidence(stores: Opened, query: Query) -> _Table:
    data = show_evidence(*stores, query)
    rows, cut = data["events"], data["note"] or ""
    if len(rows) > MOST:
        cut = f"only the newest {MOST:,} events are in this file"
    return _Table(rows[:MOST], cut)


_COLLECT: Final[dict[str, Callable[[Opened, Query], _Table]]] = {
    "events": _collect_events,
    "findings": _collect_findings,
    "evidence": _collect_evidence,
}


def _bound(table: _Table, columns: Sequence[str]) -> _Table:
    """Keep the columns of the file, and only as many rows as fit the maximum size."""
    rows: list[Mapping[str, Any]] = []
    size = 0
    for row in table.rows:
        kept = {name: row[name] for name in columns if name in row}
        size += len(msgspec.json.encode(kept)) + 4 * len(columns)
        if size > _LARGEST:
            cut = f"only the first {len(rows):,} rows are in this file: it would be too large"
            return _Table(rows, cut)
        rows.append(kept)
    return _Table(rows, table.cut)


def _write_csv(table: _Table, columns: Sequence[str]) -> bytes:
    """Write RFC 4180 with every cell quoted; the last line says what is missing."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in table.rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    if table.cut:
        writer.writerow([f"# cut: {table.cut}", *("" for _ in columns[1:])])
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return "" if value is None else disarm(str(value))


def disarm(text: str) -> str:
    """Return the text as a cell that no spreadsheet treats as a formula."""
    return _ACTIVE.sub(r"\1'", text)


def _stamp(time: int) -> str:
    return re.sub(r"[-:]|\.\d+", "", format_time(max(time, 0)))

"""Sessions of a window: how many were opened and closed, and their durations.

PAM opens and closes a session in one process, so host, program and process id match an end to its
start; logind numbers its sessions. Ids are reused, so starts and ends are matched in order of time.
A start that is logged twice within a minute (login(1) logs it in addition to PAM) counts once.
sshd's "Close session … from ADDRESS" (session.c) is the end of a channel, not of the session.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from heptad.aggregator.reports.counting import cut, portions_of, spill_rows
from heptad.core.event import Event
from heptad.core.store.measurements import Field
from heptad.core.store.point import Value

MOST_HELD: Final = 10_000
"""Maximum number of starts and ends held in memory; the rest is spilled to a temporary file."""
SECOND: Final = 10**9
_LOGGED_TWICE: Final = 60 * SECOND


class SessionMark(NamedTuple):
    """A start or an end; ``session`` identifies the session within its host and program."""

    host: str
    program: str
    session: str
    time: int
    closes: bool


class SessionTotals(msgspec.Struct):
    """The sessions of one host and program; durations in nanoseconds."""

    opened: int = 0
    closed: int = 0
    failed: int = 0
    complete: int = 0
    length: int = 0
    longest: int = 0
    open: int = 0


class SessionsAccumulator:
    """The sessions of one window; the methods raise SpillFailed."""

    def __init__(self) -> None:
        self.failed: dict[tuple[str, str], int] = {}
        self._marks: list[SessionMark] = []
        self._spill: sqlite3.Connection | None = None

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            self._add(event)

    def _add(self, event: Event) -> None:
        if event.action == "session_open" and event.outcome == "failure":
            key = (event.host, event.program)
            self.failed[key] = self.failed.get(key, 0) + event.count
            return
        closes = event.action == "session_close"
        if closes and event.program == "sshd" and event.source_ip is not None:
            return
        by_number = event.program == "systemd-logind"
        session = cut(event.object) if by_number else str(event.pid or "")
        self._keep([SessionMark(event.host, event.program, session, event.time, closes)])

    def merge(self, other: "SessionsAccumulator") -> None:
        for key, failed in other.failed.items():
            self.failed[key] = self.failed.get(key, 0) + failed
        for some in other.portions():
            self._keep(some)

    def _keep(self, marks: Sequence[SessionMark]) -> None:
        self._marks += marks
        if len(self._marks) > MOST_HELD:
            self._flush()

    def portions(self) -> Iterator[Sequence[SessionMark]]:
        """Yield the starts and ends in portions, in no order."""
        yield self._marks
        if self._spill is not None:
            found = map(SessionMark._make, self._spill.execute("SELECT * FROM marks"))
            yield from portions_of(found, MOST_HELD)

    def _flush(self) -> sqlite3.Connection:
        table = "marks (host, program, session, time, closes)"
        insert = "INSERT INTO marks VALUES (?, ?, ?, ?, ?)"
        self._spill = spill_rows(self._spill, table, insert, self._marks)
        self._marks.clear()
        return self._spill

    def ordered(self) -> Iterable[SessionMark]:
        """Return the starts and ends, grouped by session and in order of time."""
        if self._spill is None:
            return sorted(self._marks)
        query = "SELECT * FROM marks ORDER BY host, program, session, time, closes"
        return map(SessionMark._make, self._flush().execute(query))

    def counts(self) -> dict[tuple[str, str], SessionTotals]:
        """Return the totals by host and program."""
        counts = {key: SessionTotals(failed=failed) for key, failed in self.failed.items()}
        last: SessionMark | None = None
        for mark in self.ordered():
            count = counts.setdefault((mark.host, mark.program), SessionTotals())
            if mark.session == "":
                # it is unknown which session ends, only that it is one of these
                count.opened += not mark.closes
                count.closed += mark.closes
                count.open = max(0, count.open + (-1 if mark.closes else 1))
                continue
            beginning = last if last is not None and _is_of_one(last, mark) else None
            last = _add_session(count, beginning, mark)
        return dict(sorted(counts.items()))

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        for (host, program), count in self.counts().items():
            fields: dict[str, Value] = {
                "opened": count.opened,
                "closed": count.closed,
                "refused": count.failed,
                "complete": count.complete,
                "seconds": count.length / SECOND,
                "longest_seconds": count.longest / SECOND,
                "open": count.open,
            }
            yield {"host": host, "program": program}, fields


def _is_of_one(one: SessionMark, other: SessionMark) -> bool:
    return one.session != "" and one[:3] == other[:3]


def _add_session(
    count: SessionTotals, beginning: SessionMark | None, mark: SessionMark
) -> SessionMark | None:
    """Count a mark, given the start that is still open; return the start that is open now."""
    if not mark.closes:
        if beginning is not None and mark.time - beginning.time <= _LOGGED_TWICE:
            return beginning
        count.opened += 1
        count.open += 1
        return mark
    count.closed += 1
    if beginning is not None:
        count.open -= 1
        count.complete += 1
        count.length += mark.time - beginning.time
        count.longest = max(count.longest, mark.time - beginning.time)
    return None


class SessionsReport:
    name: Final = "report_sessions"
    about: Final = (
        "Sessions per host and program within one window: a session that continues after the "
        "window is `open`, and one that started before it is `closed` but not `complete`. An "
        "end belongs to the latest start with the same process id (logind: session id); "
        "without process ids there are no durations, and each end closes one session. sshd and "
        "systemd-logind both log the same login, so do not add their numbers. The numbers are "
        "exact."
    )
    actions: Final = frozenset({"session_open", "session_close"})
    tags: Final = {"host": "where", "program": "the program that opened the session"}
    fields: Final = {
        "opened": Field(int, "sessions that started in the window"),
        "closed": Field(int, "sessions that ended in it"),
        "refused": Field(int, "sessions that could not be opened"),
        "complete": Field(int, "sessions that started and ended in it"),
        "seconds": Field(float, "total duration of the complete sessions"),
        "longest_seconds": Field(float, "duration of the longest complete session"),
        "open": Field(int, "sessions that started in it and did not end in it"),
    }

    def begin(self) -> SessionsAccumulator:
        return SessionsAccumulator()

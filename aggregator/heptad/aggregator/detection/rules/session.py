"""Sessions from login to logout, with their duration, including open and interrupted ones.

A session starts with a login or when PAM logs that it is opened, and ends when PAM logs that it is
closed, all from the same process (sshd, login). If a process id starts another session, the one
before has no logged end.
"""

import itertools
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar, Final

import msgspec

from heptad.aggregator.detection import MINUTES_A_DAY
from heptad.aggregator.detection.facts import (
    EventBatch,
    EventFilter,
    Facts,
    FactsRule,
    finding_of,
    merge,
    path_of,
)
from heptad.aggregator.detection.finding import PROGRAMS, SESSION, Finding
from heptad.aggregator.summary.wording import Words, length_of, whole_length_of
from heptad.core import units
from heptad.core.config.findings import SessionConfig
from heptad.core.event import Event
from heptad.core.intervals import MINUTE
from heptad.core.store.point import Identity

MOST_A_MINUTE: Final = 1000
"""Maximum number of events of one host in one minute; the first ones count."""
MOST_A_DAY: Final = 500
"""Maximum number of sessions of one host that start on one UTC day; the first ones are reported."""
_JOINED: Final = 10
"""Maximum number of minutes between a login and the session that PAM opens for it."""
_RESTART: Final = -1
_REUSED: Final = "reused"
_ENDS: Final = {"session_close": "closed", "host_start": "restart", _REUSED: "reused"}

SessionEvent = tuple[Identity, str, int, Facts]
"""Event, action, process id (``_RESTART`` for the host), facts."""


_ORDER: Final = ("host_start", "login", "session_open", "session_close")


def _order(step: SessionEvent) -> tuple[int, int, Identity]:
    """Sort by second, the resolution of many timestamps; within it, starts before ends."""
    return step[0].time // units.SECOND, _ORDER.index(step[1]), step[0]


def _step_of(event: Event, facts: Facts) -> SessionEvent:
    if event.action == "session_open" and event.target_user is not None:
        lists = (facts.targets, (), *facts.lists[2:])  # PAM names the user who opened it first
        facts = msgspec.structs.replace(facts, lists=lists)
    pid = _RESTART if event.action == "host_start" or event.pid is None else event.pid
    return (facts.first, event.action, pid, facts)


class Session(msgspec.Struct, frozen=True, gc=False):
    """A session as far as it is known; minutes since the epoch."""

    pid: int
    begin: int
    facts: Facts
    end: str = ""
    """The action that ended it, ``_REUSED``, or empty."""


class SessionDetector:
    """Tracks the sessions of one host."""

    def __init__(self, rule: "SessionRule") -> None:
        self._rule = rule
        self._sessions: list[Session] = []
        self._open: dict[int, int] = {}
        """Process id → index in the list."""
        self._day = -1
        self._number = 0
        """The number of sessions that started on that day."""

    def copy(self) -> "SessionDetector":
        twin = SessionDetector(self._rule)
        twin._sessions = self._sessions.copy()
        twin._open = self._open.copy()
        twin._day, twin._number = self._day, self._number
        return twin

    def add(self, minute: int, bucket: list[SessionEvent]) -> None:
        """Add the next bucket."""
        for _, action, pid, facts in bucket:
            if pid == _RESTART:
                for place in list(self._open.values()):
                    self._close(place, minute, action, facts)
            elif action == "session_close":
                if pid in self._open:
                    self._close(self._open[pid], minute, action, facts)
            else:
                self._begin(minute, pid, facts)

    def _begin(self, minute: int, pid: int, facts: Facts) -> None:
        if pid in self._open:
            place = self._open[pid]
            known = self._sessions[place]
            if minute - known.begin <= _JOINED:
                self._sessions[place] = Session(pid, known.begin, merge([known.facts, facts]))
                return
            if minute - known.begin <= self._rule.longest:
                self._sessions[place] = Session(pid, known.begin, known.facts, _REUSED)
        day = minute // MINUTES_A_DAY
        if day != self._day:
            self._day, self._number = day, 0
        self._number += 1
        if self._number > MOST_A_DAY:
            self._open.pop(pid, None)
            return
        self._open[pid] = len(self._sessions)
        self._sessions.append(Session(pid, minute, facts))

    def _close(self, place: int, minute: int, action: str, facts: Facts) -> None:
        known = self._sessions[place]
        del self._open[known.pid]
        if minute - known.begin <= self._rule.longest:
            whole = merge([known.facts, facts])
            self._sessions[place] = Session(known.pid, known.begin, whole, action)

    def findings(self, key: str) -> Iterator[Finding]:
        for session in self._sessions:
            yield self._rule.session_to_finding(key, session)

    def forget(self, day: int) -> None:
        """Drop the sessions that started before ``day``."""
        if self._sessions and self._sessions[0].begin // MINUTES_A_DAY < day:
            self._keep([s for s in self._sessions if s.begin // MINUTES_A_DAY >= day])

    def _keep(self, sessions: list[Session]) -> None:
        still = {(s.pid, s.begin) for s in map(self._sessions.__getitem__, self._open.values())}
        self._sessions = sessions
        self._open = {s.pid: n for n, s in enumerate(sessions) if (s.pid, s.begin) in still}

    def is_expired(self, minute: int) -> bool:
        return not self._sessions


class SessionRule(FactsRule):
    name = SESSION
    title = "Session"
    most = sys.maxsize
    filter: ClassVar[EventFilter] = {
        "action": ("login", "session_open", "session_close", "host_start"),
        "outcome": ("success",),
    }
    description = (
        "A session of a user through sshd or login, with its start, end and source. A session "
        "without an end is open until `longest` has passed or its process id is reused; after "
        "that, it never ended. A session that ended because the host restarted says so. Always "
        "info: sessions cause no alert and are not listed under what to check first. Written "
        "when the session starts and again when it ends."
    )
    false_positives = (
        "Without the lines of PAM, a session seems to have no end. The rule looks for the end "
        "within `longest`. It does not report sessions of CRON, sudo and su, nor more than "
        f"{MOST_A_DAY} sessions of one host per day; those are automation, so add their user "
        "to the ignore list."
    )

    def __init__(self, config: SessionConfig) -> None:
        self.longest = int(config.longest // 60)
        self.before = _JOINED
        self.after = self.longest + 1

    def key_of(self, event: Event) -> str | None:
        if event.action == "host_start":
            return event.host
        return event.host if event.program in PROGRAMS and event.pid is not None else None

    def add(self, bucket: list[SessionEvent] | None, told: EventBatch) -> list[SessionEvent]:
        steps = sorted([*(bucket or ()), *itertools.starmap(_step_of, told)], key=_order)
        return steps[:MOST_A_MINUTE]

    def detector(self) -> SessionDetector:
        return SessionDetector(self)

    def severity_of(self, facts: Facts) -> str:
        return "info"

    def session_to_finding(self, key: str, session: Session) -> Finding:
        day, facts = session.begin // MINUTES_A_DAY, session.facts
        seconds = max(0, facts.last.time - facts.first.time) // units.SECOND
        length = str(timedelta(seconds=seconds))
        if session.end == "host_start":
            end = f"still open when the host restarted after {length}"
        elif session.end == _REUSED:
            end = "never ended: its process id was reused"
        elif session.end:
            end = f"lasted {length}"
        else:
            return self._tell_open(key, session)
        told = (self.severity_of(facts), self._words(key, facts, end))
        found = finding_of(self, key, day, facts, told)
        return msgspec.structs.replace(found, end=_ENDS[session.end])

    def _tell_open(self, key: str, session: Session) -> Finding:
        """An open session is overdue from the first minute on in which no end is looked for."""
        day, facts = session.begin // MINUTES_A_DAY, session.facts
        longest, whole = (
            to_finding(self.longest * MINUTE) for to_finding in (length_of, whole_length_of)
        )
        words = self._words(key, facts, f"open for at most {longest}")
        never = self._words(key, facts, f"never ended: no end was logged within {whole}")
        return msgspec.structs.replace(
            finding_of(self, key, day, facts, (self.severity_of(facts), words)),
            overdue=(session.begin + self.longest + 1) * MINUTE,
            end="open",
            overdue_sentence=never.sentence,
        )

    def _words(self, key: str, facts: Facts, end: str) -> Words:
        who = facts.users or ("unknown user",)
        return Words(self.title, path_of((key,), facts.addresses, who), end)

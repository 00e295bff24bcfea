"""The types of a summary; ``heptad.aggregator.summary.build`` creates it."""

import msgspec

from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.reports.counting import Top


class EventCount(msgspec.Struct):
    """How often an event occurred."""

    program: str
    action: str
    outcome: str
    count: int


class LoginCount(msgspec.Struct):
    """Login attempts by host, program and method."""

    host: str
    program: str
    method: str
    attempts: int = 0
    successes: int = 0
    failures: int = 0


class AccessRow(msgspec.Struct):
    """Accesses with the same answers to the 7W questions, as one row."""

    who: str
    source: str
    host: str
    program: str
    method: str = ""
    target: str = ""
    what: str = ""
    action: str = ""
    outcome: str = ""
    count: int = 0
    last: str = ""


class AccessTable(msgspec.Struct):
    """The latest accesses, and the number of events in rows that are left out."""

    rows: list[AccessRow]
    others: int


class HostSeen(msgspec.Struct):
    """The first and last event of a host."""

    host: str
    first: str
    last: str
    events: int
    gaps: int
    not_understood: int


class DistinctCount(msgspec.Struct):
    """Number of different users and addresses, by login outcome or for all logins."""

    outcome: str
    users: int
    addresses: int


class SessionCount(msgspec.Struct):
    """Sessions by host and program; durations only of those that started and ended in the range."""

    host: str
    program: str
    opened: int
    closed: int
    open: int
    mean_seconds: float
    longest_seconds: float


class SessionRow(msgspec.Struct):
    """A user's session; ``end`` is `never` or in ``heptad.aggregator.detection.finding.ENDS``."""

    begin: str
    last: str
    host: str
    program: str
    user: str
    address: str
    end: str
    seconds: float
    id: str


class Slot(msgspec.Struct):
    """Logins in one slot of the timeline, which starts at ``time``."""

    time: str
    successes: int
    failures: int


class UnparsedProgram(msgspec.Struct):
    """Number of lines of a program that no rule understood, and the latest of them.

    On one host: since the store was created. In a fleet: in the range of the report.
    """

    program: str
    lines: int
    samples: list[str]


class GapRow(msgspec.Struct):
    """A part of a log that could not be read."""

    time: str
    host: str
    source: str
    reason: str
    what: str


class Line(msgspec.Struct):
    """A log line, or the event as text if no line is kept; ``count`` is how often it occurred."""

    time: str
    count: int
    line: str


class FindingEvents(msgspec.Struct):
    """The evidence of a finding; ``note`` says what is missing if it is incomplete."""

    id: str
    lines: list[Line]
    note: str = ""


class Summary(msgspec.Struct):
    """The whole summary; times are RFC 3339, UTC."""

    since: str
    until: str
    hosts: list[str]
    total: int
    first: list[str]
    findings: list[Finding]
    logins: list[LoginCount]
    failing_addresses: Top
    failing_users: Top
    successes: AccessTable
    privileges: AccessTable
    events: list[EventCount]
    not_understood: list[UnparsedProgram]
    gaps: list[GapRow]
    gaps_number: int
    seen: list[HostSeen] = []
    distinct: list[DistinctCount] = []
    sessions: list[SessionCount] = []
    changes: AccessTable = msgspec.field(default_factory=lambda: AccessTable([], 0))
    timeline: list[Slot] = []
    was_on: list[SessionRow] = []
    """The most recently started sessions of users."""
    was_on_number: int = 0
    evidence: list[FindingEvents] = []
    """For the first findings, in the same order."""
    unheard: list[str] = []
    looked_until: str = ""
    """The time up to which events are complete; empty if unknown."""

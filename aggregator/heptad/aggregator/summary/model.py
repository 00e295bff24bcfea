"""What the report for a person holds; ``heptad.aggregator.summary.build`` reads it together."""

import msgspec

from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.reports.counting import Top


class EventCount(msgspec.Struct):
    """How often something happened."""

    program: str
    action: str
    outcome: str
    count: int


class LoginCount(msgspec.Struct):
    """Login attempts of one host, program and method."""

    host: str
    program: str
    method: str
    attempts: int = 0
    successes: int = 0
    failures: int = 0


class AccessRow(msgspec.Struct):
    """Who got in, or became whom: the same answers to the 7W questions, told once."""

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
    """The latest of them, and how many events of others there were."""

    rows: list[AccessRow]
    others: int


class HostSeen(msgspec.Struct):
    """When a host was first and last heard of."""

    host: str
    first: str
    last: str
    events: int
    gaps: int
    not_understood: int


class DistinctCount(msgspec.Struct):
    """How many different users and addresses the logins with an outcome have; or all logins."""

    outcome: str
    users: int
    addresses: int


class SessionCount(msgspec.Struct):
    """Sessions of one host and program; lengths of those that began and ended in the time."""

    host: str
    program: str
    opened: int
    closed: int
    open: int
    mean_seconds: float
    longest_seconds: float


class SessionRow(msgspec.Struct):
    """A session of a person; ``end`` is a word of ``heptad.aggregator.detection.finding.ENDS``, or
    ``never``.
    """

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
    """The logins of a part of the time, which begins at ``time``."""

    time: str
    successes: int
    failures: int


class UnparsedProgram(msgspec.Struct):
    """Lines of a program that no rule understood, with the latest.

    On one host since its store was begun; of a fleet, those of the report's time.
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
    """A log line, or where none is kept the event as one line; ``count``: how often it came."""

    time: str
    count: int
    line: str


class FindingEvents(msgspec.Struct):
    """The events of a finding; ``note`` says what is missing where they are not all."""

    id: str
    lines: list[Line]
    note: str = ""


class Summary(msgspec.Struct):
    """Everything; times are RFC 3339, UTC."""

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
    """The sessions of people that began last."""
    was_on_number: int = 0
    evidence: list[FindingEvents] = []
    """Of the first findings, in their order."""
    unheard: list[str] = []
    looked_until: str = ""
    """Up to when no event is missing; empty: not known."""

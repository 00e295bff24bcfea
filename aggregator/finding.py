"""A finding: what a rule says of some events, as a row, and as its readers see it.

A finding's key is (rule, subject, time of its first event). Whenever it changes, a row with the
next revision is added; no row is ever overwritten. A finding that later events merged into
another one gets a last revision with the state ``superseded``. Readers take the last revision
of each key, and leave out what was superseded: that is what ``latest_findings`` gives, and what
is the same for the same events. How many revisions lie in between is not: it depends on when
the aggregator looked.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from heptad.event import Event
from heptad.event_row import head_of
from heptad.store import Point, Row, Store, row_of

MEASUREMENT: Final = "findings"
DAY: Final = 86_400 * 10**9
LONGEST: Final = 2 * DAY
"""No finding's first and last event lie further apart, in nanoseconds."""

SEVERITIES: Final[dict[str, str]] = {
    "low": "what every host on the internet sees; worth a look when something else is odd",
    "medium": "out of the ordinary: look at it today",
    "high": "look at it now",
}

RANKS: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}

Key = tuple[str, str, int]
"""Rule, subject and the time of the first event in nanoseconds."""

Identity = tuple[int, str]
"""An event's time in nanoseconds, and its series."""


def identity_of(event: Event) -> Identity:
    """What tells this event from every other one."""
    tags = (event.source, event.program, event.action, event.outcome, event.method, event.reason)
    return (event.time, head_of(event.host, *tags))


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one rule found of one subject; times are nanoseconds since the epoch.

    ``users`` and ``hosts`` are bounded: where more were seen than are listed, ``users_more`` or
    ``hosts_more`` is true. ``first_event`` and ``last_event`` are the evidence: an event's series
    and time as line protocol writes them. ``technique`` is a MITRE ATT&CK identifier. ``day`` is
    the UTC day, counted from the epoch, to which the rule books the finding.
    """

    rule: str
    subject: str
    first: int
    last: int
    day: int
    severity: str
    sentence: str
    attempts: int
    technique: str = ""
    users: list[str] = []
    users_more: bool = False
    hosts: list[str] = []
    hosts_more: bool = False
    first_event: str = ""
    last_event: str = ""

    @property
    def key(self) -> Key:
        """What stays the same while the finding grows."""
        return (self.rule, self.subject, self.first)

    @property
    def rank(self) -> int:
        """The severity as a number: the more severe, the higher."""
        return RANKS.get(self.severity, 0)

    def overlaps(self, other: "Finding") -> bool:
        """Whether the two share time."""
        return self.first <= other.last and other.first <= self.last


class Revision(msgspec.Struct, frozen=True):
    """A finding as a row tells it; ``superseded_by`` is the first time of what took its place.

    ``rises`` is not stored: the finding is new, or more severe than it was.
    """

    finding: Finding
    number: int
    superseded_by: int | None = None
    rises: bool = False

    def row(self) -> Row:
        """The row; its time is the first event's plus the revision in nanoseconds."""
        fields = msgspec.to_builtins(self.finding)
        tags = [("rule", fields.pop("rule")), ("severity", fields.pop("severity"))]
        for name, number in (("users", "users_number"), ("hosts", "hosts_number")):
            values = fields.pop(name, [])
            fields[number] = len(values)
            fields[name] = msgspec.json.encode(values).decode()
        fields["revision"] = self.number
        fields["state"] = "current"
        if self.superseded_by is not None:
            fields |= {"state": "superseded", "superseded_by": self.superseded_by}
        return row_of(MEASUREMENT, tags, self.finding.first + self.number, fields)


def revision_of(point: Point) -> Revision:
    """The revision that a row tells."""
    fields = {**point.tags, **point.fields}
    for name in ("users", "hosts"):
        fields[name] = msgspec.json.decode(str(fields[name]))
    superseded_by = fields.get("superseded_by")
    return Revision(
        msgspec.convert(fields, Finding),
        int(fields["revision"]),
        None if superseded_by is None else int(superseded_by),
    )


def last_revisions(
    store: Store, since: int, until: int, rule: str | None = None
) -> dict[Key, Revision]:
    """The last revision of every finding that begins with since <= first < until."""
    found: dict[Key, Revision] = {}
    # a row that moved on lies a little behind its first event
    for point in store.read(MEASUREMENT, since, until + 10**6, {"rule": rule} if rule else None):
        revision = revision_of(point)
        known = found.get(revision.finding.key)
        if revision.finding.first < until and (known is None or known.number < revision.number):
            found[revision.finding.key] = revision
    return found


def latest_findings(store: Store, since: int, until: int) -> list[Finding]:
    """The findings that share time with [since, until) as they stand, in order of time."""
    return sorted(_standing(store, since, until), key=lambda finding: (finding.first, finding.key))


def _standing(store: Store, since: int, until: int) -> Iterator[Finding]:
    for revision in last_revisions(store, since - LONGEST, until).values():
        if revision.superseded_by is None and revision.finding.last >= since:
            yield revision.finding

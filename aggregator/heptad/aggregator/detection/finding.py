"""The type of findings, their rows, and how the rows are read.

The key of a finding is (rule, subject, time of its first event). Each change adds a row with the
next revision; no row is overwritten. If later events merge a finding into another one, its last
revision has the state ``superseded``; if later events disprove it, ``withdrawn``. Readers take the
last revision of each key and skip findings that are not current, as ``latest_findings`` does. That
result depends only on the events. The number of revisions does not: it depends on when the
aggregator ran.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from heptad.core.event import Event, Time
from heptad.core.intervals import MINUTE
from heptad.core.store.api import EventStore
from heptad.core.store.event_row import identify, series_of_event
from heptad.core.store.measurements import Field, Measurement
from heptad.core.store.point import Identity, Point, Row
from heptad.core.validation import Invalid, Number, check_text, decode_time
from heptad.core.wording import list_names

MEASUREMENT: Final = "findings"
DAY: Final = 86_400 * 10**9
LONGEST: Final = 8 * DAY
"""Maximum distance between a finding's first and last event, in nanoseconds."""
LONG: Final = ("new_account_login",)
SHORT: Final = 4 * DAY
"""The same for all rules except ``LONG``: episodes are split at midnight, groups never cross it."""

SEVERITIES: Final[dict[str, str]] = {
    "info": "nothing to check; a record of what happened",
    "low": "normal background noise of the internet; check it together with other findings",
    "medium": "unusual: check it today",
    "high": "check it now",
}

RANKS: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}

_MINUTES: Final = 2**32
"""This many minutes fit into eight hexadecimal digits."""

FindingKey = tuple[str, str, int]


def identity_of(event: Event) -> Identity:
    """Return the identity of an event in the store."""
    return Identity(event.time, series_of_event(event))


def format_identity(identity: Identity) -> str:
    """Format an identity as series and time, like line protocol."""
    return f"{identity.series} {identity.time}"


def parse_identity(text: str) -> Identity:
    """Parse the result of ``format_identity``; raises ValueError."""
    series, _, time = text.rpartition(" ")
    return Identity(decode_time(time.encode()), series)


_ANSWERS: Final = {
    "users": "accounts that acted, or that a login named",
    "targets": "target accounts",
    "addresses": "sources: addresses, names of peers, terminals",
    "hosts": "hosts",
    "programs": "programs (services)",
    "actions": "what was done",
    "reasons": "reasons of the outcome",
    "objects": "objects: commands, groups, keys, files",
}
LISTS: Final = tuple(_ANSWERS)
"""The lists of a finding, which answer the 7W questions; each is bounded."""

FINDINGS: Final = Measurement(
    name=MEASUREMENT,
    about=(
        "The findings of [the rules](findings.md), one row per revision of a finding. The key "
        "of a finding is rule, subject and first event; the last revision of a key is valid. "
        "The time of a row is that of the first event plus the revision in nanoseconds."
    ),
    always="count",
    tags={"rule": "the rule's name", "severity": ", ".join(f"`{name}`" for name in SEVERITIES)},
    fields={
        "subject": Field(str, "the subject of the finding; empty if it is about many"),
        "first": Field(int, "the time of its first event, in ns"),
        "last": Field(int, "the time of its last event, in ns"),
        "day": Field(int, "the UTC day of the finding, in days since the epoch"),
        "sentence": Field(str, "the finding as text: title, subject and facts"),
        "title": Field(str, "the title"),
        "facts": Field(str, "the facts: how many, how often, within what time"),
        "count": Field(int, "the number of its events"),
        "technique": Field(str, "a MITRE ATT&CK identifier, if there is one"),
        **{
            name: Field(str, f"{description}: a JSON array")
            for name, description in _ANSWERS.items()
        },
        **{f"{name}_number": Field(int, f"how many `{name}` are listed") for name in LISTS},
        "more": Field(str, "names of the lists that are truncated: a JSON array"),
        "first_event": Field(str, "the first event: its series and time as line protocol"),
        "last_event": Field(str, "the last event"),
        "id": Field(str, "the id for `heptad events --finding`; derived from the key"),
        "evidence_from": Field(int, "the time (ns) of its first row in [evidence](#evidence)"),
        "evidence": Field(
            str, "rows of older versions: up to ten events, as `first_event`: a JSON array"
        ),
        "joined": Field(int, "the number of findings that it combines; missing if it is one"),
        "overdue": Field(int, "the time (ns) from which another sentence applies, if any"),
        "overdue_sentence": Field(str, "the sentence from that time on"),
        "revision": Field(int, "the number of the revision, from 0"),
        "state": Field(str, "`current`, `superseded` (merged into another) or `withdrawn`"),
        "superseded_by": Field(
            int, ("the time (ns) of the first event of the finding that replaced it")
        ),
    },
)


PROGRAMS: Final = ("sshd", "login")
"""Programs that open sessions of users."""
SESSION: Final = "session"
"""The rule whose rows are sessions, which are not findings."""
ENDS: Final = {
    "open": "no end was logged yet; after `overdue`, it never ended",
    "closed": "it was closed",
    "restart": "the host restarted",
    "reused": "its process id was reused, and no end was logged",
}

_NOT_OF_SESSIONS: Final = (
    *("sentence", "title", "facts"),
    *("technique", "joined", "overdue_sentence", "evidence"),
)
SESSIONS: Final = Measurement(
    name="sessions",
    about=(
        "Sessions of users: see [sessions](findings.md#sessions). One row per revision of a "
        "session; its key is host and first event, and the last revision of a key is valid."
    ),
    always="count",
    tags={
        "host": "the host",
        "program": "`sshd` or `login`",
        "end": "; ".join(f"`{name}`: {description}" for name, description in ENDS.items()),
    },
    fields={
        "user": Field(str, "who"),
        "address": Field(str, "the source, if the line has one"),
        "seconds": Field(float, "from the first to the last event"),
        **{n: f for n, f in FINDINGS.fields.items() if n not in _NOT_OF_SESSIONS},
        "subject": Field(str, "the host"),
    },
)


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The result of a rule for one subject; times are nanoseconds since the epoch.

    ``count`` is the number of events; a folded line counts as many times as it was repeated. The
    lists (``LISTS``) are bounded; ``more`` names those that are truncated. ``addresses`` may also
    contain a peer's name or a terminal if no address is known. ``first_event`` and ``last_event``
    are events, as series and time in line protocol. ``evidence`` are the first events by time, up
    to a bound. They are not in the rows of findings: see ``heptad.aggregator.detection.evidence``.
    ``technique`` is a MITRE ATT&CK identifier. ``day`` is the UTC day of the finding, counted from
    the epoch. A joined finding (see ``heptad.aggregator.detection.flood``) represents ``joined``
    findings and has no subject.

    ``title`` and ``facts`` are parts of ``sentence``; older versions did not write them.

    A finding is computed from events alone, so it does not depend on the current time. If time
    matters, ``overdue_sentence`` replaces ``sentence`` from ``overdue`` on.

    A session has the same form: its rule is ``SESSION``, and ``end`` is one of ``ENDS``.
    """

    rule: str
    subject: str
    first: Time
    last: Time
    day: Number
    severity: str
    sentence: str
    count: Annotated[int, msgspec.Meta(ge=1, lt=2**62)]
    title: str = ""
    facts: str = ""
    technique: str = ""
    users: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    first_event: str = ""
    last_event: str = ""
    evidence: tuple[Identity, ...] = ()
    evidence_from: Time = 0
    joined: Number = 0
    overdue: Time = 0
    overdue_sentence: str = ""
    end: str = ""

    def at(self, now: int) -> "Finding":
        """Return the finding as it must be shown at ``now`` (ns)."""
        if not self.overdue or now < self.overdue:
            return self
        return msgspec.structs.replace(
            self, sentence=self.overdue_sentence, overdue=0, overdue_sentence=""
        )

    @property
    def key(self) -> FindingKey:
        """Constant while the finding grows."""
        return (self.rule, self.subject, self.first)

    @property
    def name(self) -> str:
        """The title; for a finding of an older version, the rule's name."""
        return self.title or self.rule.replace("_", " ").capitalize()

    @property
    def id(self) -> str:
        """The key as a short text: the minute of the first event, and a digest."""
        digest = hashlib.sha256(msgspec.json.encode(self.key)).hexdigest()
        return f"{self.first // MINUTE % _MINUTES:08x}{digest[:8]}"

    @property
    def content(self) -> "Finding":
        """The finding without references to its evidence."""
        return msgspec.structs.replace(self, evidence=(), evidence_from=0)

    @property
    def rank(self) -> int:
        """The severity as a number; higher is more severe."""
        return RANKS.get(self.severity, 0)


def technique_url(technique: str) -> str:
    """Return the URL of a technique at MITRE; empty if the identifier is invalid."""
    if not _TECHNIQUE.fullmatch(technique):
        return ""
    return f"https://attack.mitre.org/techniques/{technique.replace('.', '/')}/"


_TECHNIQUE: Final = re.compile(r"T\d{4}(\.\d{3})?", re.ASCII)
_ENCODED: Final = frozenset((*LISTS, "more"))
_STATES: Final = ("current", "superseded", "withdrawn")
_MOST_REVISIONS: Final = 10**6
"""Rows of a finding are at most this many nanoseconds after its first event."""
_decode_names: Final = msgspec.json.Decoder(tuple[str, ...]).decode


class Revision(msgspec.Struct, frozen=True):
    """A revision of a finding; ``superseded_by`` is the first time of the finding that replaced it.

    ``withdrawn``: later events disproved it. Not stored are ``rises`` (the finding is new, has
    become more severe, or continues after the history), ``doubles`` (its number of events has
    doubled) and ``ends`` (it is a session with a new end).
    """

    finding: Finding
    number: int
    superseded_by: int | None = None
    withdrawn: bool = False
    rises: bool = False
    doubles: bool = False
    ends: bool = False

    @property
    def is_current(self) -> bool:
        """Whether readers show it."""
        return self.superseded_by is None and not self.withdrawn

    @property
    def state(self) -> str:
        """The value of the field ``state``."""
        if self.superseded_by is not None:
            return "superseded"
        return "withdrawn" if self.withdrawn else "current"

    def row(self) -> Row:
        """Return the row; its time is that of the first event plus the revision in nanoseconds."""
        fields = msgspec.to_builtins(msgspec.structs.replace(self.finding, evidence=()))
        fields["id"] = self.finding.id
        tags = [("rule", fields.pop("rule")), ("severity", fields.pop("severity"))]
        measurement = FINDINGS
        if self.finding.rule == SESSION:
            tags, measurement = _describe_session(self.finding, fields), SESSIONS
        for name in LISTS:
            if name in fields:
                fields[f"{name}_number"] = len(fields[name])
        for name in _ENCODED & fields.keys():
            fields[name] = msgspec.json.encode(fields[name]).decode()
        fields["revision"] = self.number
        fields["state"] = self.state
        if self.superseded_by is not None:
            fields["superseded_by"] = self.superseded_by
        return measurement.row(tags, self.finding.first + self.number, fields)


def _describe_session(session: Finding, fields: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the tags of a session's row; the other values are added to ``fields``."""
    for name in _NOT_OF_SESSIONS:
        fields.pop(name, None)
    fields["user"] = list_names(session.users)
    fields["address"] = list_names(session.addresses)
    fields["seconds"] = max(0, session.last - session.first) / 10**9
    return [("end", fields.pop("end")), ("host", session.subject), ("program", program_of(session))]


def program_of(session: Finding) -> str:
    """Return the program that opened the session."""
    return next((name for name in session.programs if name in PROGRAMS), PROGRAMS[0])


class _RevisionFields(msgspec.Struct):
    """The fields of a row that are not in ``Finding``."""

    revision: Annotated[int, msgspec.Meta(ge=0, le=_MOST_REVISIONS)]
    state: str
    superseded_by: Time | None = None


def revision_of(point: Point) -> Revision:
    """Decode the revision in a row; raises ``heptad.core.validation.FAULTS``."""
    declared = SESSIONS if point.measurement == SESSIONS.name else FINDINGS
    fields: dict[str, Any] = {n: point.tags[n] for n in declared.tags if n in point.tags}
    fields |= {name: point.fields[name] for name in declared.fields if name in point.fields}
    for value in fields.values():
        if isinstance(value, str):
            check_text(value)
    if declared is SESSIONS:
        fields |= {"rule": SESSION, "severity": "info", "sentence": ""}
    for name in _ENCODED & fields.keys():
        fields[name] = _decode_names(str(fields[name]))
    if "evidence" in fields:
        fields["evidence"] = [parse_identity(t) for t in _decode_names(str(fields["evidence"]))]
    finding, told = msgspec.convert(fields, Finding), msgspec.convert(fields, _RevisionFields)
    if finding.severity not in SEVERITIES or told.state not in _STATES:
        raise Invalid("word", f"severity {finding.severity[:40]!r}, state {told.state[:40]!r}")
    if not finding.first <= finding.last <= finding.first + LONGEST:
        raise Invalid("time", f"a finding from {finding.first} to {finding.last}")
    for text in filter(None, (finding.first_event, finding.last_event)):
        parse_identity(text)
    withdrawn = told.state == "withdrawn"
    return Revision(finding, told.revision, told.superseded_by, withdrawn)


def last_revisions(
    store: EventStore, since: int, until: int, rule: str | Sequence[str] | None = None
) -> dict[FindingKey, Revision]:
    """Return the last revision of every finding (of these rules) with since <= first < until."""
    found: dict[FindingKey, Revision] = {}
    wanted = {"rule": rule} if rule and rule != SESSION else None
    measurement = SESSIONS.name if rule == SESSION else MEASUREMENT
    # a row may have been moved slightly after its first event
    points = store.read(measurement, since, until + 10**6, wanted)
    # older versions wrote sessions as findings
    own = (point for point in points if point.tags.get("rule") != SESSION)
    for revision in store.intake.sift("finding", own, revision_of, identify):
        known = found.get(revision.finding.key)
        if revision.finding.first < until and (known is None or known.number < revision.number):
            found[revision.finding.key] = revision
    return found


def find_finding(store: EventStore, number: str) -> Finding | None:
    """Return the last revision of the finding with this ``id``, even if it is not current."""
    try:
        minute = int(number[:8], 16)
    except ValueError:
        return None
    since = (minute if minute < _MINUTES // 2 else minute - _MINUTES) * MINUTE
    for rule in (None, SESSION):
        for revision in last_revisions(store, since, since + MINUTE, rule).values():
            if revision.finding.id == number:
                return revision.finding
    return None

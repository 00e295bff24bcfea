"""The evidence of findings: their events, stored as rows of their own.

A row is one complete event with the ``id`` of its finding. A finding therefore shows exactly the
events that it was made of, even after a later revision, another finding, or pruning of the store of
events. Each event is written once; a revision of the finding adds what is new. If an event turns
out not to belong to the finding, a later revision of its row says so. A finding with more than
``MOST_EVIDENCE`` events keeps the first ones.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from heptad.aggregator.detection.facts import MOST_EVIDENCE
from heptad.aggregator.detection.finding import Finding, Revision, identity_of
from heptad.aggregator.progress import MINUTE
from heptad.core.event import TAGS, Event, Time
from heptad.core.store.api import EventStore
from heptad.core.store.event_row import EVENTS, event_of_point, identify
from heptad.core.store.measurements import Field, Measurement
from heptad.core.store.point import Identity, Point, Row, Value
from heptad.core.validation import Number

_AHEAD: Final = 10**6
"""Maximum number of nanoseconds that a row's time is moved if other rows have the same time."""
_MOST_HELD: Final = 256
_AT_ONCE: Final = 10_000
"""Minimum number of events that are read together."""
_ANSWERS: Final = tuple(tag for tag in TAGS if tag != "host")

EVIDENCE: Final = Measurement(
    name="evidence",
    about=(
        "The events of [the findings](findings.md), one row per event of a finding, at most "
        f"{MOST_EVIDENCE:,} a finding. The time of a row is the event's, or some nanoseconds after "
        "it."
    ),
    always="count",
    tags={"rule": "the rule of the finding", "host": EVENTS.tags["host"]},
    fields={
        "finding": Field(str, "the `id` of the finding"),
        "event_time": Field(int, "the time of the event, in ns"),
        "revision": Field(
            int, ("the number of the revision, from 0; the last revision of an event is valid")
        ),
        "state": Field(str, "`current`; `withdrawn`: the event no longer belongs to the finding"),
        **{tag: Field(str, EVENTS.tags[tag]) for tag in _ANSWERS},
        **EVENTS.fields,
    },
)
_EVENT: Final = frozenset((*_ANSWERS, *EVENTS.fields))


class Evidence(msgspec.Struct):
    """The stored events of a finding, in order of time.

    ``deleted``: the number of these events that are no longer in the store of events.
    """

    events: list[Event]
    deleted: int = 0

    @property
    def count(self) -> int:
        """The number of events; a folded line counts as many times as it was repeated."""
        return sum(event.count for event in self.events)

    def note(self, finding: Finding) -> str:
        """Return what is missing, as text; empty if the evidence is complete."""
        notes = []
        if self.count != finding.count:
            notes.append(f"{self.count:,} of {finding.count:,} events")
        if self.deleted:
            notes.append(f"{self.deleted:,} of these are deleted from the store of events")
        return "; ".join(notes)


class EvidencePlan(NamedTuple):
    """A revision, the stored events of its finding, and the events that changed."""

    revision: Revision
    held: dict[Identity, int]
    changed: list[Identity]


class EvidenceWriter:
    """Writes the evidence of findings in ``events`` to ``reports``."""

    def __init__(self, events: EventStore, reports: EventStore) -> None:
        self._events = events
        self._reports = reports
        self._held: dict[str, dict[Identity, int]] = {}
        """Finding → its events with their last revision; an even revision means that it belongs to
        it."""

    def keep(self, revisions: Iterable[Revision]) -> Iterator[Row]:
        """Yield the rows of these revisions, with the start of their evidence, and the evidence."""
        plans: list[EvidencePlan] = []
        number = 0
        for revision in sorted(revisions, key=lambda revision: revision.finding.first):
            plan = self._plan(revision)
            plans.append(plan)
            number += len(plan.changed)
            if number >= _AT_ONCE:
                yield from self._write(plans)
                plans, number = [], 0
        yield from self._write(plans)

    def _plan(self, revision: Revision) -> "EvidencePlan":
        finding = revision.finding
        wanted = finding.evidence
        if not wanted or not revision.is_current:
            return EvidencePlan(revision, {}, [])
        held = self._recall(finding, is_new=revision.number == 0)
        changed: list[Identity] = []
        # of more than the maximum, those stored first are kept
        if len(wanted) < MOST_EVIDENCE or len(held) < MOST_EVIDENCE:
            changed = [identity for identity in wanted if held.get(identity, 1) % 2]
            gone = held.keys() - set(wanted)
            changed += [identity for identity in gone if held[identity] % 2 == 0]
        for identity in changed:
            held[identity] = held.get(identity, -1) + 1
        found = msgspec.structs.replace(finding, evidence_from=min(wanted).time)
        return EvidencePlan(msgspec.structs.replace(revision, finding=found), held, changed)

    def _write(self, plans: list["EvidencePlan"]) -> Iterator[Row]:
        """Yield the rows of some revisions; their events are read together."""
        wanted: dict[Identity, list[EvidencePlan]] = {}
        for plan in plans:
            yield plan.revision.row()
            for identity in plan.changed:
                wanted.setdefault(identity, []).append(plan)
        for event in self._events.pick(wanted):
            identity = identity_of(event)
            for plan in wanted[identity]:
                yield _row_of(event, plan.revision.finding, plan.held[identity])

    def _recall(self, finding: Finding, *, is_new: bool) -> dict[Identity, int]:
        """Return the stored evidence of a finding, from the cache if possible."""
        held = self._held.pop(finding.id, None)
        if held is None:
            since = min(finding.evidence).time
            held = {} if is_new else _read(self._reports, finding, since)[1]
        self._held[finding.id] = held
        while len(self._held) > _MOST_HELD:
            del self._held[next(iter(self._held))]
        return held


def _row_of(event: Event, finding: Finding, revision: int) -> Row:
    told = msgspec.structs.asdict(event)
    fields: dict[str, Value] = {
        "finding": finding.id,
        "event_time": event.time,
        "revision": revision,
        "state": "withdrawn" if revision % 2 else "current",
    }
    fields |= {name: told[name] for name in _ANSWERS if told[name]}
    fields |= {name: told[name] for name in EVENTS.fields if name != "raw"}
    tags = (("host", event.host), ("rule", finding.rule))
    row = EVIDENCE.row(tags, event.time, fields)
    return Row(row.series, row.time, row.body, event.raw)


def _event_of(point: Point) -> Event:
    told = {name: value for name, value in point.fields.items() if name in _EVENT}
    tags: dict[str, str] = {tag: str(told.pop(tag)) for tag in _ANSWERS if tag in told}
    tags |= {"host": point.tags.get("host", "")}
    time = msgspec.convert(point.fields["event_time"], Time)
    return event_of_point(Point(EVENTS.name, tags, told, time))


def _revision_of(point: Point) -> tuple[Event, int]:
    """Return an event and its revision; raises ``heptad.core.validation.FAULTS``."""
    return _event_of(point), msgspec.convert(point.fields["revision"], Number)


def _read(
    reports: EventStore, finding: Finding, since: int
) -> tuple[list[Event], dict[Identity, int]]:
    """Return the current events of a finding in order of time, and the last revision of all."""
    # causes may come after the last event, within its minute: see
    # ``heptad.aggregator.detection.sequence``
    until = (finding.last // MINUTE + 1) * MINUTE + _AHEAD
    events: dict[Identity, Event] = {}
    revisions: dict[Identity, int] = {}
    points = reports.read(EVIDENCE.name, since, until, {"rule": finding.rule})
    own = (point for point in points if point.fields.get("finding") == finding.id)
    for event, revision in reports.intake.sift("finding", own, _revision_of, identify):
        identity = identity_of(event)
        events[identity] = event
        revisions[identity] = max(revision, revisions.get(identity, 0))
    found = [events[identity] for identity in sorted(events) if revisions[identity] % 2 == 0]
    return found, revisions


def read_evidence(reports: EventStore, events: EventStore, finding: Finding) -> Evidence:
    """Return the evidence of a stored finding; one from an older version has ten events at most."""
    if not finding.evidence_from:
        return Evidence(list(events.pick(finding.evidence)))
    found, _ = _read(reports, finding, finding.evidence_from)
    there = sum(1 for _ in events.pick(map(identity_of, found)))
    return Evidence(found, len(found) - there)

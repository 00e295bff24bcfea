"""The events that findings are made of, kept beside them as rows of their own.

A row is one event, whole, with the ``id`` of its finding: so what a finding shows is exactly what
it was made of, also when a later revision, another finding or the pruning of the store of events
has changed what is around it. Each is written once: a revision of the finding adds what is new.
Where an event turns out not to belong to the finding, its next revision says so. A finding of more
than ``MOST_EVIDENCE`` events keeps the first ones.
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
"""Nanoseconds that a row moves on at most where others have its time."""
_MOST_HELD: Final = 256
_AT_ONCE: Final = 10_000
"""So many events are read together, at least."""
_ANSWERS: Final = tuple(tag for tag in TAGS if tag != "host")

EVIDENCE: Final = Measurement(
    name="evidence",
    about=(
        "The events of [the findings](findings.md), one row an event of a finding, up to "
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
    """The events that are kept of a finding, in order of time.

    ``deleted``: of so many of them there is nothing in the store of events any more.
    """

    events: list[Event]
    deleted: int = 0

    @property
    def count(self) -> int:
        """How many they are, folded lines as often as they came."""
        return sum(event.count for event in self.events)

    def note(self, finding: Finding) -> str:
        """What has to be said beside them; empty where they are all there is."""
        notes = []
        if self.count != finding.count:
            notes.append(f"{self.count:,} of {finding.count:,} events")
        if self.deleted:
            notes.append(f"{self.deleted:,} of these are deleted from the store of events")
        return "; ".join(notes)


class EvidencePlan(NamedTuple):
    """A revision, what is written of its finding's events with it, and which of them changed."""

    revision: Revision
    held: dict[Identity, int]
    changed: list[Identity]


class EvidenceWriter:
    """Writes the evidence of one store of ``events`` into ``reports``."""

    def __init__(self, events: EventStore, reports: EventStore) -> None:
        self._events = events
        self._reports = reports
        self._held: dict[str, dict[Identity, int]] = {}
        """Finding → its events, each with its last revision: an even number where it belongs."""

    def keep(self, revisions: Iterable[Revision]) -> Iterator[Row]:
        """The rows of these revisions, which lead to their evidence, and those of the evidence."""
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
        # of more than are kept, those that were there first stay
        if len(wanted) < MOST_EVIDENCE or len(held) < MOST_EVIDENCE:
            changed = [identity for identity in wanted if held.get(identity, 1) % 2]
            gone = held.keys() - set(wanted)
            changed += [identity for identity in gone if held[identity] % 2 == 0]
        for identity in changed:
            held[identity] = held.get(identity, -1) + 1
        found = msgspec.structs.replace(finding, evidence_from=min(wanted).time)
        return EvidencePlan(msgspec.structs.replace(revision, finding=found), held, changed)

    def _write(self, plans: list["EvidencePlan"]) -> Iterator[Row]:
        """The rows of some revisions; their events are read together."""
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
        """What is written of the finding; is kept for the next time."""
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
    """An event and its revision; raises what ``heptad.core.validation.FAULTS`` names."""
    return _event_of(point), msgspec.convert(point.fields["revision"], Number)


def _read(
    reports: EventStore, finding: Finding, since: int
) -> tuple[list[Event], dict[Identity, int]]:
    """The events of the finding in order of time, and the last revision of all that were."""
    # of its last minute, what goes before may lie behind: see
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
    """The events of a stored finding; of one that an older version wrote, the ten it kept."""
    if not finding.evidence_from:
        return Evidence(list(events.pick(finding.evidence)))
    found, _ = _read(reports, finding, finding.evidence_from)
    there = sum(1 for _ in events.pick(map(identity_of, found)))
    return Evidence(found, len(found) - there)

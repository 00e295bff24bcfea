"""Runs one rule: decides which minutes and days to read, and which revisions to write.

Usually an event is from the last hour: its minute is read again and its key is evaluated from
memory. In all other cases (an older event, a start, a failed rule) the whole day is dirty and is
read again. Dirty days are committed with the progress. The state in memory is not; it can be
rebuilt from the store of events.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec

from heptad.aggregator.detection.dispatch import ReadRequest
from heptad.aggregator.detection.evicted_keys import Forgotten
from heptad.aggregator.detection.finding import Finding, Revision
from heptad.aggregator.detection.flood import JOINED, Joint
from heptad.aggregator.detection.revisions import Revisions
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.state import MINUTES_A_DAY, FindingsByKey, KeyedState
from heptad.aggregator.progress import OPEN_MINUTES
from heptad.core.intervals import Interval, merge_intervals
from heptad.core.store.api import EventStore

_PAUSE: Final = 60.0
_LAST_DAY: Final = 100_000
_MOST_DAYS: Final = 2000
_Day = Annotated[int, msgspec.Meta(ge=0, le=_LAST_DAY)]
_decode_days: Final = msgspec.json.Decoder(
    Annotated[list[_Day], msgspec.Meta(max_length=_MOST_DAYS)]
).decode

Joints = dict[int, Joint]
KeyedFindings = dict[str, tuple[dict[int, Sequence[Finding]], bool]]
"""Key → findings by day, and whether nothing of the key was evicted."""


class RuleRunner:
    """Runs one rule; raises the rule's errors, after which ``recover`` must be called.

    There are two kinds of work. New events are evaluated from memory (``live``, ``work``). Days
    with late events are read again as a whole (``read_days``, ``work_days``); that takes long, and
    new events may be evaluated in between. If the newest day is among them, its result becomes the
    new state in memory.
    """

    def __init__(
        self, rule: DetectionRule, events: EventStore, reports: EventStore, history: int = 0
    ) -> None:
        self.name = rule.name
        self.key = f"findings/{rule.name}"
        self.size = 0
        self.dropped = 0
        self._rule = rule
        self._events = events
        self._reports = reports
        stored = reports.recall(self.key)
        kept = reports.intake.restore(self.key, stored, _decode_days)
        self.is_whole = kept is not None or stored is None
        """False if the stored list of dirty days is damaged."""
        self._days = set(kept or ())
        self._resumed = bool(self._days)
        self._intervals: list[Interval] = []
        self._reads: list[ReadRequest] = []
        self._reading: set[int] = set()
        """The days that are being read again."""
        self._day_reads: list[ReadRequest] = []
        self._meanwhile: list[Interval] = []
        """Intervals with events that arrived during a read, which the new state does not contain.
        """
        self._state: KeyedState | None = None
        self._forgotten = Forgotten(rule)
        self._limited_reads: list[ReadRequest] = []
        """Requests for evicted keys."""
        self._history = history
        self._revisions = Revisions(reports, events, rule.name, history)
        self._joints: Joints = {}
        """Days whose joined finding may have to be written again."""
        self._due = 0.0
        self._failed = False

    def state(self) -> bytes:
        """Return the days that still have to be read again, encoded for the commit."""
        days = self._days | self._reading | self._revisions.waiting_days() | self._joints.keys()
        days |= self._forgotten.days
        for since, until in self._intervals:
            days |= self._days_of(since, until)
        return msgspec.json.encode(sorted(days))

    def touch(self, intervals: Iterable[Interval]) -> None:
        """Mark these minutes as changed."""
        for since, until in intervals:
            floor = until if self._state is None else self._state.floor
            if since < floor:
                self._days |= self._days_of(since, min(until, floor))
            if until > floor:
                self._intervals = merge_intervals([*self._intervals, (max(since, floor), until)])
            if self._day_reads:
                self._meanwhile = merge_intervals([*self._meanwhile, (since, until)])

    def backfill(self, intervals: Iterable[Interval], since: int, until: int) -> None:
        """Mark the days of the minutes [since, until) that overlap ``intervals`` as dirty."""
        days = self._days_of(since, until)
        for begin, end in intervals:
            held = range(begin // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY + 1)
            self._days |= days.intersection(held)

    def has_work(self, at: float, *, everything: bool) -> bool:
        """Return whether ``work`` has something to do; ``at`` is a monotonic time in seconds."""
        if self._failed and not everything and at < self._due:
            return False
        return (
            bool(self._intervals)
            or self._revisions.is_due(at, everything=everything)
            or any(
                self._revisions.is_to_join(joint, at, everything=everything)
                for joint in self._joints.values()
            )
        )

    def live(self, now: int) -> list[ReadRequest]:
        """Return the requests to dispatch before ``work``; ``now`` is the newest valid minute."""
        state = self._state
        if state is None:
            return []
        self._reads = [ReadRequest(state, since, until, now) for since, until in self._intervals]
        return self._reads

    def work(self, at: float, *, everything: bool) -> list[Revision]:
        """Return the revisions to write for new events."""
        requests, self._reads = self._reads, []
        _raise_error(requests)
        self._failed = False
        self._intervals = []
        told = [(request.state, request.findings, request.joints) for request in requests]
        revisions = self._reconcile(at, told, everything=everything)
        revisions += self._revisions.flush(at, everything=everything)
        if self._state is not None:
            self.size = self._state.size
        return revisions

    @property
    def is_cold(self) -> bool:
        """Whether days must be read before new events can be evaluated."""
        return self._state is None

    def has_days(self, at: float, *, everything: bool) -> bool:
        """Return whether days have to be read again and it is time to."""
        if self._forgotten.is_due(at, everything=everything) and not self.is_cold:
            return True
        return bool(self._days) and (everything or at >= self._due)

    def read_days(self, at: float, now: int, end: int) -> list[ReadRequest]:
        """Return the requests to dispatch before ``work_days``; ``end`` is after all events."""
        days = self._take_days(now)
        self._due = at if self.is_cold else at + _PAUSE
        self._reading, self._meanwhile, self._day_reads = set(days), [], []
        self._reading |= self._forgotten.days
        self._limited_reads = self._forgotten.reads(at, now)
        for first, last in merge_intervals([(day, day + 1) for day in days]):
            until = last * MINUTES_A_DAY + self._rule.after
            if last == days[-1] + 1 and (self._state is None or last > self._state.day):
                # it becomes the state, so it is read to the end of what has arrived. Later events
                # may be a backlog, which the state could not accept out of order
                begin = first if self._state is None else min(first, self._state.day)
                state = KeyedState(self._rule, begin)
                request = ReadRequest(state, state.floor, end, now)
            else:
                state = KeyedState(self._rule, first)
                request = ReadRequest(state, state.floor, until, now, last)
            self._day_reads.append(request)
        return [*self._day_reads, *self._limited_reads]

    def _take_days(self, now: int) -> list[int]:
        """Return the days to read now; after a restart, only the newest, which become the state."""
        days, self._days = self._days, set()
        if self._resumed:
            self._resumed = False
            newest = self._days_of(now - OPEN_MINUTES, now)
            if days & newest and days - newest:
                self._days = {day for day in days if day < min(newest)}
        return sorted(days - self._days)

    def work_finished(self, at: float) -> list[Revision]:
        """Return the revisions of days that are finished while others are still being read."""
        found: list[tuple[KeyedState, FindingsByKey, Joints]] = []
        # the requests run one after the other; the last one may become the state
        while self._day_reads and self._day_reads[0].error is None:
            request = self._day_reads[0]
            if request.is_over and request.end is not None:
                del self._day_reads[0]
                found.append(_found_by(request))
                self._reading.difference_update(range(request.first, request.end))
                continue
            if request.begun and not request.is_over:
                finished = _up_to(request.end, request.state.take_finished())
                joints = _joints_up_to(request.end, request.state.take_joints())
                found.append((request.state, finished, joints))
                self._reading.difference_update(request.finished)
            break
        return self._reconcile(at, found)

    def work_days(self, at: float) -> list[Revision]:
        """Return the revisions of the days that were read again."""
        requests, self._day_reads = self._day_reads, []
        limited, self._limited_reads = self._limited_reads, []
        _raise_error([*requests, *limited])
        self._failed = False
        self._reading = set()
        found = [_found_by(request) for request in requests]
        if requests and requests[-1].end is None:
            self._joints = {}  # the new state has all of them
            self._state = requests[-1].state
            self.size = self._state.size
            self._intervals = []
            self.touch(self._meanwhile)
        self._meanwhile = []
        found += [(request.state, _up_to(request.end, request.findings), {}) for request in limited]
        return self._reconcile(at, found)

    def _reconcile(
        self,
        at: float,
        told: Iterable[tuple[KeyedState, FindingsByKey, Joints]],
        *,
        everything: bool = False,
    ) -> list[Revision]:
        """Return the revisions to write for all that was found."""
        every: KeyedFindings = {}
        for state, found, joints in told:
            self._joints |= joints
            self._forgotten.note(state)
            self.dropped += state.dropped
            state.dropped = 0
            for key, days in found.items():
                known, whole = every.get(key, ({}, True))
                every[key] = (known | days if known else days, whole and state.whole)
        firsts: dict[int, int] = {}
        revisions = self._reconcile_joints(every, firsts, at, everything=everything)
        for key, (own, whole) in every.items():
            revisions += self._revisions.reconcile(key, own, at, whole=whole, joined=firsts)
        return revisions

    def _reconcile_joints(
        self, found: KeyedFindings, firsts: dict[int, int], at: float, *, everything: bool
    ) -> list[Revision]:
        """Return the revisions of joined findings; ``found`` loses those that they represent.

        Adds to ``firsts``: day → first event of its joined finding.
        """
        revisions: list[Revision] = []
        for day, joint in sorted(self._joints.items()):
            standing = self._revisions.keys(day)
            if not joint.level:
                if JOINED in standing:
                    revisions += self._revisions.reconcile(JOINED, {day: ()}, at)
                del self._joints[day]
                continue
            if self._revisions.is_to_join(joint, at, everything=everything or joint.is_over):
                joined = [joint.join()]
                revisions += self._revisions.reconcile(
                    JOINED, {day: joined}, at, whole=joint.is_whole
                )
                del self._joints[day]
            first = self._revisions.first_joined(day)
            if first is None:
                continue
            firsts[day] = first
            for key in standing - joint.keys - {JOINED}:
                own, whole = found.get(key, ({}, True))
                found[key] = ({**own, day: ()}, whole)
        return revisions

    def commit(self, at: float) -> None:
        """Clean up after the revisions of ``work`` are committed."""
        self._revisions.forget(at)

    def recover(self, at: float) -> None:
        """Discard the state after a failure, and schedule its days to be read again."""
        self._days = set(_decode_days(self.state()))
        self._intervals, self._reads = [], []
        self._reading, self._day_reads, self._meanwhile = set(), [], []
        self._forgotten, self._limited_reads = Forgotten(self._rule), []
        self._joints = {}
        self._failed = True
        self._state = None
        self._revisions = Revisions(self._reports, self._events, self.name, self._history)
        self._due = at + _PAUSE

    def _days_of(self, since: int, until: int) -> set[int]:
        """Return the UTC days whose findings may depend on the minutes [since, until)."""
        first = (since - self._rule.after) // MINUTES_A_DAY
        last = (until - 1 + self._rule.before) // MINUTES_A_DAY
        return set(range(first, last + 1))


def _found_by(request: ReadRequest) -> tuple[KeyedState, FindingsByKey, Joints]:
    """Return the results of a finished request."""
    return (
        request.state,
        _up_to(request.end, request.findings),
        _joints_up_to(request.end, request.joints),
    )


def _raise_error(requests: Iterable[ReadRequest]) -> None:
    """Raise the error that the rule raised while it processed events."""
    for request in requests:
        if request.error is not None:
            raise request.error


def _joints_up_to(end: int | None, joints: Joints) -> Joints:
    """Return the joints of days before ``end``, marked as final."""
    if end is None:
        return joints
    return {
        day: msgspec.structs.replace(joint, is_over=True)
        for day, joint in joints.items()
        if day < end
    }


def _up_to(end: int | None, found: FindingsByKey) -> FindingsByKey:
    """Return the findings of days before ``end``, the only ones that are complete."""
    if end is None:
        return found
    return {s: {day: f for day, f in days.items() if day < end} for s, days in found.items()}

"""Read events once for all rules that need them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from heptad.aggregator.detection import state as memory
from heptad.aggregator.detection.facts import EventBatch, EventFacts, facts_of
from heptad.aggregator.detection.flood import Joint
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.state import FindingsByKey, KeyedState
from heptad.aggregator.progress import MINUTE
from heptad.aggregator.stopping import until_stopped
from heptad.core.event import Event
from heptad.core.store.api import EventStore

_BATCH: Final = 1000
"""Maximum number of events that are buffered; the buffer is also flushed after each minute."""
MOST_SHOWN: Final = 10_000
"""Maximum number of events of one minute that are kept as evidence, so that a flood cannot fill the
memory."""
_FIRST_PIECE: Final = 60
_LONGEST_PIECE: Final = 360
_LONGEST_READ: Final = 1.0
"""Seconds."""

TagValues = Mapping[str, Collection[str]]
EventsByKey = dict[Callable[[Event], str | None], dict[str, EventBatch]]
"""Function that returns the key of an event → key → events of one kind."""


class ReadRequest:
    """A request to feed the minutes [since, until) to one ``KeyedState``.

    ``now`` is the newest plausible minute: a clock that is ahead must not close the minutes before
    it. If the rule raises, ``error`` is set and the rest of the request is skipped. ``findings`` is
    set at the end; they are complete only for days before ``end``.
    """

    def __init__(
        self, state: KeyedState, since: int, until: int, now: int, end: int | None = None
    ) -> None:
        self.state = state
        self.first = state.day
        self.since = since
        self.until = until
        self.now = now
        self.end = end
        self.error: Exception | None = None
        self.findings: FindingsByKey = {}
        self.joints: dict[int, Joint] = {}
        self.begun = False
        self.is_over = False

    @property
    def finished(self) -> range:
        """The days in which no further event can change the findings."""
        last = self.state.day if self.end is None else min(self.state.day, self.end)
        return range(self.first, last)

    def take(self, minute: int, buckets: Mapping[str, Any], dropped: int) -> None:
        """Add the buckets of a minute; an error of the rule ends only this request."""
        try:
            if not self.begun:
                self.begun = True
                self.state.begin(self.now)
            if self.error is None:
                self.state.take(minute, buckets, dropped)
        except Exception as error:  # noqa: BLE001 - raised again when the runner asks for it
            self.error = error

    def finish(self) -> None:
        """Compute the findings; called after the last minute."""
        self.is_over = True
        try:
            if not self.begun:
                self.state.begin(self.now)
            if self.error is None:
                self.findings = self.state.finish(self.until)
                self.joints = self.state.take_joints()
        except Exception as error:  # noqa: BLE001 - raised again when the runner asks for it
            self.error = error


class MinuteBuckets:
    """The buckets of a minute, computed once for all rules that compute the same ones."""

    def __init__(self, requests: list[ReadRequest]) -> None:
        self._reads = requests
        self._rule = requests[0].state.rule
        self._buckets: dict[str, Any] = {}
        self._dropped = 0

    def add(self, events: list[EventFacts], parted: EventsByKey) -> None:
        """Add some events of the minute; an error ends only the requests of these rules.

        ``parted`` caches the events by key, for rules with the same keys.
        """
        self._reads = [request for request in self._reads if request.error is None]
        try:
            self._add(events, parted)
        except Exception as error:  # noqa: BLE001 - raised again when the runner asks for it
            for request in self._reads:
                request.error = error

    def _add(self, events: list[EventFacts], parted: EventsByKey) -> None:
        if not self._reads:
            return
        key_of, add, buckets = self._rule.key_of, self._rule.add, self._buckets
        most = memory.MOST_BUCKETS
        told = parted.get(key_of)
        if told is None:
            told = parted[key_of] = _part(events, key_of)
        for key, own in told.items():
            bucket = buckets.get(key)
            # failures must not crowd out successes
            if bucket is None and len(buckets) >= most << (own[0][0].outcome == "success"):
                self._dropped += len(own)
            elif (more := add(bucket, own)) is not None:
                buckets[key] = more

    def hand_on(self, minute: int) -> None:
        """Pass the buckets on at the end of the minute."""
        if self._buckets:
            for request in self._reads:
                request.take(minute, self._buckets, self._dropped)
            self._buckets, self._dropped = {}, 0


class Pace:
    """Cuts a long span of minutes into pieces that each take about a second to read."""

    def __init__(self) -> None:
        self._length = _FIRST_PIECE

    def cut(self, since: int, until: int) -> Iterator[tuple[int, int]]:
        """Yield the pieces of a span; a piece is timed until the next one is requested."""
        while since < until:
            end = min(since + self._length, until)
            begun = time.monotonic()
            yield since, end
            took = time.monotonic() - begun
            if took > _LONGEST_READ:
                self._length = max(1, self._length // 2)
            elif took < _LONGEST_READ / 4:
                self._length = min(self._length * 2, _LONGEST_PIECE)
            since = end


BucketGroup = tuple[
    tuple[tuple[str, tuple[str, ...]], ...],
    Callable[..., Any],
    Callable[..., Any],
    ReadRequest | None,
]
"""Filter, key function, function that adds to a bucket, and the request if buckets are not shared.
"""


def dispatch(
    events: EventStore,
    requests: Iterable[ReadRequest],
    is_ignored: Callable[[Event], bool],
    pause: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Read the events once, in order of time, and pass them to all requests that need them.

    Raises the errors of the store, and Stopped if ``stop`` is set. Requests of one state must not
    overlap. ``pause`` is called about once a second, unless a single minute takes longer.
    """
    pace = Pace()
    waiting = deque(sorted(requests, key=lambda request: request.since))
    edges = sorted({edge for request in waiting for edge in (request.since, request.until)})
    active: list[ReadRequest] = []
    for since, until in pairwise(edges):
        while waiting and waiting[0].since <= since:
            active.append(waiting.popleft())
        active = _finish(active, since)
        for begin, end in pace.cut(since, until) if active else ():
            span = (begin * MINUTE, end * MINUTE)
            wanted = _unite([request.state.rule.filter for request in active])
            found = until_stopped(events.events(*span, wanted), stop)
            _walk_span(found, begin, active, is_ignored)
            pause()
        active = _finish(active, until)
    for request in (*active, *waiting):
        request.finish()


def _finish(requests: list[ReadRequest], until: int) -> list[ReadRequest]:
    """Finish the requests that end at ``until``; return the others."""
    for request in requests:
        if request.until <= until:
            request.finish()
    return [request for request in requests if request.until > until]


def _walk_span(
    events: Iterable[Event],
    since: int,
    requests: list[ReadRequest],
    is_ignored: Callable[[Event], bool],
) -> None:
    groups = _group(requests)
    listeners: dict[tuple[str, str], list[MinuteBuckets]] = {}
    batches: dict[tuple[str, str], list[Event]] = {}
    minute, held, seen = since, 0, 0
    for event in events:
        at = event.time // MINUTE
        if at != minute or held >= _BATCH:
            _hand_on(batches, listeners, is_ignored, shown=seen <= MOST_SHOWN)
            held = 0
        if at != minute:
            seen = 0
            for buckets in groups.values():
                buckets.hand_on(minute)
            minute = at
        kind = (event.action, event.outcome)
        batch = batches.get(kind)
        if batch is None:
            batch = batches[kind] = []
            if kind not in listeners:
                wanted = [c for key, c in groups.items() if _is_wanted(kind, dict(key[0]))]
                listeners[kind] = wanted
        batch.append(event)
        held += 1
        seen += 1
    _hand_on(batches, listeners, is_ignored, shown=seen <= MOST_SHOWN)
    for buckets in groups.values():
        buckets.hand_on(minute)


def _group(requests: list[ReadRequest]) -> dict[BucketGroup, MinuteBuckets]:
    groups: dict[BucketGroup, list[ReadRequest]] = {}
    for request in requests:
        rule = request.state.rule
        event_filter = tuple((tag, tuple(values)) for tag, values in rule.filter.items())
        kind: type[DetectionRule] = type(rule)
        own = None if rule.shares_buckets else request
        groups.setdefault((event_filter, kind.key_of, kind.add, own), []).append(request)
    return {key: MinuteBuckets(own) for key, own in groups.items()}


def _hand_on(
    batches: dict[tuple[str, str], list[Event]],
    listeners: dict[tuple[str, str], list[MinuteBuckets]],
    is_ignored: Callable[[Event], bool],
    *,
    shown: bool,
) -> None:
    """``shown``: keep the events as evidence; successful ones are always kept."""
    for kind, batch in batches.items():
        if listeners[kind]:
            keep = shown or kind[1] == "success"
            told = [
                (event, facts_of(event, shown=keep)) for event in batch if not is_ignored(event)
            ]
            parted: EventsByKey = {}
            for buckets in listeners[kind]:
                buckets.add(told, parted)
    batches.clear()


def _part(events: list[EventFacts], key_of: Callable[[Event], str | None]) -> dict[str, EventBatch]:
    told: dict[str, EventBatch] = {}
    for one in events:
        key = key_of(one[0])
        if key:  # an empty key would combine unrelated events
            own = told.get(key)
            if own is None:
                own = told[key] = EventBatch()
            own.append(one)
    return told


def _is_wanted(kind: tuple[str, str], event_filter: TagValues) -> bool:
    values = zip(("action", "outcome"), kind, strict=True)
    return all(value in event_filter.get(tag, (value,)) for tag, value in values)


def _unite(event_filter: list[TagValues]) -> dict[str, set[str]]:
    """Return a filter that matches at least what any of these filters matches."""
    united: dict[str, set[str]] = {}
    for tag in ("action", "outcome"):
        if all(tag in want for want in event_filter):
            united[tag] = {value for want in event_filter for value in want[tag]}
    return united

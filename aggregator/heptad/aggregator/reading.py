"""A store as it is read by work that may have to end at once."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from heptad.core.event import Event
from heptad.core.intervals import Interval
from heptad.core.store.api import Arrival, Counters, Store, TagFilter
from heptad.core.store.point import Identity, Point, Row
from heptad.core.validation import Intake

_T = TypeVar("_T")


class Stopped(Exception):
    """The work was told to end; what is not committed is done again after the next start."""


class StoppableStore:
    """``store``, whose readers raise Stopped as soon as ``stop`` is set: a look at a large
    backlog would otherwise take as long as it takes."""

    def __init__(self, store: Store) -> None:
        self.stop = threading.Event()
        self._store = store

    @property
    def intake(self) -> Intake:
        """See Readable.intake."""
        return self._store.intake

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _go_through(self, found: Iterator[_T]) -> Iterator[_T]:
        self._check()
        stopped = self.stop.is_set
        for one in found:
            if stopped():
                raise Stopped
            yield one

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
    ) -> None:
        """See Store.append."""
        self._store.append(rows, state, counters)

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """See Store.read."""
        return self._go_through(self._store.read(measurement, since, until, tags))

    def events(self, since: int, until: int, tags: TagFilter | None = None) -> Iterator[Event]:
        """See Store.events."""
        return self._go_through(self._store.events(since, until, tags))

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """See Store.pick."""
        return self._go_through(self._store.pick(identities))

    def recall(self, key: str) -> bytes | None:
        """See Store.recall."""
        return self._store.recall(key)

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """See Store.arrived."""
        self._check()
        return self._store.arrived(measurement, position, limit, edges)

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """See Store.spans."""
        self._check()
        return self._store.intervals(measurement, since, until)

    def watermark(self) -> int | None:
        """See Store.passed."""
        return self._store.watermark()

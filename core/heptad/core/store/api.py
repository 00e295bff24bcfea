"""The stores: where points are kept, on one host in SQLite files, in a fleet in InfluxDB."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from heptad.core.event import Event
from heptad.core.intervals import Interval
from heptad.core.store.point import Identity, Point, Row
from heptad.core.terminal import show_path
from heptad.core.validation import Intake


class StoreError(Exception):
    """A store cannot be used; the message says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(show_path(message))  # it may name a file whose name is not UTF-8


class Arrival(NamedTuple):
    """Some of what came into a store after a position: the span of its times in nanoseconds.

    ``position`` is the one behind it.
    """

    oldest: int
    newest: int
    points: int
    position: str


Counters = Mapping[tuple[str, str], float]
"""What is to be added to counters: (name, labels as JSON) to the amount."""


TagFilter = Mapping[str, str | Collection[str]]
"""Tags, each with the value or the values that are asked for."""

LOOKED_UNTIL: Final = "looked_until"
"""The state in which an exporter keeps up to when (ns) it had read every log to its end."""
PROBLEMS: Final = "problems"
"""The state in which an exporter keeps what is wrong: sentences, as a JSON list."""


class Readable(Protocol):
    """What can be read by time."""

    @property
    def intake(self) -> Intake:
        """What counts the values that are not as Heptad writes them."""
        ...

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """The points with since <= time < until whose tags are as given, in order of time."""
        ...


class Store(Readable, Protocol):
    """Few verbs: append, read a range of time, remember and recall state."""

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Keep the rows, state and counters, all or nothing; raises StoreError.

        A row whose series has another point at its time already moves on by a nanosecond. Where
        the two are the same, the local store keeps both, for two lines may be; InfluxDB keeps one.
        """
        ...

    def events(self, since: int, until: int, tags: TagFilter | None = None) -> Iterator[Event]:
        """The events with since <= time < until whose tags are as given, in order of time.

        What is no event is left out and counted.
        """
        ...

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """The events that are these, as far as they are there, in order of time."""
        ...

    def recall(self, key: str) -> bytes | None:
        """The state kept under ``key``, or None."""
        ...

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """What came after ``position`` ("": from the beginning), about ``limit`` points.

        Fewer than ``limit``: there is no more for now. In pieces that have no long gaps in time,
        and lie on one side of each of ``edges`` (ns) as far as the store can tell. A position is
        text of the store's own.
        """
        ...

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """The minutes that have points with since <= time < until (ns), merged and in order."""
        ...

    def watermark(self) -> int | None:
        """The time (ns) up to which every point of a living host is here; None: not known."""
        ...

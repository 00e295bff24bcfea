"""What a store promises: on one host an SQLite file, in a fleet a bucket of InfluxDB."""

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


Counters = Mapping[tuple[str, str], float]
"""What is to be added to counters: (name, labels as JSON) to the amount."""

TagFilter = Mapping[str, str | Collection[str]]
"""Tags, each with the value or the values that are asked for."""

LOOKED_UNTIL: Final = "looked_until"
"""The state in which an exporter keeps up to when (ns) it had read every log to its end."""
PROBLEMS: Final = "problems"
"""The state in which an exporter keeps what is wrong: sentences, as a JSON list."""


class Arrival(NamedTuple):
    """Some of what came into a store after a position: the range of its times in nanoseconds.

    ``position`` is the position after it.
    """

    oldest: int
    newest: int
    points: int
    position: str


class Emitter(NamedTuple):
    """Who writes events: a program, in a source of a host."""

    host: str
    source: str
    program: str


class Tail(Protocol):
    """Events as they come, for one reader that asks again and again."""

    @property
    def pause(self) -> float:
        """Seconds to wait between two calls of ``poll``."""
        ...

    def history(self) -> Iterator[Event]:
        """The events that are there already, in order of time. Call it before ``poll``, or not."""
        ...

    def poll(self) -> Iterator[Event]:
        """The events that came since the last call, in order of arrival as far as it is known."""
        ...


class EventStore(Protocol):
    """Events, what follows from them, and the state of those who write here.

    Times are nanoseconds since the epoch, a range is since <= time < until. Iterators read as they
    go: a reader that stops early pays for no more, and stops them between two items. Every method
    may wait for the disk or the server, up to the time limit that the store was opened with, and
    raises StoreError, the one on one host also sqlite3.Error; an iterator raises amid its items,
    too. A stored value that is not as Heptad writes it raises nothing: it is left out and counted
    in ``intake``. ``tests/core/test_store_protocol.py`` is the suite that every store passes.
    """

    @property
    def name(self) -> str:
        """Where the store is, for a person."""
        ...

    @property
    def intake(self) -> Intake:
        """What counts the values that are not as Heptad writes them."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether exporters of many hosts write here.

        Then ``counters``, ``recall`` and ``size`` say nothing of an exporter.
        """
        ...

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Keep the rows and state, and add to the counters.

        In SQLite all or nothing, and on the disk at the return. In InfluxDB the rows are there at
        the return; state and counters are in force for this process, and are written some seconds
        later. A row whose series has another point at its time moves on by a nanosecond. Where the
        two are the same, SQLite keeps both, for two lines may be; InfluxDB keeps one. A row that
        the store can never take is left out, and the log says so.
        """
        ...

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """The points of the range whose tags are as given, in order of time."""
        ...

    def events(
        self,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        *,
        newest_first: bool = False,
        fields: Sequence[str] = (),
    ) -> Iterator[Event]:
        """The events of the range whose tags are as given, in order of time.

        ``newest_first``: in the opposite order, and events more than a day ahead of the clock may
        be left out. ``fields``: the reader needs no other fields; they may have their defaults.
        """
        ...

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """The events that are these, as far as they are there, in order of time."""
        ...

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """The minutes of the range that have points, merged and in order."""
        ...

    def last_times(self, until: int) -> dict[Emitter, int]:
        """The time of the newest event before ``until`` of each emitter.

        A shared store leaves out an emitter whose last event is a week old.
        """
        ...

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """What came after ``position`` ("": from the beginning), about ``limit`` points.

        Fewer than ``limit``: there is no more for now. In pieces that have no long gaps in time,
        and lie on one side of each of ``edges`` (a time) as far as the store can tell: a shared
        store cuts at whole minutes. A position is text that only the store understands.
        """
        ...

    def newest_position(self) -> int:
        """The position of the event that came last; below 2**53, for JavaScript's sake."""
        ...

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Event], int]:
        """The events among the next ``limit`` points after ``position``, and the new position.

        The positions are those of ``newest_position``. A shared store knows only events that came
        after the first call of that, and not all of them: the last thousand.
        """
        ...

    def tail(self, since: int, tags: TagFilter) -> Tail:
        """What follows the events since ``since`` with these tags as they come."""
        ...

    def watermark(self) -> int | None:
        """The time up to which every log was read to its end and stored here; None: not known.

        A shared store goes by the heartbeats of living exporters, which may be half a minute old.
        """
        ...

    def recall(self, key: str) -> bytes | None:
        """The state kept under ``key``, or None."""
        ...

    def counters(self) -> dict[tuple[str, str], float]:
        """Every counter: (name, labels as JSON) to its value."""
        ...

    def problems(self, since: int | None = None) -> list[str]:
        """What keeps hosts from being heard now, a sentence each.

        With ``since`` also the programs whose lines were refused after it, where that is known.
        """
        ...

    def size(self) -> int | None:
        """Bytes in use; None: not known."""
        ...

    def close(self) -> None:
        """Close the store; what is to be written is written, or the log says that it is not."""
        ...

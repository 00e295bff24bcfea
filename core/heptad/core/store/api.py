"""The interface of a store: an SQLite file on one host, a bucket of InfluxDB for a fleet."""

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
        super().__init__(show_path(message))  # it may contain a file name that is not UTF-8


Counters = Mapping[tuple[str, str], float]
"""Amounts to add to counters: (name, labels as JSON) → the amount."""

TagFilter = Mapping[str, str | Collection[str]]
"""Tags, each with the value or the values to select."""

LOOKED_UNTIL: Final = "looked_until"
"""The key of the state with the time (ns) up to which the exporter has read all logs."""
PROBLEMS: Final = "problems"
"""The key of the state with the exporter's problems: sentences, as a JSON list."""


class Arrival(NamedTuple):
    """Points that arrived in a store after a position, with the range of their times (ns).

    ``position`` is the position after them.
    """

    oldest: int
    newest: int
    points: int
    position: str


class Emitter(NamedTuple):
    """A writer of events: a program, in a source of a host."""

    host: str
    source: str
    program: str


class Tail(Protocol):
    """New events, for one reader that polls."""

    @property
    def pause(self) -> float:
        """Seconds to wait between two calls of ``poll``."""
        ...

    def history(self) -> Iterator[Event]:
        """Yield the existing events, in order of time. Call it before ``poll``, or not at all."""
        ...

    def poll(self) -> Iterator[Event]:
        """Yield the events since the last call, in order of arrival as far as it is known."""
        ...


class EventStore(Protocol):
    """Events, what is computed from them, and the state of the writers.

    Times are nanoseconds since the epoch; a range is since <= time < until. Iterators read lazily:
    stopping between two items costs nothing more. Every method may block on the disk or the server,
    up to the timeout with which the store was opened, and raises StoreError, the local store also
    sqlite3.Error; iterators may also raise between items. An invalid stored value raises nothing:
    it is skipped and counted in ``intake``. Every store passes
    ``tests/core/test_store_protocol.py``.
    """

    @property
    def name(self) -> str:
        """The location of the store, for messages."""
        ...

    @property
    def intake(self) -> Intake:
        """The counter of invalid values."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether exporters of many hosts write to this store.

        If so, ``counters``, ``recall`` and ``size`` do not refer to an exporter.
        """
        ...

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
    ) -> None:
        """Store the rows and state, and add to the counters.

        In SQLite this is atomic, and durable when it returns. In InfluxDB the rows are stored when
        it returns; state and counters take effect in this process, and are written some seconds
        later. If its series has another point at its time, a row moves by a nanosecond. If the two
        are equal, SQLite keeps both, because two lines may be equal; InfluxDB keeps one. A row that
        the store can never accept is skipped and logged.
        """
        ...

    def read(
        self, measurement: str, since: int, until: int, tags: TagFilter | None = None
    ) -> Iterator[Point]:
        """Yield the points of the range with these tags, in order of time."""
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
        """Yield the events of the range with these tags, in order of time.

        ``newest_first``: in reverse order; events more than a day ahead of the clock may be
        missing. ``fields``: the reader needs no other fields; the others may have their defaults.
        """
        ...

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """Yield the events with these identities, if they exist, in order of time."""
        ...

    def intervals(self, measurement: str, since: int, until: int) -> list[Interval]:
        """Return the minutes of the range that have points, merged and in order."""
        ...

    def last_times(self, until: int) -> dict[Emitter, int]:
        """Return the time of the newest event before ``until`` of each emitter.

        A shared store omits an emitter whose last event is a week old.
        """
        ...

    def arrived(
        self, measurement: str, position: str, limit: int, edges: Sequence[int] = ()
    ) -> list[Arrival]:
        """Return what arrived after ``position`` ("": from the beginning), about ``limit`` points.

        If fewer than ``limit`` are returned, there are no more at present. The pieces have no long
        gaps in time, and lie on one side of each of ``edges`` (times) as far as the store can tell:
        a shared store splits at whole minutes. A position is opaque text.
        """
        ...

    def newest_position(self) -> int:
        """Return the position of the last event to arrive; below 2**53, for JavaScript."""
        ...

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Event], int]:
        """Return the events of the next ``limit`` points after ``position``, and the new position.

        The positions are those of ``newest_position``. A shared store knows only events that
        arrived after the first call of ``newest_position``, and only the last thousand of them.
        """
        ...

    def tail(self, since: int, tags: TagFilter) -> Tail:
        """Follow the events since ``since`` with these tags."""
        ...

    def watermark(self) -> int | None:
        """Return the time up to which every log was read and stored here; None if unknown.

        A shared store uses the heartbeats of live exporters, which may be half a minute old.
        """
        ...

    def recall(self, key: str) -> bytes | None:
        """Return the state stored under ``key``, or None."""
        ...

    def counters(self) -> dict[tuple[str, str], float]:
        """Return all counters: (name, labels as JSON) → value."""
        ...

    def problems(self, since: int | None = None) -> list[str]:
        """Return what currently prevents hosts from being read, as sentences.

        With ``since``, also the programs whose lines were rejected after it, if that is known.
        """
        ...

    def size(self) -> int | None:
        """Return the bytes in use; None if unknown."""
        ...

    def close(self) -> None:
        """Close the store and write what is pending; a failure is logged."""
        ...

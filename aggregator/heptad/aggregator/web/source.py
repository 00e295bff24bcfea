"""What the views ask of the stores, and the two files of one host as they are opened for them."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

from heptad.core.event import Event
from heptad.core.store.api import Readable, StoreError, TagFilter
from heptad.core.store.point import Identity, Point, Row
from heptad.core.store.sqlite import LocalStore
from heptad.core.units import SECOND
from heptad.core.validation import Intake

PATIENCE: Final = 3.0
"""Seconds that a store is waited for."""
AHEAD: Final = 86_400 * SECOND
"""What lies further ahead (ns) is left alone until its time has come."""


class Reports(Readable, Protocol):
    """Findings and reports."""

    def size(self) -> int | None:
        """Bytes in use; None: not known here."""
        ...


class Events(Reports, Protocol):
    """The events. A view stops asking when its time is up, so what is asked for comes bit by bit.

    A position is a whole number below 2**53, for JavaScript knows no larger ones exactly.
    """

    def backwards(
        self,
        measurement: str,
        since: int,
        until: int,
        tags: TagFilter | None = None,
        fields: Sequence[str] = (),
    ) -> Iterator[Row]:
        """The rows with since <= time < until (ns), the newest first; at least these fields."""
        ...

    def pick(self, identities: Iterable[Identity]) -> Iterator[Event]:
        """The events that are these, as far as they are there, in order of time."""
        ...

    def newest_position(self) -> int:
        """The position of what arrived last."""
        ...

    def since_arrival(
        self, position: int, limit: int, tags: TagFilter | None = None
    ) -> tuple[list[Point], int]:
        """The points among the next ``limit`` behind ``position``, and the position behind them."""
        ...

    def last_times(self, measurement: str, until: int) -> Mapping[str, int]:
        """Head of a series, or what is needed of it, → its newest point's time before ``until``."""
        ...

    def looked_until(self) -> int | None:
        """Up to when (ns) every log that is read had been read to its end; None: not known."""
        ...

    def counters(self) -> Mapping[tuple[str, str], float] | None:
        """The exporter's counters: (name, labels as JSON) → value; None: not known here."""
        ...


Opened = tuple[Events, Reports | None]
"""The reports are None where there are none yet, or where a view can do without them."""


class PageStores(Protocol):
    """Where the page finds what it shows."""

    def open(self, *, needs_reports: bool) -> AbstractContextManager[Opened]:
        """Both stores for one request; raises StoreError or sqlite3.Error, also while reading."""
        ...


class HostStores:
    """The files of events and reports of one host."""

    def __init__(self, events: Path, reports: Path, intake: Intake | None = None) -> None:
        self._events = events
        self._reports = reports
        self._intake = intake or Intake()

    @contextmanager
    def open(self, *, needs_reports: bool) -> Iterator[Opened]:
        """See Stores.open."""
        with ExitStack() as stack:
            events = stack.enter_context(self._open(self._events))
            yield events, self._open_reports(stack, needed=needs_reports)

    def _open(self, path: Path) -> LocalStore:
        store = LocalStore(path, patience=PATIENCE)
        store.intake = self._intake
        return store

    def _open_reports(self, stack: ExitStack, *, needed: bool) -> LocalStore | None:
        if not self._reports.exists():
            return None
        try:
            return stack.enter_context(self._open(self._reports))
        except (StoreError, sqlite3.Error):
            if needed:
                raise
            return None

"""What the views ask of the stores, and the two files of one host as they are opened for them."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

from heptad.core.store.api import EventStore, StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.core.units import SECOND
from heptad.core.validation import Intake

PATIENCE: Final = 3.0
"""Seconds that a store is waited for."""
AHEAD: Final = 86_400 * SECOND
"""What lies further ahead (ns) is left alone until its time has come."""


Opened = tuple[EventStore, EventStore | None]
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
        """Both stores for one request."""
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

"""The stores that the views read, and how they are opened on a single host."""

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
"""Maximum number of seconds to wait for a store."""
AHEAD: Final = 86_400 * SECOND
"""Events further ahead of the clock than this (ns) are not shown yet."""


Opened = tuple[EventStore, EventStore | None]
"""Events and reports; the reports are None if they do not exist, or if the view does not need them.
"""


class PageStores(Protocol):
    """Opens the stores for the page."""

    def open(self, *, needs_reports: bool) -> AbstractContextManager[Opened]:
        """Open both stores for one request; raises StoreError or sqlite3.Error, also on reading."""
        ...


class HostStores:
    """The files of events and reports of one host."""

    def __init__(self, events: Path, reports: Path, intake: Intake | None = None) -> None:
        self._events = events
        self._reports = reports
        self._intake = intake or Intake()

    @contextmanager
    def open(self, *, needs_reports: bool) -> Iterator[Opened]:
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

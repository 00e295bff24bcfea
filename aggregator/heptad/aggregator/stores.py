"""The aggregator's two stores: files on this host, or buckets in the fleet's InfluxDB."""

import logging
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from heptad.aggregator.detection.current import current_row, looked_row
from heptad.aggregator.detection.finding import DAY, Revision, last_revisions
from heptad.aggregator.metrics import FLEET, HELD, AggregatorMetrics
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config, StoreConfig
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.heartbeats import FleetSummary, describe_troubled
from heptad.core.influxdb.store import InfluxStore
from heptad.core.store.api import EventStore, StoreError
from heptad.core.store.field_conflict import HeldPoints, count_by_labels, describe
from heptad.core.store.sqlite import LocalStore
from heptad.core.store.sqlite_file import StoreCorrupt, identify
from heptad.core.validation import Intake, decode_time

log = logging.getLogger("heptad.aggregator")

STORE_ERRORS: Final = (StoreError, sqlite3.Error)
OWNER: Final = "aggregator"
_PRUNE_EVERY: Final = 60.0
_LOOKED_EVERY: Final = 30.0
_SHOWN: Final = 30 * DAY
_UNSURE: Final = 3
"""From this generation on, InfluxDB does not define which of two writes of a point survives."""


class AggregatorStores(ABC):
    """The store of events, and the store of findings, reports and the aggregator's own state.

    ``name`` identifies the store of events; positions are valid only in that store. All methods
    except ``close`` raise StoreError or sqlite3.Error.
    """

    name: str

    def __init__(self, hosts: Collection[str]) -> None:
        self._hosts = hosts

    @property
    @abstractmethod
    def events(self) -> EventStore:
        """The store of events; call ``open_events`` first, because its file may be replaced."""

    @property
    @abstractmethod
    def reports(self) -> EventStore:
        """The store of findings and reports."""

    @property
    def set_aside(self) -> Path | None:
        """The path of a corrupt store of reports that was set aside, or None."""
        return None

    @abstractmethod
    def describe(self) -> tuple[str, str]:
        """Return the locations of events and reports, for display."""

    @abstractmethod
    def open_events(self) -> bool:
        """Open the events; return whether it is a different store than the last time."""

    @abstractmethod
    def is_of_events(self, error: Exception) -> bool:
        """Return whether an error comes from the store of events."""

    @abstractmethod
    def recover(self, error: Exception, metrics: AggregatorMetrics) -> None:
        """Try to recover from an error of the store of reports."""

    @abstractmethod
    def tend(self, metrics: AggregatorMetrics) -> None:
        """Do periodic maintenance; call it after each cycle."""

    def show(self, revisions: Sequence[Revision]) -> None:  # noqa: B027 - nothing to do by default
        """Update the current rows of these findings, for dashboards that cannot read revisions."""

    def problems(self) -> list[str]:
        """Return the problems of exporters, one sentence each, for the page.

        Empty on a single host, where the exporter reports its own problems.
        """
        return []

    def hosts(self) -> Collection[str]:
        """Return the host names that are trusted; see docs/decisions/0038."""
        return self._hosts

    @abstractmethod
    def close(self) -> None: ...


def open_stores(config: Config, intake: Intake) -> AggregatorStores:
    """Open the stores that the configuration selects; raises StoreError."""
    if config.influxdb is not None:
        return InfluxStores(config.influxdb, intake, hosts_of(config))
    return LocalStores(Path(config.store.path), config.aggregator.store, intake, hosts_of(config))


def hosts_of(config: Config) -> frozenset[str]:
    """Return the host names in the configuration."""
    return frozenset((config.host, *(host for source in config.sources for host in source.hosts)))


class LocalStores(AggregatorStores):
    """Two files: the exporter's, which may be missing or replaced, and the aggregator's own."""

    def __init__(
        self, path: Path, own: StoreConfig, intake: Intake, hosts: Collection[str] = ()
    ) -> None:
        super().__init__(hosts)
        self._intake = intake
        self.name = ""
        self._path = path
        self._own = own
        self._events: LocalStore | None = None
        self._prune_due = 0.0
        self._reports = self._open_own()

    def _open_own(self) -> LocalStore:
        store = LocalStore(
            Path(self._own.path),
            write=True,
            max_age=self._own.max_age,
            max_size=self._own.max_size,
        )
        store.intake = self._intake
        return store

    @property
    def events(self) -> LocalStore:
        if self._events is None:
            raise StoreError(f"{self._path}: the store is not open")
        return self._events

    @property
    def reports(self) -> LocalStore:
        return self._reports

    @property
    def set_aside(self) -> Path | None:
        return self._reports.set_aside

    def describe(self) -> tuple[str, str]:
        return str(self._path), self._own.path

    def open_events(self) -> bool:
        """Open the events again if their file was set aside or replaced."""
        identity = identify(self._path)
        if self._events is not None and identity == self.name:
            return False
        self._close_events()
        self._events = LocalStore(self._path)
        self._events.intake = self._intake
        self.name = identity
        return True

    def _close_events(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None

    def is_of_events(self, error: Exception) -> bool:
        """A bare SQLite error has no path and may come from either store."""
        return self._events is None or str(error).startswith(f"{self._path}:")

    def recover(self, error: Exception, metrics: AggregatorMetrics) -> None:
        """Set a corrupt store of reports aside."""
        if isinstance(error, StoreCorrupt):
            self._reports.begin_anew()
        elif not isinstance(error, StoreError):
            # unknown which of the two cannot be read: opening checks the file and sets a corrupt
            # one aside
            self._reports.close()
            self._reports = self._open_own()
        if self._reports.set_aside is not None and not self._reports.counters():
            self._reports.append([], None, metrics.totals())

    def tend(self, metrics: AggregatorMetrics) -> None:
        if time.monotonic() >= self._prune_due:
            busy = self._reports.prune() > 0
            self._prune_due = time.monotonic() + (0 if busy else _PRUNE_EVERY)
            metrics.set("heptad_aggregator_store_size_bytes", self._reports.size())

    def close(self) -> None:
        self._close_events()
        self._reports.close()


class InfluxStores(AggregatorStores):
    """Two buckets; state and heartbeats are in a third. The server deletes old data."""

    def __init__(self, config: InfluxConfig, intake: Intake, hosts: Collection[str] = ()) -> None:
        super().__init__(hosts)
        self._connection = InfluxConnection(config)
        buckets = config.buckets
        self._events = InfluxStore(self._connection, buckets.events, OWNER, intake=intake)
        self._reports = InfluxStore(self._connection, buckets.reports, OWNER, intake=intake)
        self._own = (f"`{buckets.reports}`", f"`{buckets.heptad}`")
        self._begun = False
        self._is_shown = False
        self._looked_due = 0.0
        self._fleet = FleetSummary()
        self._troubled: dict[str, list[str]] = {}
        self._held: list[HeldPoints] = []
        self.name = self._events.name

    @property
    def events(self) -> InfluxStore:
        return self._events

    @property
    def reports(self) -> InfluxStore:
        return self._reports

    def describe(self) -> tuple[str, str]:
        return self._events.name, self._reports.name

    def open_events(self) -> bool:
        """Store when the aggregator first started; older events are history."""
        if self._begun:
            return False
        known = self._events.recall("first_start")
        if self._events.intake.restore("first_start", known, decode_time) is None:
            self._events.append([], {"first_start": str(time.time_ns()).encode()})
            self._events.flush(at_once=True)
        self._begun = True
        return True

    def is_of_events(self, error: Exception) -> bool:
        """If the server cannot be reached, the error counts as one of the events."""
        return not any(name in str(error) for name in self._own)

    def recover(self, error: Exception, metrics: AggregatorMetrics) -> None:
        """Write the rows for dashboards again; unacknowledged rows are sent with the next write."""
        self._is_shown = False

    def tend(self, metrics: AggregatorMetrics) -> None:
        """Write state and the rows for dashboards, and update the figures of the fleet."""
        if not self._is_shown:  # an older version, or a kill, may have left out rows
            now = time.time_ns()
            self.show(list(last_revisions(self._reports, now - _SHOWN, now).values()))
            self._is_shown = True
        if metrics.judged_until is not None and time.monotonic() >= self._looked_due:
            self._reports.replace([looked_row(metrics.judged_until)])
            self._looked_due = time.monotonic() + _LOOKED_EVERY
        self._events.flush()
        self._reports.flush()
        self._fleet = self._events.fleet()
        for name, value in msgspec.structs.asdict(self._fleet).items():
            metrics.set(FLEET[name], value)
        metrics.open.vouch(self.hosts())
        self._troubled = self._events.troubled()
        self._held = self._events.held()
        metrics.show(HELD, count_by_labels(self._held))

    def show(self, revisions: Sequence[Revision]) -> None:
        replaces = self._connection.generation < _UNSURE
        self._reports.replace([current_row(one, replaces=replaces) for one in revisions])

    def problems(self) -> list[str]:
        """Return the problems of exporters, as of the last heartbeats read."""
        problems = describe_troubled(self._troubled)
        if shared := self._fleet.shared_names:
            what = "host names that two machines share"
            problems.append(f"{what}: {shared}; set a different `host` on each")
        held = describe(self._held)
        return problems if held is None else [*problems, held]

    def hosts(self) -> Collection[str]:
        """Add the hosts whose exporters sent a heartbeat in the last day."""
        return {*self._hosts, *self._events.hosts()}

    def close(self) -> None:
        self._events.close()
        self._reports.close()
        self._connection.close()

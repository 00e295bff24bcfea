"""Create and start the delivery to the fleet's InfluxDB.

A new store first asks the server where an earlier store of this host stopped. No log is read until
the server has answered, because lines could be read twice.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config
from heptad.core.influxdb.checkpoints import find_last, is_there
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.write import InfluxSink
from heptad.core.influxdb.write_errors import find_conflict
from heptad.core.store.api import StoreError
from heptad.core.store.outbox import hold_rejected, restore
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.log import Condition
from heptad.exporter.delivery.delivery_state import (
    DeliveryState,
    find_machine_id,
    find_machine_key,
    read_position,
)
from heptad.exporter.delivery.forwarder import DELIVERY_STATE, Forwarder, Limits
from heptad.exporter.delivery.heartbeat import HeartbeatSender
from heptad.exporter.metrics import ExporterMetrics

log = logging.getLogger("heptad.forwarder")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_GAUGES: Final = (
    "heptad_store_full",
    "heptad_delivery_up",
    "heptad_delivery_behind_events",
    "heptad_delivery_last_success_timestamp_seconds",
)
"""Exposed from the start if delivery is configured, and otherwise not at all."""


class Delivery:
    """Delivers ``store``; ``is_behind`` returns whether there are unread lines.

    ``is_deaf`` returns whether a source is deaf. ``ready`` is set once the store may be filled.
    """

    def __init__(
        self,
        config: Config,
        influxdb: InfluxConfig,
        store: LocalStore,
        metrics: ExporterMetrics,
        is_behind: Callable[[], bool],
        is_deaf: Callable[[], bool] = lambda: False,
    ) -> None:
        self.ready = threading.Event()
        self._config = influxdb
        self._host = config.host
        root = Path(config.exporter.host_root)
        self._machine_id = find_machine_id(root)
        self._machine_key = find_machine_key(root)
        self._store = store
        self._metrics = metrics
        self._is_behind = is_behind
        self._is_deaf = is_deaf
        self._connection = InfluxConnection(influxdb)
        self._condition = Condition(log, "position", url=influxdb.url)
        self._forwarder: Forwarder | None = None
        for name in _GAUGES:
            metrics.set(name, 0)

    def describe(self) -> str:
        """Return the target, for display."""
        return f"{self._config.url} (bucket {self._config.buckets.events})"

    def problems(self) -> list[str]:
        """Return the current problems, one sentence each, for /healthz."""
        waiting = self._condition.problem
        told = [f"delivery: {waiting}; logs are not read until this is resolved"] if waiting else []
        return told + (self._forwarder.problems() if self._forwarder else [])

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set."""
        try:
            forwarder = self.begin(stop)
            if forwarder is not None:
                forwarder.run(stop)
        finally:
            self._connection.close()

    def drain(self, stop: threading.Event) -> None:
        """Deliver everything; if that fails, ``problems`` has the reason."""
        if self._forwarder is not None:
            self._forwarder.drain(stop)
            self._forwarder.close()
        self._connection.close()

    def begin(self, stop: threading.Event, *, once: bool = False) -> Forwarder | None:
        """Restore an earlier store's position into a new store; None if ``stop`` was set before.

        ``once``: do not retry; None also if the server does not answer, and ``problems`` says why.
        """
        pause = _FIRST_PAUSE
        while not self._is_known():
            try:
                self._recover()
            except StoreError as error:
                self._metrics.set("heptad_delivery_up", 0)
                self._condition.set(str(error))
                if once or stop.wait(pause):
                    return None
                pause = min(2 * pause, _LONGEST_PAUSE)
        self._condition.set(None)
        hold_rejected(self._store.path, find_conflict)
        self._forwarder = self._make_forwarder()
        self.ready.set()
        return self._forwarder

    def _is_known(self) -> bool:
        known = (self._store.recall(key) for key in ("first_start", DELIVERY_STATE))
        return any(value is not None for value in known)

    def _recover(self) -> None:
        bucket = self._config.buckets.heptad
        retention = self._config.retention.heptad
        reader = Reader(self._connection, bucket)
        last = find_last(reader, self._host, self._machine_id, retention)
        delivery_state = (
            DeliveryState(sequence=last.sequence, at=last.time) if last else DeliveryState()
        )
        state = {DELIVERY_STATE: msgspec.json.encode(delivery_state)}
        if last is not None and last.position and self._machine_key is not None:
            try:
                found, taken = read_position(last.position, self._machine_key)
            except ValueError as error:
                raise StoreError(
                    f"cannot use the last position of this host in bucket {bucket}: {error}; "
                    f"to start without it, delete the heartbeats of host {self._host} in that "
                    "bucket"
                ) from error
            restore(self._store.path, found | state, taken)
            log.info("resuming from the position of an earlier store", extra={"host": self._host})
        else:
            restore(self._store.path, state, {})

    def _keeps_heartbeat(self, time: int) -> bool:
        reader = Reader(self._connection, self._config.buckets.heptad)
        return is_there(reader, self._host, self._machine_id, time)

    def _make_forwarder(self) -> Forwarder:
        buckets, delivery = self._config.buckets, self._config.delivery
        limits = Limits(
            delivery.flush_interval,
            delivery.max_lines,
            delivery.max_bytes,
            self._config.retention.events,
        )
        heartbeat = HeartbeatSender(
            InfluxSink(self._connection, buckets.heptad),
            self._host,
            self._machine_id,
            self._machine_key,
            lambda: self._connection.clock_offset,
            self._is_behind,
        )
        heartbeat.is_deaf = self._is_deaf
        heartbeat.is_kept = self._keeps_heartbeat
        sink = InfluxSink(self._connection, buckets.events)
        return Forwarder(self._store, sink, heartbeat, self._metrics, limits)

"""Delivery to the fleet's InfluxDB: put together from the configuration, and begun.

A store that is new asks the server first where an earlier one of this host's stopped. Until the
server has answered nothing is read: it would be read a second time.
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
"""Shown from the start where there is delivery, and not at all where there is none."""


class Delivery:
    """What delivers ``store``; ``is_behind`` says whether there are lines that are not read yet.

    ``is_deaf`` says whether a source is not heard.
    ``ready`` is set once the store may be filled.
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
        """Where it delivers to, for a person."""
        return f"{self._config.url} (bucket {self._config.buckets.events})"

    def problems(self) -> list[str]:
        """What is wrong now, a sentence each: for /healthz."""
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
        """Deliver all that is there; what hinders it is in ``problems``."""
        if self._forwarder is not None:
            self._forwarder.drain(stop)
            self._forwarder.close()
        self._connection.close()

    def begin(self, stop: threading.Event, *, once: bool = False) -> Forwarder | None:
        """Take up an earlier store's position where this one is new; None where ``stop`` came.

        ``once``: None also where the server does not tell it now; ``problems`` says why.
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

"""Send heartbeats, including the position where an exporter with an empty store resumes."""

import logging
import time
from collections.abc import Callable
from typing import Final

from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Sink
from heptad.core.store.api import StoreError
from heptad.core.store.line_protocol import encode_line
from heptad.core.store.outbox import Outbox, StoreSnapshot
from heptad.core.telemetry.log import Condition
from heptad.exporter.delivery.delivery_state import (
    EVERY,
    DeliveryState,
    Health,
    make_row,
    write_position,
)

log = logging.getLogger("heptad.forwarder")

_NO_KEY: Final = (
    "this host has no /etc/machine-id, which is required to encrypt its position: if the store "
    "is lost, the exporter reads all logs again; create it with systemd-machine-id-setup(1)"
)
_NOT_KEPT: Final = (
    "a heartbeat that the server acknowledged a minute ago is not stored, so events may be "
    "lost too: check that `influxdb.url` is the URL of InfluxDB, and not of a proxy that drops "
    "writes; then run `heptad exporter resend` to deliver lost events again"
)
_SETTLED: Final = 10.0
"""Seconds until the server shows what it has acknowledged; InfluxDB 3.x needs one."""
_PROOF_EVERY: Final = 3600.0
"""Seconds from a heartbeat that was verified to the next verification."""
STATE: Final = ("source/", "attempts/", "caught_up/", "strangers/", "first_start")
"""Keys of the store's state that are required to process the next line."""


class HeartbeatSender:
    """Sends the heartbeats of one exporter to ``sink``.

    ``key`` encrypts positions; without one, none is sent. ``offset`` returns how many seconds this
    clock is ahead of the server's; ``is_behind`` whether there are unread lines; ``now`` the time
    in nanoseconds; ``is_deaf`` whether a source is deaf; ``is_kept`` whether the heartbeat of a
    time (ns) is stored, or raises StoreError. ``is_lost``: a heartbeat was not stored.
    """

    def __init__(
        self,
        sink: Sink,
        host: str,
        machine_id: str,
        key: bytes | None,
        offset: Callable[[], float],
        is_behind: Callable[[], bool],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.is_deaf: Callable[[], bool] = lambda: False
        self.is_kept: Callable[[int], bool] = lambda time: True
        self.is_lost = False
        self._sent: int | None = None
        self._proof_due = self._sent_at = 0.0
        self._sink = sink
        self._host = host
        self._machine_id = machine_id
        self._key = key
        self.offset = offset
        self._is_behind = is_behind
        self._now = now
        self._due: float | None = None
        self._candidate: StoreSnapshot | None = None
        self._sent_position = ""
        self._condition = Condition(log, "position")

    def is_due(self, state: DeliveryState) -> bool:
        """Return whether a minute has passed since the last one, also across a restart."""
        if self._due is None:
            elapsed = (self._now() - state.at) / 10**9 - self.offset()
            self._due = time.monotonic() + EVERY - min(max(elapsed, 0), EVERY)
        return time.monotonic() >= self._due

    def hurry(self) -> None:
        """Make the next heartbeat due at once."""
        self._due = 0.0

    def send(
        self, state: DeliveryState, outbox: Outbox, held: str | None = None
    ) -> DeliveryOutcome:
        """Send a heartbeat and return the outcome; raises StoreError of the outbox.

        ``held``: what is held, see ``heptad.core.store.heartbeat_row``.
        """
        self._due = time.monotonic() + EVERY
        now = self._now()
        behind_lines = self._is_behind()
        behind = max(0, outbox.newest() - state.position)
        position = None if held else self._position(state, outbox)
        caught_up = not behind and not behind_lines
        health = Health(now, self.offset(), behind, caught_up, position, self.is_deaf(), held)
        doubt = self._look_back()
        row = make_row(state, health, self._host, self._machine_id)
        outcome = self._sink.deliver(self._sink.encode([encode_line(row)]))
        missing = outcome.missing() if isinstance(outcome, Delivered) else None
        told = isinstance(outcome, Delivered) and missing is None
        if told:
            self._sent, self._sent_at = row.time, time.monotonic()
        told = told and not self.is_lost
        state.record_heartbeat(row.time, told=told)
        if told and position is not None:
            self._sent_position = position
        if missing is not None:
            return Blocked(
                f"InfluxDB rejects heartbeats: {missing}; `heptad influxdb check` shows the cause"
            )
        return Blocked(doubt) if doubt and isinstance(outcome, Delivered) else outcome

    def _look_back(self) -> str | None:
        """Verify the last heartbeat now and then, because a response alone proves nothing."""
        due = max(self._proof_due, self._sent_at + _SETTLED)
        if self._sent is None or time.monotonic() < due:
            return _NOT_KEPT if self.is_lost else None
        try:
            self.is_lost = not self.is_kept(self._sent)
        except StoreError as error:
            return f"cannot read the last heartbeat back: {error}"
        if not self.is_lost:
            self._proof_due = time.monotonic() + _PROOF_EVERY
        return _NOT_KEPT if self.is_lost else None

    def _position(self, state: DeliveryState, outbox: Outbox) -> str | None:
        """Return the position up to which all is delivered, if it differs from the last sent."""
        if self._key is None:
            self._condition.set(_NO_KEY)
            return None
        if self._candidate is None:
            self._candidate = outbox.snapshot(STATE)
        if state.position < self._candidate.position:
            return None
        text = write_position(self._candidate, self._key)
        self._candidate = None
        too_long = (
            "too long to store: if the local store is lost, the exporter reads all logs again"
        )
        self._condition.set(too_long if text is None else None)
        return text if text != self._sent_position else None

"""Deliver events from the local store to a sink, at the sink's pace and without loss.

While one chunk is being sent, the next is prepared. The position is kept in the same store as the
points. A chunk with an unknown outcome is sent again, because a point that already exists is
overwritten with itself.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Final, NamedTuple

import msgspec

from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Failure, Payload, Retry, Sink
from heptad.core.store.api import StoreError
from heptad.core.store.held import HeldPoint
from heptad.core.store.outbox import Chunk, Outbox
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.core.telemetry.log import Condition
from heptad.core.telemetry.metrics import CounterDict, add_counters
from heptad.exporter.delivery.circuit_breaker import CircuitBreaker
from heptad.exporter.delivery.delivery_state import DeliveryState
from heptad.exporter.delivery.heartbeat import HeartbeatSender
from heptad.exporter.delivery.held import Offers
from heptad.exporter.delivery.redelivery import Redelivery
from heptad.exporter.metrics import ExporterMetrics

log = logging.getLogger("heptad.forwarder")

DELIVERY_STATE: Final = "forwarder"
COUNTER: Final = "heptad_delivery_events_total"
RESULTS: Final = ("delivered", "rejected", "expired")
_POLL: Final = 0.2
_SLICE: Final = 1.0
_FIRST_HOLD: Final = 15.0
_LONGEST_HOLD: Final = 300.0
"""Seconds between attempts if only an administrator can solve the problem."""
_STORE_PAUSE: Final = 5.0


_decode_delivery_state: Final = msgspec.json.Decoder(DeliveryState).decode


class Limits(msgspec.Struct):
    """A chunk is sent ``interval`` seconds after its first point, or when it reaches these sizes.

    Points older than ``retention`` seconds are not sent.
    """

    interval: float = 1.0
    max_lines: int = 5000
    max_bytes: int = 2**20
    retention: float = 90 * 86_400.0


class PreparedChunk(NamedTuple):
    """A chunk, and its encoded form."""

    chunk: Chunk
    payload: Payload


class Forwarder:
    """Delivers the events of ``store`` to ``sink``, and reports about it with ``heartbeat``.

    ``now`` returns the time in nanoseconds.
    """

    def __init__(
        self,
        store: LocalStore,
        sink: Sink,
        heartbeat: HeartbeatSender,
        metrics: ExporterMetrics,
        limits: Limits,
        breaker: CircuitBreaker | None = None,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._sink = sink
        self._heartbeat = heartbeat
        self._metrics = metrics
        self._limits = limits
        self._breaker = breaker or CircuitBreaker(metrics)
        self._now = now
        self._condition = Condition(log, "delivery")
        self._heartbeat_condition = Condition(log, "heartbeat")
        self._store_condition = Condition(log, "outbox", store=store.path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="deliver")
        self._next: PreparedChunk | None = None
        self._attempt: Future[DeliveryOutcome] | None = None
        self._waiting_since: float | None = None
        self._line_length = 300.0
        self._rejected: list[tuple[int, int, str]] = []
        self._newly_held: list[HeldPoint] = []
        self._released: list[int] = []
        self._counters: CounterDict = {}
        self._pause = _FIRST_HOLD
        self._draining = False
        self._outbox = Outbox(store.path)
        self._offers = Offers(sink, metrics)
        self._offers.refresh(self._outbox)
        self._redelivery = Redelivery(store.intake)
        self._state = self._recall()
        store.held_after = self._state.position
        metrics.add({counter_key(COUNTER, result=result): 0 for result in RESULTS})

    def _recall(self) -> DeliveryState:
        kept = self._outbox.recall(DELIVERY_STATE)
        return (
            self._store.intake.restore(DELIVERY_STATE, kept, _decode_delivery_state)
            or DeliveryState()
        )

    def problems(self) -> list[str]:
        """Return the current problems, one sentence each, for /healthz."""
        conditions = (self._condition, self._heartbeat_condition, self._store_condition)
        told = [*(c.problem for c in conditions), self._offers.problem]
        return [f"delivery: {problem}" for problem in told if problem]

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set."""
        try:
            while not stop.is_set():
                if not self.step(stop):
                    stop.wait(_POLL)
        finally:
            self.close()

    def drain(self, stop: threading.Event) -> bool:
        """Deliver everything; return False if the sink does not accept it, or ``stop`` is set."""
        self._draining = True
        self._offers.hurry()
        self._redelivery.refresh(self._outbox)
        while not stop.is_set() and self._condition.problem is None:
            left = self._outbox.newest() > self._state.position or self._redelivery.is_under_way
            if not left and not self._offers.is_due():
                self._look_at_held()
                is_told = self._send_heartbeat() if self._heartbeat.is_due(self._state) else True
                return is_told and not self._offers.held
            self.step(stop, at_once=True)
        return False

    def close(self) -> None:
        """Close the outbox, after waiting for the delivery in progress."""
        self._thread.shutdown(cancel_futures=True)
        self._outbox.close()

    def step(self, stop: threading.Event, *, at_once: bool = False) -> bool:
        """Deliver one chunk if one is due; return whether there may be more."""
        try:
            self._follow_file()
            busy = self._forward(stop, at_once=at_once)
            if self._offers.is_stale():
                self._look_at_held()
            if self._offers.is_due() and not self._breaker.is_open:
                busy = self._offer() or busy
            self._redelivery.refresh(self._outbox)
            if not busy and self._redelivery.is_due and not self._breaker.is_open:
                busy = self._send_again()
            is_due = self._heartbeat.is_due(self._state) and not self._draining
            if is_due and not self._breaker.is_open:
                self._send_heartbeat()
            self._report()
        except StoreError as error:
            self._store_condition.set(str(error))
            self._next = self._attempt = None
            stop.wait(_STORE_PAUSE)
            return True
        self._store_condition.set(None)
        return busy

    def _follow_file(self) -> None:
        """Open the outbox again if the store was replaced; its positions start from zero."""
        if not self._outbox.is_current():
            self._outbox.close()
            self._outbox = Outbox(self._store.path)
            self._next = self._attempt = None
            self._rejected, self._newly_held, self._released = [], [], []
            self._offers.refresh(self._outbox)
            self._redelivery.forget()
            self._state.position = self._recall().position
            self._store.held_after = self._state.position

    def _forward(self, stop: threading.Event, *, at_once: bool) -> bool:
        prepared = self._next or self._prepare(self._state.position, at_once=at_once)
        attempt = self._attempt
        self._next = self._attempt = None
        if prepared is None:
            return False
        if attempt is None:
            attempt = self._begin(prepared)
        following = self._prepare(prepared.chunk.position, at_once=False)
        delivered = self._wait(prepared, attempt, stop)
        if delivered is None:
            return True
        if following is not None:
            # do not make the sink wait for the local commit
            self._next, self._attempt = following, self._begin(following)
        self._record(prepared.chunk, delivered)
        return True

    def _prepare(self, position: int, *, at_once: bool) -> PreparedChunk | None:
        """Return the chunk after ``position``, if it is large enough or has waited long enough."""
        behind = self._outbox.newest() - position
        if behind <= 0:
            self._waiting_since = None
            return None
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        limits = self._limits
        full = behind >= limits.max_lines or behind * self._line_length >= limits.max_bytes
        if not (full or at_once or now - self._waiting_since >= limits.interval):
            return None
        self._waiting_since = None
        chunk = self._outbox.take(position, limits.max_lines, limits.max_bytes, self._oldest())
        payload = self._sink.encode(chunk.lines)
        if chunk.lines:
            self._line_length = sum(map(len, chunk.lines)) / len(chunk.lines)
        return PreparedChunk(chunk, payload)

    def _oldest(self) -> int:
        """Return the time (ns) before which nothing is sent."""
        return self._now() - int(self._limits.retention * 10**9)

    def _begin(self, prepared: PreparedChunk) -> Future[DeliveryOutcome]:
        if not prepared.chunk.ids:
            return self._thread.submit(Delivered)
        return self._thread.submit(self._breaker.call, lambda: self._sink.deliver(prepared.payload))

    def _wait(
        self, prepared: PreparedChunk, attempt: Future[DeliveryOutcome], stop: threading.Event
    ) -> Delivered | None:
        """Wait for the final outcome of a chunk; None if ``stop`` was set before."""
        while True:
            while not wait_for([attempt], timeout=_SLICE).done:
                if stop.is_set():
                    return None
            outcome = attempt.result()
            if isinstance(outcome, Delivered):
                return outcome
            if isinstance(outcome, Retry):
                pause = self._breaker.pause(outcome.after)
            else:
                pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_HOLD)
            self._fail(outcome)
            blocked = isinstance(outcome, Blocked)
            given_up = self._draining and (self._breaker.is_open or blocked)
            if given_up or stop.wait(pause):
                return None
            attempt = self._begin(prepared)

    def _fail(self, failure: Failure) -> None:
        self._condition.set(failure.reason)
        result = "failed" if isinstance(failure, Retry) else "held"
        self._metrics.raise_by("heptad_deliveries_total", 1, result)
        self._metrics.set("heptad_delivery_up", 0)
        self._report()

    def _offer(self) -> bool:
        """Offer held points again; return whether more follow at once."""
        limits = self._limits
        chunk = self._offers.take(self._outbox, limits.max_lines, limits.max_bytes, self._oldest())
        outcome = self._begin(PreparedChunk(chunk, self._sink.encode(chunk.lines))).result()
        if not isinstance(outcome, Delivered):  # the next delivery reports the reason
            self._offers.wait()
            return False
        taken = len(chunk.ids) - len(outcome.held)
        self._released += [one for n, one in enumerate(chunk.ids) if n not in outcome.held]
        self._record(chunk._replace(position=self._state.position), outcome)
        more = self._offers.go_on(chunk, taken)
        if not more:
            self._look_at_held()
        return more

    def _send_again(self) -> bool:
        """Deliver again what was delivered before; return whether more follows at once."""
        limits = self._limits
        chunk = self._redelivery.take(
            self._outbox, limits.max_lines, limits.max_bytes, self._oldest()
        )
        outcome = self._begin(PreparedChunk(chunk, self._sink.encode(chunk.lines))).result()
        if not isinstance(outcome, Delivered):
            self._redelivery.wait()
            self._fail(outcome)
            return False
        self._released += [one for n, one in enumerate(chunk.ids) if n not in outcome.held]
        self._redelivery.go_on(chunk)
        self._record(chunk._replace(position=self._state.position), outcome)
        return True

    def _look_at_held(self) -> None:
        if self._offers.refresh(self._outbox):
            self._heartbeat.hurry()

    def _record(self, chunk: Chunk, delivered: Delivered) -> None:
        """Store the position, rejected points and counters."""
        at = self._now()
        self._rejected += [(chunk.ids[n], at, why) for n, why in delivered.rejected.items()]
        self._newly_held += [
            (chunk.ids[n], chunk.times[n], at, c) for n, c in delivered.held.items()
        ]
        expired = chunk.expired + delivered.expired
        rejected, held = len(delivered.rejected), len(delivered.held)
        amounts = (len(chunk.ids) - rejected - held - delivered.expired, rejected, expired)
        counters = {
            counter_key(COUNTER, result=result): amount
            for result, amount in zip(RESULTS, amounts, strict=True)
            if amount
        }
        times = [time for n, time in enumerate(chunk.times) if n not in delivered.held]
        self._state.deliver(chunk.position, times)
        self._store.held_after = chunk.position
        self._metrics.add(counters)
        add_counters(self._counters, counters)
        if chunk.ids:
            self._succeed("delivered")
        if rejected:
            told = {"rejected": rejected, "reason": next(iter(delivered.rejected.values()))}
            log.error(
                (
                    "InfluxDB rejected points; see `heptad exporter rejected` and `heptad "
                    "influxdb check`"
                ),
                extra=told,
            )
        self._keep()
        self._offers.changed |= held > 0

    def _succeed(self, result: str) -> None:
        self._pause = _FIRST_HOLD
        self._condition.set(None)
        self._metrics.raise_by("heptad_deliveries_total", 1, result)
        self._reached()

    def _reached(self) -> None:
        self._metrics.set("heptad_delivery_up", 0 if self._heartbeat.is_lost else 1)
        at = self._now() / 10**9
        self._metrics.set("heptad_delivery_last_success_timestamp_seconds", at)

    def _keep(self) -> None:
        state = {DELIVERY_STATE: msgspec.json.encode(self._state), **self._redelivery.state()}
        newly_held, released = self._newly_held, self._released
        self._outbox.keep(state, self._rejected, self._counters, newly_held, released)
        self._rejected, self._counters, self._newly_held, self._released = [], {}, [], []

    def _send_heartbeat(self) -> bool:
        """Send a heartbeat; a failure does not delay events."""
        outcome = self._heartbeat.send(self._state, self._outbox, self._offers.write())
        problem = None if isinstance(outcome, Delivered) else outcome.reason
        self._heartbeat_condition.set(problem)
        if problem is None:
            self._reached()
        elif self._heartbeat.is_lost:
            self._metrics.set("heptad_delivery_up", 0)
        self._keep()
        return problem is None

    def _report(self) -> None:
        behind = max(0, self._outbox.newest() - self._state.position)
        self._metrics.set("heptad_delivery_behind_events", behind)
        offset = self._heartbeat.offset()
        self._metrics.set("heptad_delivery_clock_offset_seconds", offset)

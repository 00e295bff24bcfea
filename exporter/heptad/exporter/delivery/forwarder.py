"""From the local store to a sink, at the sink's own pace: nothing is lost, nothing sent for good
until the sink has it.

While one chunk is under way the next is prepared. How far it got is kept in the store that the
points are in; a chunk whose fate is not known is given again, for a point that is there already
is written over with itself.
"""

import logging
import threading
import time as clock
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Final, NamedTuple

import msgspec

from heptad.core.sink import Delivered, Outcome, Parcel, Sink, TryAgain
from heptad.core.store.api import StoreError
from heptad.core.store.held import Hold
from heptad.core.store.outbox import Chunk, Outbox
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.core.telemetry.log import Condition
from heptad.core.telemetry.metrics import CounterDict, add_counters
from heptad.exporter.delivery.circuit_breaker import Breaker, Failed
from heptad.exporter.delivery.delivery_state import Account
from heptad.exporter.delivery.heartbeat import Pulse
from heptad.exporter.delivery.held import Offers
from heptad.exporter.delivery.redelivery import Redelivery
from heptad.exporter.metrics import ExporterMetrics

log = logging.getLogger("heptad.forwarder")

ACCOUNT: Final = "forwarder"
COUNTER: Final = "heptad_delivery_events_total"
RESULTS: Final = ("delivered", "rejected", "expired")
_POLL: Final = 0.2
_SLICE: Final = 1.0
_FIRST_HOLD: Final = 15.0
_LONGEST_HOLD: Final = 300.0
"""Seconds between tries where only a person can help."""
_STORE_PAUSE: Final = 5.0


_decode_account: Final = msgspec.json.Decoder(Account).decode


class Limits(msgspec.Struct):
    """A chunk is sent ``interval`` seconds after its first point, or once it is as large as this.

    Points older than ``retention`` seconds are not sent.
    """

    interval: float = 1.0
    max_lines: int = 5000
    max_bytes: int = 2**20
    retention: float = 90 * 86_400.0


class Prepared(NamedTuple):
    """A chunk, and the same ready for the wire."""

    chunk: Chunk
    parcel: Parcel


class Forwarder:
    """Delivers what ``store`` holds into ``sink``; ``pulse`` tells of it.

    ``now`` gives the time in nanoseconds.
    """

    def __init__(
        self,
        store: LocalStore,
        sink: Sink,
        pulse: Pulse,
        metrics: ExporterMetrics,
        limits: Limits,
        breaker: Breaker | None = None,
        now: Callable[[], int] = clock.time_ns,
    ) -> None:
        self._store = store
        self._sink = sink
        self._pulse = pulse
        self._metrics = metrics
        self._limits = limits
        self._breaker = breaker or Breaker(metrics)
        self._now = now
        self._condition = Condition(log, "delivery")
        self._pulse_condition = Condition(log, "heartbeat")
        self._store_condition = Condition(log, "outbox", store=store.path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="deliver")
        self._next: Prepared | None = None
        self._attempt: Future[Outcome] | None = None
        self._waiting_since: float | None = None
        self._line_length = 300.0
        self._rejected: list[tuple[int, int, str]] = []
        self._hold: list[Hold] = []
        self._released: list[int] = []
        self._counters: CounterDict = {}
        self._pause = _FIRST_HOLD
        self._draining = False
        self._outbox = Outbox(store.path)
        self._offers = Offers(sink, metrics)
        self._offers.look(self._outbox)
        self._redelivery = Redelivery(store.intake)
        self._account = self._recall()
        store.held_after = self._account.position
        metrics.add({counter_key(COUNTER, result=result): 0 for result in RESULTS})

    def _recall(self) -> Account:
        kept = self._outbox.recall(ACCOUNT)
        return self._store.intake.restore(ACCOUNT, kept, _decode_account) or Account()

    def problems(self) -> list[str]:
        """What is wrong now, a sentence each: for /healthz."""
        conditions = (self._condition, self._pulse_condition, self._store_condition)
        told = [*(c.problem for c in conditions), self._offers.problem]
        return [f"delivery: {problem}" for problem in told if problem]

    def run(self, stop: threading.Event) -> None:
        """Deliver what comes until ``stop`` is set."""
        try:
            while not stop.is_set():
                if not self.step(stop):
                    stop.wait(_POLL)
        finally:
            self.close()

    def drain(self, stop: threading.Event) -> bool:
        """Deliver all that is there; False where the sink does not take it, or ``stop`` came."""
        self._draining = True
        self._offers.hurry()
        self._redelivery.look(self._outbox)
        while not stop.is_set() and self._condition.problem is None:
            left = self._outbox.newest() > self._account.position or self._redelivery.is_under_way
            if not left and not self._offers.is_due():
                self._look_at_held()
                is_told = self._beat() if self._pulse.is_due(self._account) else True
                return is_told and not self._offers.held
            self.step(stop, at_once=True)
        return False

    def close(self) -> None:
        """Close the outbox; what is under way is not waited for longer than it takes."""
        self._thread.shutdown(cancel_futures=True)
        self._outbox.close()

    def step(self, stop: threading.Event, *, at_once: bool = False) -> bool:
        """Deliver one chunk if one is due; whether there may be more."""
        try:
            self._follow_file()
            busy = self._forward(stop, at_once=at_once)
            if self._offers.is_stale():
                self._look_at_held()
            if self._offers.is_due() and not self._breaker.is_open:
                busy = self._offer() or busy
            self._redelivery.look(self._outbox)
            if not busy and self._redelivery.is_due and not self._breaker.is_open:
                busy = self._send_again()
            is_due = self._pulse.is_due(self._account) and not self._draining
            if is_due and not self._breaker.is_open:
                self._beat()
            self._tell()
        except StoreError as error:
            self._store_condition.set(str(error))
            self._next = self._attempt = None
            stop.wait(_STORE_PAUSE)
            return True
        self._store_condition.set(None)
        return busy

    def _follow_file(self) -> None:
        """A store that was begun anew has an outbox of its own, whose positions begin anew."""
        if not self._outbox.is_current():
            self._outbox.close()
            self._outbox = Outbox(self._store.path)
            self._next = self._attempt = None
            self._rejected, self._hold, self._released = [], [], []
            self._offers.look(self._outbox)
            self._redelivery.forget()
            self._account.position = self._recall().position
            self._store.held_after = self._account.position

    def _forward(self, stop: threading.Event, *, at_once: bool) -> bool:
        prepared = self._next or self._prepare(self._account.position, at_once=at_once)
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
            # the sink shall not wait for what is kept here
            self._next, self._attempt = following, self._begin(following)
        self._settle(prepared.chunk, delivered)
        return True

    def _prepare(self, position: int, *, at_once: bool) -> Prepared | None:
        """The chunk behind ``position``, if it is large enough or has waited long enough."""
        behind = self._outbox.newest() - position
        if behind <= 0:
            self._waiting_since = None
            return None
        now = clock.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        limits = self._limits
        full = behind >= limits.max_lines or behind * self._line_length >= limits.max_bytes
        if not (full or at_once or now - self._waiting_since >= limits.interval):
            return None
        self._waiting_since = None
        chunk = self._outbox.take(position, limits.max_lines, limits.max_bytes, self._oldest())
        parcel = self._sink.pack(chunk.lines)
        if chunk.lines:
            self._line_length = sum(map(len, chunk.lines)) / len(chunk.lines)
        return Prepared(chunk, parcel)

    def _oldest(self) -> int:
        """The time (ns) from before which nothing is sent."""
        return self._now() - int(self._limits.retention * 10**9)

    def _begin(self, prepared: Prepared) -> Future[Outcome]:
        if not prepared.chunk.ids:
            return self._thread.submit(Delivered)
        return self._thread.submit(self._breaker.call, lambda: self._deliver(prepared.parcel))

    def _deliver(self, parcel: Parcel) -> Outcome:
        outcome = self._sink.deliver(parcel)
        if isinstance(outcome, TryAgain):
            raise Failed(outcome.reason, outcome.after)
        return outcome

    def _wait(
        self, prepared: Prepared, attempt: Future[Outcome], stop: threading.Event
    ) -> Delivered | None:
        """What became of a chunk in the end; None where ``stop`` came before."""
        while True:
            while not wait_for([attempt], timeout=_SLICE).done:
                if stop.is_set():
                    return None
            try:
                outcome = attempt.result()
            except Failed as error:
                pause, result = self._breaker.pause(error.after), "failed"
                self._fail(result, str(error))
            else:
                if isinstance(outcome, Delivered):
                    return outcome
                pause, self._pause = self._pause, min(self._pause * 2, _LONGEST_HOLD)
                result = "held"
                self._fail(result, outcome.reason)
            given_up = self._draining and (self._breaker.is_open or result == "held")
            if given_up or stop.wait(pause):
                return None
            attempt = self._begin(prepared)

    def _fail(self, result: str, reason: str) -> None:
        self._condition.set(reason)
        self._metrics.raise_by("heptad_deliveries_total", 1, result)
        self._metrics.set("heptad_delivery_up", 0)
        self._tell()

    def _offer(self) -> bool:
        """Offer points that are held once more; whether more of them follow at once."""
        limits = self._limits
        chunk = self._offers.take(self._outbox, limits.max_lines, limits.max_bytes, self._oldest())
        try:
            outcome = self._begin(Prepared(chunk, self._sink.pack(chunk.lines))).result()
        except Failed:
            outcome = None  # the next delivery reports why
        if not isinstance(outcome, Delivered):
            self._offers.wait()
            return False
        taken = len(chunk.ids) - len(outcome.held)
        self._released += [one for n, one in enumerate(chunk.ids) if n not in outcome.held]
        self._settle(chunk._replace(position=self._account.position), outcome)
        more = self._offers.go_on(chunk, taken)
        if not more:
            self._look_at_held()
        return more

    def _send_again(self) -> bool:
        """Deliver once more what was delivered before; whether more follows at once."""
        limits = self._limits
        chunk = self._redelivery.take(
            self._outbox, limits.max_lines, limits.max_bytes, self._oldest()
        )
        try:
            outcome = self._begin(Prepared(chunk, self._sink.pack(chunk.lines))).result()
        except Failed as error:
            outcome = TryAgain(str(error))
        if not isinstance(outcome, Delivered):
            self._redelivery.wait()
            self._fail("failed" if isinstance(outcome, TryAgain) else "held", outcome.reason)
            return False
        self._released += [one for n, one in enumerate(chunk.ids) if n not in outcome.held]
        self._redelivery.go_on(chunk)
        self._settle(chunk._replace(position=self._account.position), outcome)
        return True

    def _look_at_held(self) -> None:
        if self._offers.look(self._outbox):
            self._pulse.hurry()

    def _settle(self, chunk: Chunk, delivered: Delivered) -> None:
        """Keep how far it is, what was refused and what is counted."""
        at = self._now()
        self._rejected += [(chunk.ids[n], at, why) for n, why in delivered.refused.items()]
        self._hold += [(chunk.ids[n], chunk.times[n], at, c) for n, c in delivered.held.items()]
        expired = chunk.expired + delivered.expired
        rejected, held = len(delivered.refused), len(delivered.held)
        amounts = (len(chunk.ids) - rejected - held - delivered.expired, rejected, expired)
        counters = {
            counter_key(COUNTER, result=result): amount
            for result, amount in zip(RESULTS, amounts, strict=True)
            if amount
        }
        times = [time for n, time in enumerate(chunk.times) if n not in delivered.held]
        self._account.deliver(chunk.position, times)
        self._store.held_after = chunk.position
        self._metrics.add(counters)
        add_counters(self._counters, counters)
        if chunk.ids:
            self._succeed("delivered")
        if rejected:
            told = {"rejected": rejected, "reason": next(iter(delivered.refused.values()))}
            log.error(
                "refused; see `heptad exporter rejected`, `heptad influxdb check`", extra=told
            )
        self._keep()
        self._offers.changed |= held > 0

    def _succeed(self, result: str) -> None:
        self._pause = _FIRST_HOLD
        self._condition.set(None)
        self._metrics.raise_by("heptad_deliveries_total", 1, result)
        self._reached()

    def _reached(self) -> None:
        self._metrics.set("heptad_delivery_up", 0 if self._pulse.is_lost else 1)
        at = self._now() / 10**9
        self._metrics.set("heptad_delivery_last_success_timestamp_seconds", at)

    def _keep(self) -> None:
        state = {ACCOUNT: msgspec.json.encode(self._account), **self._redelivery.state()}
        hold, released = self._hold, self._released
        self._outbox.keep(state, self._rejected, self._counters, hold, released)
        self._rejected, self._counters, self._hold, self._released = [], {}, [], []

    def _beat(self) -> bool:
        """Send a heartbeat; its failure holds up no event."""
        outcome = self._pulse.beat(self._account, self._outbox, self._offers.write())
        problem = None if isinstance(outcome, Delivered) else outcome.reason
        self._pulse_condition.set(problem)
        if problem is None:
            self._reached()
        elif self._pulse.is_lost:
            self._metrics.set("heptad_delivery_up", 0)
        self._keep()
        return problem is None

    def _tell(self) -> None:
        behind = max(0, self._outbox.newest() - self._account.position)
        self._metrics.set("heptad_delivery_behind_events", behind)
        offset = self._pulse.offset()
        self._metrics.set("heptad_delivery_clock_offset_seconds", offset)

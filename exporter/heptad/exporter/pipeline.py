"""The main loop: read lines from the sources, normalize them, and commit the events."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import itemgetter
from typing import Final

import msgspec

from heptad.core.event import Event
from heptad.core.store.api import LOOKED_UNTIL, PROBLEMS
from heptad.core.store.event_row import row_of_event
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.log import Condition
from heptad.exporter import handover
from heptad.exporter.committer import Committer, Transaction
from heptad.exporter.metrics import CounterDelta, ExporterMetrics
from heptad.exporter.normalize.line_result import NOT_UNDERSTOOD, UNTRUSTED, LineResult
from heptad.exporter.running_source import RunningSource
from heptad.exporter.sources import DEAF_REASONS, Gap, RecordBatch, Source
from heptad.exporter.state_check import drop_unsound

__all__ = ["POLL", "SECOND", "Pipeline", "RunningSource"]

log = logging.getLogger("heptad.pipeline")

SECOND: Final = 10**9
POLL: Final = 2.0
"""Seconds after which the sources are polled if nothing woke the loop."""
_SAMPLES: Final = 20
_HEALTH_EVERY: Final = 2.0
_LOOKED_EVERY: Final = 15 * SECOND
_TOLD_EVERY: Final = 15.0


class Pipeline:
    """Reads ``running_sources`` into ``store``; ``now`` returns the time in nanoseconds.

    Call ``restore`` before ``step``; ``run`` and ``drain`` do so. ``others`` returns problems
    outside of the pipeline, to be stored with its own.
    """

    def __init__(
        self,
        store: LocalStore,
        running_sources: Sequence[RunningSource],
        metrics: ExporterMetrics,
        host: str,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.wake = threading.Event()
        self._running_sources = running_sources
        self._metrics = metrics
        self._host = host
        self._now = now
        self._store = store
        self._committer = Committer(store, metrics, self._report_health)
        self._first_start = 0
        self._behind: int | None = None
        self._conditions = {
            running.source.name: Condition(log, "source", source=running.source.name)
            for running in running_sources
        }
        self._clocks = {
            running.source.name: Condition(log, "stamps", source=running.source.name)
            for running in running_sources
        }
        self._deaf = {
            running.source.name: Condition(log, "source is deaf", source=running.source.name)
            for running in running_sources
        }
        self._unwatched = {
            running.source.name: Condition(log, "source is not watched", source=running.source.name)
            for running in running_sources
        }
        self.others: Callable[[], list[str]] = list
        self._reported_problems: list[str] = []
        self._report_due = 0.0
        self._samples: dict[str, list[str]] = {}
        self._health_due = 0.0
        self._is_proven = False
        self._looked_until = 0
        self._asked_at = 0
        self._steps_back = 0
        self._watch_clock()

    def restore(self) -> None:
        """Restore the state of an earlier run from the store; raises StoreError."""
        lost = drop_unsound(self._store, [running.source for running in self._running_sources])
        self._first_start = self._recall_first_start()
        told = self._store.recall(PROBLEMS) or b"[]"
        self._committer.know({PROBLEMS: told})
        self._reported_problems = msgspec.json.decode(told, type=list[str])
        self._hand_over(lost)
        for running in self._running_sources:
            self._restore(running)
            self._metrics.add(running.zero_counters())

    def _recall_first_start(self) -> int:
        known = self._store.recall("first_start")
        if not known:
            known = str(self._now()).encode()
            self._store.append([], {"first_start": known})
        self._committer.know({"first_start": known})
        return int(known)

    def _hand_over(self, lost: Collection[str]) -> None:
        """Start takeovers: for moved programs, and for sources whose position is ``lost``."""
        readings = [running.scope for running in self._running_sources]
        for change in handover.find_changes(self._store, readings, self._host):
            if told := handover.describe(change, self._store, self._host):
                log.warning(told)
        if state := handover.begin(self._store, readings, self._host, self._now(), lost):
            self._store.append([], state)
        self._committer.know(handover.recall_speakers(self._store))

    def _restore(self, running: RunningSource) -> None:
        self._committer.know(running.restore(self._store, self._host))
        self._metrics.set("heptad_source_last_event_timestamp_seconds", 0, running.source.name)
        for reason in DEAF_REASONS:
            self._metrics.set("heptad_source_deaf", 0, running.source.name, reason)

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set, then commit what was read and close the sources."""
        with self._closing(stop):
            self.restore()
            for running in self._running_sources:
                running.source.start(self.wake)
            while not stop.is_set():
                if not self.step(stop):
                    self.wake.wait(POLL)
                    self.wake.clear()

    def drain(self, stop: threading.Event) -> None:
        """Read everything that is available, then stop."""
        with self._closing(stop):
            self.restore()
            while not stop.is_set() and self.step(stop):
                pass
            if self._committer.wait(stop):
                self._committer.finish(stop)
            self._report_health()
            self._keep_health(stop)
            self._keep_looked(stop)
            self._committer.wait(stop)

    @contextmanager
    def _closing(self, stop: threading.Event) -> Iterator[None]:
        """Close at the end; log an exception first, because closing may hang if the disk does."""
        try:
            yield
        except Exception:
            log.critical("pipeline failed", exc_info=True)
            stop.set()  # do not wait for a store that fails too
            raise
        finally:
            self.close(stop)

    def close(self, stop: threading.Event) -> None:
        """Commit what is in progress and close all sources, even if one of them fails."""
        with ExitStack() as closing:
            for running in self._running_sources:
                closing.callback(running.close)
            closing.callback(self._committer.close)
            self._committer.wait(stop)

    def step(self, stop: threading.Event) -> bool:
        """Poll every source once; return whether any had something."""
        busy, begun = False, self._now()
        for running in self._running_sources:
            batch = running.source.read()
            if batch is not None:
                self._committer.submit(self._transaction(running, batch), stop)
                busy = True
                continue
            running.read_until = begun
            if not running.caught_up and _is_at_end(running.source):
                running.caught_up = True
                caught_up = {f"caught_up/{running.source.name}": b"1"}
                self._committer.submit(Transaction([], caught_up, {}), stop)
            elif ended := running.end_hand_over(self._now()):
                self._committer.submit(Transaction([], ended, {}), stop)
        if not busy and self._committer.wait(stop):
            self._committer.rest()
        if time.monotonic() >= self._health_due:
            self._report_health()
            self._keep_health(stop)
            self._keep_looked(stop)
        return busy

    def _transaction(self, running: RunningSource, batch: RecordBatch) -> Transaction:
        """Return all changes of a batch: events, counters, and the state for the next line."""
        name = running.source.name
        history_before = -1 if running.caught_up else self._first_start
        delta = CounterDelta(name, history_before)
        rows = [self._gap_row(gap, delta) for gap in batch.gaps]
        events, unparsed = self._normalize(running, batch, delta, history_before)
        rows += events
        delta.add("heptad_read_bytes_total", batch.read_bytes, source=name)
        attempts = running.normalizer.attempts
        delta.add("heptad_connections_forgotten_total", attempts.forgotten, source=name)
        attempts.forgotten = 0
        rejected, running.normalizer.rejected_repeats = running.normalizer.rejected_repeats, 0
        delta.add("heptad_repeats_rejected_total", rejected, source=name)
        if rows:
            at = self._now() / 10**9
            self._metrics.set("heptad_source_last_event_timestamp_seconds", at, name)
        state = {f"source/{name}": batch.state, f"attempts/{name}": attempts.dump()}
        state[f"strangers/{name}"] = running.normalizer.masking.unknown_users.dump()
        if running.already_read is not None:
            state[f"handover/{name}"] = running.already_read.dump()
        state |= running.listening.news(name) | self._take_samples()
        return Transaction(rows + unparsed, state, delta.counters())

    def _normalize(
        self, running: RunningSource, batch: RecordBatch, delta: CounterDelta, history_before: int
    ) -> tuple[list[Row], list[Row]]:
        """Return the events of a batch, and the lines of known programs that no rule matched."""
        normalizer, already_read = running.normalizer, running.already_read
        records = running.stamps.judge(batch.records, self._now())
        rejected, running.stamps.rejected = running.stamps.rejected, 0
        delta.add("heptad_stamps_out_of_range_total", rejected, source=delta.source)
        if already_read is not None and records:
            already_read.join(records[0].time, normalizer)
        events, rows, others = normalizer.normalize(records)
        results = Counter(map(itemgetter(0), others))
        unparsed = (
            running.unparsed_rows(others, history_before) if NOT_UNDERSTOOD in results else []
        )
        if already_read is not None:
            events, known = already_read.sift(events, caught_up=running.caught_up)
            rows = list(map(row_of_event, events))
            unparsed, known_left = already_read.sift_left(unparsed, caught_up=running.caught_up)
            results[LineResult.NOT_UNDERSTOOD] -= known_left
            results[LineResult.ALREADY_READ] += known + known_left
        series_counts = delta.events(events, rows)
        for result, amount in results.items():
            delta.line(result, amount)
        now, listening = self._now(), running.listening
        amounts = len(records), batch.headless
        listening.hear(
            normalizer, amounts, series_counts, others, refused_some=UNTRUSTED in results
        )
        untrusted: list[Row] = []
        if UNTRUSTED in results:
            untrusted = listening.count_untrusted(normalizer, others, delta, now, history_before)
        for program, kept in unparsed:
            delta.add("heptad_lines_not_understood_total", program=program)
            if kept is not None:
                self._keep_sample(program, kept.raw)
        delta.line(LineResult.EVENT, len(rows))
        delta.line(LineResult.NO_HEADER, batch.headless)
        delta.line(LineResult.OVERSIZED, batch.oversized)
        for raw in filter(normalizer.masking.keep_line, batch.strange):
            self._keep_sample("", raw)
        return rows, [row for _, row in unparsed if row is not None] + untrusted

    def _keep_sample(self, program: str, raw: str) -> None:
        samples = self._samples.setdefault(program, [])
        samples.append(raw[:1000])
        del samples[:-_SAMPLES]

    def _take_samples(self) -> dict[str, bytes]:
        taken = {
            f"not_understood/{program}": msgspec.json.encode(lines)
            for program, lines in self._samples.items()
        }
        self._samples = {}
        return taken

    def _gap_row(self, gap: Gap, delta: CounterDelta) -> Row:
        log.warning("gap", extra={"source": delta.source, **msgspec.structs.asdict(gap)})
        delta.add("heptad_gaps_total", source=delta.source, reason=gap.reason)
        classification = ("gap", "unknown", "", gap.reason)
        event = Event(self._now(), self._host, delta.source, "heptad", *classification)
        event.object, event.path = gap.detail, gap.path
        row = row_of_event(event)
        delta.events([event], [row])
        return row

    def _report_health(self) -> None:
        self._health_due = time.monotonic() + _HEALTH_EVERY
        self._watch_clock()
        behind, proven = 0, True
        for running in self._running_sources:
            name = running.source.name
            health = running.source.health()
            proven &= running.caught_up and not health.catching_up and not health.problem
            behind += health.behind_bytes + (not running.caught_up)
            self._conditions[name].set(health.problem)
            self._unwatched[name].set(health.unwatched)
            self._metrics.set("heptad_source_watched", 0 if health.unwatched else 1, name)
            self._clocks[name].set(running.stamps.problem(self._now(), self._host))
            self._metrics.set("heptad_source_up", 0 if health.problem else 1, name)
            self._metrics.set("heptad_source_behind_bytes", health.behind_bytes, name)
            deaf = running.listening.judge(running.source)
            self._deaf[name].set("; ".join(deaf.values()) or None)
            proven &= not deaf
            for reason in DEAF_REASONS:
                self._metrics.set("heptad_source_deaf", int(reason in deaf), name, reason)
        self._behind, self._is_proven = behind, proven

    def _keep_looked(self, stop: threading.Event) -> None:
        """Store the time up to which all logs are completely read, so that no event is missing."""
        until = min((running.read_until for running in self._running_sources), default=0)
        if self._is_proven and abs(until - self._looked_until) >= _LOOKED_EVERY:
            self._looked_until = until
            self._committer.submit(Transaction([], {LOOKED_UNTIL: str(until).encode()}, {}), stop)

    def _keep_health(self, stop: threading.Event) -> None:
        """Store the problems if they changed, for reports and pages of other processes."""
        news: dict[str, bytes] = {}
        for running in self._running_sources:
            news |= running.listening.news(running.source.name)
        told = self._problems() + self.others()
        if told != self._reported_problems and (time.monotonic() >= self._report_due or not told):
            self._reported_problems, self._report_due = told, time.monotonic() + _TOLD_EVERY
            news[PROBLEMS] = msgspec.json.encode(told)
        if news:
            self._committer.submit(Transaction([], news, {}), stop)

    def is_behind(self) -> bool:
        """Return whether there were unread lines at the last check, or no check was done yet."""
        return self._behind != 0

    def is_deaf(self) -> bool:
        """Return whether a source was deaf or unreadable at the last check."""
        conditions = (*self._deaf.values(), *self._conditions.values())
        return any(condition.problem for condition in conditions)

    def _watch_clock(self) -> None:
        now = self._now()
        if now < self._asked_at - SECOND:
            self._steps_back += 1
            log.warning("clock stepped back", extra={"seconds": (self._asked_at - now) // SECOND})
        self._asked_at = now
        self._metrics.set("heptad_clock_steps_back_total", self._steps_back)

    def problems(self) -> list[str]:
        """Return the current problems, one sentence each, for /healthz."""
        deaf = [f"source {n} is deaf: {c.problem}" for n, c in self._deaf.items() if c.problem]
        return deaf + self._problems()

    def _problems(self) -> list[str]:
        """The same without deaf sources, which are stored separately."""
        conditions = [
            *self._conditions.items(),
            *self._unwatched.items(),
            *self._clocks.items(),
        ]
        told = [f"source {name}: {c.problem}" for name, c in conditions if c.problem]
        return told + self._committer.problems()


def _is_at_end(source: Source) -> bool:
    """Return whether an idle source was read to its end, rather than prevented from reading."""
    health = source.health()
    return not health.catching_up and health.problem is None

"""Run one pass: read the events that arrived, compute findings and reports, commit the results.

Guarantee: the same events produce the same findings and reports (the last revision of each), no
matter how often the aggregator ran or in which order the events arrived. Days and windows that
changed are read again from the store of events and recomputed. Their rows, the list of what is
still to be recomputed and the progress are committed in one transaction. Reports accept events up
to ``Plan.allowed_lateness`` behind the newest event; findings accept any event.

If a rule or report raises an exception, the others continue; it is retried a minute later.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Final

import msgspec

from heptad.aggregator.detection.dispatch import ReadRequest, dispatch
from heptad.aggregator.detection.evidence import EvidenceWriter
from heptad.aggregator.detection.finding import DAY, SESSION, Revision, program_of
from heptad.aggregator.detection.runner import RuleRunner
from heptad.aggregator.guard import FailureGuard
from heptad.aggregator.metrics import AggregatorMetrics
from heptad.aggregator.plan import Plan
from heptad.aggregator.progress import (
    AHEAD,
    PROGRESS,
    Progress,
    recall_progress,
    recall_start,
    take_arrivals,
)
from heptad.aggregator.reports.aggregation import ReportAggregation, Window, aggregate_events
from heptad.aggregator.reports.windows import WindowResult, WindowSchedule
from heptad.aggregator.stopping import Stopped, until_stopped
from heptad.core.intervals import MINUTE
from heptad.core.store.api import EventStore
from heptad.core.store.event_row import MEASUREMENT
from heptad.core.store.point import Row
from heptad.core.store.sqlite import counter_key
from heptad.core.telemetry.log import Condition
from heptad.core.telemetry.metrics import CounterDict

log = logging.getLogger("heptad.aggregator")

_FEW: Final = 3  # names of each kind in a log line about a finding
_PAUSE: Final = 60.0
_NEW_EVERY: Final = 2.0
"""Minimum number of seconds between two checks for new events during long work."""
_FLOOD: Final = 1000
"""This many events that arrive late at once are a backlog; more will follow."""
_LONGEST_BEHIND: Final = 60.0
_BATCH: Final = 5000
"""Rows and windows per commit; few commits, because each one writes all pending windows."""
_BATCH_SECONDS: Final = 1.0


class Cycle:
    """Turns a store of events into findings and reports; raises StoreError.

    ``name`` identifies the store of events, because positions are valid only in their own store.
    ``show`` is called with the revisions of findings that were written. After a store error or a
    stop, create a new ``Cycle``; it continues from the last commit.
    """

    def __init__(
        self,
        events: EventStore,
        reports: EventStore,
        plan: Plan,
        metrics: AggregatorMetrics,
        *,
        name: str = "",
        now: Callable[[], int] = time.time_ns,
        conditions: dict[str, Condition] | None = None,
    ) -> None:
        self._events = events
        self._reports = reports
        self._stop = threading.Event()
        self._metrics = metrics
        self._now = now
        self.show: Callable[[Sequence[Revision]], None] = lambda _: None
        self._horizon = int(plan.allowed_lateness * 10**9)
        self._is_ignored = plan.ignored.matches
        self._conditions = {} if conditions is None else conditions
        self._guard = FailureGuard(metrics, self._conditions)
        self._retry: dict[str, float] = {}
        self._rereading: list[RuleRunner] = []
        self._new_due = 0.0
        self._is_flooded = False
        self._flooded_since = time.monotonic()
        max_wait = int(plan.max_wait * 10**9)
        stores = (self._events, self._reports)
        self._history = recall_start(events)
        self._runners = [RuleRunner(rule, *stores, self._history) for rule in plan.rules]
        self._evidence = EvidenceWriter(*stores)
        self._schedules = [
            WindowSchedule(report, self._reports, max_wait) for report in plan.reports
        ]
        for part in [rule.name for rule in plan.rules] + [report.name for report in plan.reports]:
            self._guard.report(part)
        known = all(runner.is_whole for runner in self._runners)
        known = known and all(schedule.is_whole for schedule in self._schedules)
        # without all states it is unknown what is still to be computed: start over
        progress = recall_progress(reports, name)
        self._progress = progress if known else Progress(store=name)

    def run_cycle(self, stop: threading.Event, *, everything: bool = False) -> bool:
        """Process what arrived and what is due; return whether there is more.

        ``everything``: do not wait; compute every window that has ended.
        """
        try:
            return self._run_cycle(stop, everything=everything)
        except Stopped:
            return False

    def _run_cycle(self, stop: threading.Event, *, everything: bool) -> bool:
        self._stop = stop
        begun = self._now()
        more = self._judge_new(everything=everything)
        for _ in range(2):  # after a restart, the newest days are read first, then the others
            if self._read_days(more=more, everything=everything):
                more = self._judge_new(everything=everything)
        if not more:
            self._report(stop, self._now(), flush=everything)
            self._metrics.catch_up(begun)
            self._report_behind()
        newest = self._progress.newest / 10**9
        self._metrics.set("heptad_aggregator_progress_timestamp_seconds", newest)
        return more

    def _pause(self) -> None:
        """Interrupt long work: process new events first, and commit what is done."""
        self._report_behind()
        if time.monotonic() >= self._new_due:
            self._judge_new(everything=False)
            at = time.monotonic()
            self._commit(
                at, {runner: partial(runner.work_finished, at) for runner in self._rereading}
            )
            self._new_due = time.monotonic() + _NEW_EVERY

    def _judge_new(self, *, everything: bool) -> bool:
        """Read what arrived, and evaluate new events; return whether more have arrived."""
        now = self._now()
        arrived = take_arrivals(self._events, self._progress, self._horizon, now, self._stop)
        counters: CounterDict = {
            counter_key(f"heptad_aggregator_{name}_events_total"): number
            for name, number in (("late", arrived.late), ("future", arrived.ahead))
            if number
        }
        for runner in self._runners:
            runner.touch([*arrived.intervals, *arrived.late_intervals])
        for schedule in self._schedules:
            schedule.touch(arrived.intervals, now)
        self._is_flooded = arrived.behind >= _FLOOD
        dirty = bool(arrived.intervals or arrived.late_intervals or counters)
        self._work(counters, dirty=dirty, flush=everything and not arrived.more)
        return arrived.more

    def backfill(self, since: int, until: int, stop: threading.Event) -> None:
        """Recompute the findings and the completed windows of [since, until) (ns).

        Whole days (UTC) are computed. Days without events are skipped, so one event of 1970 costs
        one day.
        """
        self._stop = stop
        now = self._now()
        try:
            begin, end = since // DAY * DAY, -(-until // DAY) * DAY
            # findings cross midnight: the days before and after may have to be read again too
            intervals = self._events.intervals(
                MEASUREMENT, begin - DAY, min(end + DAY, now + AHEAD)
            )
            for runner in self._runners:
                runner.backfill(intervals, since // MINUTE, -(-until // MINUTE))
            for schedule in self._schedules:
                schedule.backfill(intervals, begin // MINUTE, end // MINUTE)
            last = max((until for _, until in intervals), default=0)
            self._read_days(more=False, everything=True, last=last)
            self._work({}, dirty=True, flush=True)
            self._report(stop, now, flush=True)
        except Stopped:
            return

    def _read_days(self, *, more: bool, everything: bool, last: int = 0) -> bool:
        """Read days with late events again; return whether there were any.

        The newest day is read to the end of what has arrived, or to the minute ``last``.

        If ``more`` has arrived, only rules that cannot evaluate new events without it read days.
        During a flood of late events the days are read again at most once a minute, not for each
        batch.
        """
        at = time.monotonic()
        floods = self._is_flooded and not everything
        if not floods:
            self._flooded_since = at
        waits = more or (floods and at - self._flooded_since < _PAUSE)
        working = [
            runner
            for runner in self._runners
            if runner.has_days(at, everything=everything and not more)
            and (runner.is_cold or not waits)
        ]
        if not working:
            return False
        end = max(self._progress.latest // MINUTE + 1, last)
        self._rereading = working
        self._new_due = at + _NEW_EVERY
        try:
            requests = [runner.read_days(at, self._believed(), end) for runner in working]
            self._dispatch(requests, self._pause)
        finally:
            self._rereading = []
        self._commit(at, {runner: partial(runner.work_days, at) for runner in working})
        return True

    def _dispatch(
        self, requests: Iterable[Iterable[ReadRequest]], pause: Callable[[], None]
    ) -> None:
        asked = chain.from_iterable(requests)
        dispatch(self._events, asked, self._is_ignored, pause, self._stop)

    def _believed(self) -> int:
        """The minute after the newest event, at most now: a clock ahead must close no minute."""
        return min(self._progress.newest or self._now(), self._now()) // MINUTE + 1

    def _work(self, counters: CounterDict, *, dirty: bool, flush: bool) -> None:
        """Evaluate new events from memory."""
        at = time.monotonic()
        working = [runner for runner in self._runners if runner.has_work(at, everything=flush)]
        requests = [runner.live(self._believed()) for runner in working]
        self._dispatch(requests, self._report_behind)
        work = {runner: partial(runner.work, at, everything=flush) for runner in working}
        self._commit(at, work, counters, dirty=dirty)

    def _commit(
        self,
        at: float,
        work: Mapping[RuleRunner, Callable[[], list[Revision]]],
        counters: CounterDict | None = None,
        *,
        dirty: bool = False,
    ) -> None:
        """Commit the revisions of the rules together with the progress and the remaining work."""
        counters = {} if counters is None else counters
        revisions: list[Revision] = []
        worked = []
        for runner, work_of in until_stopped(work.items(), self._stop):
            told = self._guard.run(runner.name, work_of)
            if told is None:
                runner.recover(at)
            else:
                revisions += told
                worked.append(runner)
                self._count(runner, told, counters)
        if not (dirty or worked):
            return
        state = {PROGRESS: msgspec.json.encode(self._progress)}
        state |= {runner.key: runner.state() for runner in self._runners}
        state |= {schedule.key: schedule.state() for schedule in self._schedules}
        self._append(
            list(until_stopped(self._evidence.keep(revisions), self._stop)), state, counters
        )
        self.show([revision for revision in revisions if revision.finding.rule != SESSION])
        for runner in worked:
            runner.commit(at)
        self._log_findings(revisions)

    def _report_behind(self) -> None:
        """Report it as a problem if long work keeps new events from being evaluated."""
        condition = self._conditions.setdefault("progress", Condition(log, "progress"))
        if self._metrics.behind() < _LONGEST_BEHIND:
            condition.set(None)
        elif condition.problem is None:
            condition.set(
                f"more than {_LONGEST_BEHIND:.0f} s behind: many events arrived late or at "
                "once; new events are processed first, then reports and older findings"
            )

    def _count(self, runner: RuleRunner, revisions: list[Revision], counters: CounterDict) -> None:
        def add(name: str, amount: int, **labels: str) -> None:
            if amount:
                key = counter_key(name, **labels)
                counters[key] = counters.get(key, 0) + amount

        for revision in revisions:
            finding = revision.finding
            if finding.rule == SESSION:
                told = {"program": program_of(finding)}
                new = revision.number == 0 and finding.first >= self._history
                add("heptad_sessions_total", new, **told, step="begun")
                over = revision.ends and finding.last >= self._history
                add("heptad_sessions_total", over, **told, step=finding.end)
            elif revision.rises and finding.last >= self._history:
                severity = finding.severity
                add("heptad_findings_total", 1, rule=finding.rule, severity=severity)
        revised = sum(revision.number > 0 for revision in revisions)
        add("heptad_aggregator_revisions_total", revised, part=runner.name)
        add("heptad_aggregator_cells_dropped_total", runner.dropped, rule=runner.name)
        runner.dropped = 0
        self._metrics.set("heptad_aggregator_cells", runner.size, runner.name)

    def _log_findings(self, revisions: list[Revision]) -> None:
        for revision in revisions:
            finding = revision.finding
            if finding.rule == SESSION:
                continue
            self._metrics.note(revision)
            if revision.rises and finding.last >= self._history:
                told = {"rule": finding.rule, "severity": finding.severity}
                facts = {"from": finding.addresses, "who": finding.users}
                facts |= {"whom": finding.targets, "where": finding.hosts}
                told |= {name: ", ".join(values[:_FEW]) for name, values in facts.items() if values}
                log.info("finding", extra={**told, "finding": finding.sentence})

    def _report(self, stop: threading.Event, now: int, *, flush: bool) -> None:
        """Compute the windows that are due, day by day, and commit several days at a time."""
        days: dict[int, dict[WindowSchedule, list[Window]]] = {}
        # on a single host, the store of events has a more recent watermark
        watermark = self._events.watermark() if self._events.is_shared else None
        if watermark is None:
            watermark = self._progress.newest
        for schedule in self._schedules:
            if flush or time.monotonic() >= self._retry.get(schedule.name, 0):
                due = schedule.due(now, watermark, everything=flush)
                for day, windows in due.items():
                    days.setdefault(day, {})[schedule] = windows
        failed: set[WindowSchedule] = set()
        done: dict[WindowSchedule, WindowResult] = {}
        begun = time.monotonic()
        for _, wanted in sorted(days.items()):
            if stop.is_set():
                break
            for schedule in wanted.keys() & failed:
                del wanted[schedule]
            outcomes = self._compute(wanted)
            failed |= wanted.keys() - outcomes.keys()
            for schedule, outcome in outcomes.items():
                done.setdefault(schedule, WindowResult()).join(outcome)
            size = sum(len(outcome.rows) + len(outcome.windows) for outcome in done.values())
            if size >= _BATCH or time.monotonic() - begun >= _BATCH_SECONDS:
                self._keep(done)
                done, begun = {}, time.monotonic()
        self._keep(done)

    def _compute(
        self, wanted: dict[WindowSchedule, list[Window]]
    ) -> dict[WindowSchedule, WindowResult]:
        """Compute the windows of one day; a report that fails is missing from the result."""
        parts = {
            schedule: ReportAggregation(schedule.report, windows)
            for schedule, windows in wanted.items()
        }
        aggregate_events(self._events, list(parts.values()), self._pause, self._stop)
        outcomes = {}
        for schedule in until_stopped(list(parts), self._stop):
            aggregation = parts.pop(schedule)  # frees its many rows: the result replaces them
            reconcile = partial(schedule.reconcile, aggregation)
            outcome = self._guard.run(schedule.name, reconcile, spent=aggregation.seconds)
            if outcome is None:
                self._retry[schedule.name] = time.monotonic() + _PAUSE
            else:
                outcomes[schedule] = outcome
        return outcomes

    def _keep(self, done: Mapping[WindowSchedule, WindowResult]) -> None:
        """Commit the computed windows in one transaction."""
        if not done:
            return
        rows: list[Row] = []
        state: dict[str, bytes] = {}
        counters: CounterDict = {}
        for schedule, outcome in done.items():
            rows += outcome.rows
            state[schedule.key] = schedule.state(without=outcome.windows)
            for size, amount in outcome.reported.items():
                if amount:
                    told = {"report": schedule.name, "window": size}
                    counters[counter_key("heptad_aggregator_windows_total", **told)] = amount
            if outcome.revised:
                key = counter_key("heptad_aggregator_revisions_total", part=schedule.name)
                counters[key] = outcome.revised
        self._append(rows, state, counters)
        for schedule, outcome in done.items():
            schedule.commit(outcome.windows)

    def _append(self, rows: list[Row], state: Mapping[str, bytes], counters: CounterDict) -> None:
        self._reports.append(rows, state, counters)
        self._metrics.add(counters)

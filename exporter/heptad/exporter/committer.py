"""Commit one transaction while the next is prepared, without losing or repeating one.

At most one transaction is in progress. Transactions that are submitted meanwhile are merged, up to
a limit, so that each page of the store's index is written less often. A failed transaction is
retried until it succeeds; until then nothing is read, and the log itself is the queue.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec

from heptad.core.store.api import StoreError
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from heptad.core.store.sqlite_file import StoreCorrupt
from heptad.core.telemetry.log import Condition
from heptad.core.telemetry.metrics import CounterDict, add_counters
from heptad.exporter.metrics import ExporterMetrics

log = logging.getLogger("heptad.committer")

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
_BOUNDS_EVERY: Final = 5.0
_MANY_ROWS: Final = 1000
_MOST_ROWS: Final = 16_000
_TIGHT: Final = 0.9
"""Above this share of a full store, making a little room does not help: it is full at once."""
_LONGEST_GATHERING: Final = 0.1
"""Seconds after which gathered transactions are committed even if more are submitted."""


class Transaction(msgspec.Struct):
    """Events, state and counters that are committed together."""

    rows: list[Row]
    state: dict[str, bytes]
    counters: CounterDict

    def extend(self, later: "Transaction") -> None:
        """Append a transaction that follows directly."""
        self.rows += later.rows
        self.state |= later.state
        add_counters(self.counters, later.counters)


class StoreFull(StoreError):
    """The store is at its maximum size, and all its events are still to be delivered."""


class Committer:
    """Commits to ``store`` in a thread of its own: SQLite works while the next batch is parsed.

    ``meanwhile`` is called each time a commit has failed, because the main loop is blocked then.
    """

    def __init__(
        self, store: LocalStore, metrics: ExporterMetrics, meanwhile: Callable[[], None]
    ) -> None:
        self._store = store
        self._meanwhile = meanwhile
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: tuple[Transaction, Future[None]] | None = None
        self._next: Transaction | None = None
        self._gathering_since = 0.0
        self._condition = Condition(log, "store", store=store.path)
        self._pruning = Condition(log, "pruning", store=store.path)
        self._begun_anew = False
        self._full: str | None = None
        self._state: dict[str, bytes] = {}
        self._bounds_due = 0.0
        self._added = 0
        self._report()

    def know(self, state: dict[str, bytes]) -> None:
        """Remember state that is already stored, in case the store has to be replaced."""
        self._state |= state

    def problems(self) -> list[str]:
        """Return why nothing can be committed, and why the store exceeds its limits."""
        told = {"store": self._condition.problem, "pruning": self._pruning.problem}
        return [f"{name}: {problem}" for name, problem in told.items() if problem]

    def submit(self, transaction: Transaction, stop: threading.Event) -> None:
        """Commit soon, or at ``wait``; many small transactions would cost twice as much.

        Waits for the transaction in progress only if much was submitted meanwhile.
        """
        if self._next is None:
            self._next = transaction
            self._gathering_since = time.monotonic()
        else:
            self._next.extend(transaction)
        under_way = self._pending is not None and not self._pending[1].done()
        due = time.monotonic() - self._gathering_since >= _LONGEST_GATHERING
        if len(self._next.rows) >= _MOST_ROWS or (due and not under_way):
            self._begin_next(stop)

    def wait(self, stop: threading.Event) -> bool:
        """Wait until everything is committed; False if ``stop`` is set while the store fails."""
        while self._next is not None:
            if not self._begin_next(stop):
                return False
        return self._finish_commit(stop)

    def rest(self) -> None:
        """Enforce the store's limits; called when there is nothing to commit.

        Events age and are delivered even if no line is logged for days.
        """
        if time.monotonic() >= self._bounds_due:
            self._keep_bounds(1)

    def _begin_next(self, stop: threading.Event) -> bool:
        if self._next is None or not self._finish_commit(stop):
            return False
        transaction, self._next = self._next, None
        self._pending = (transaction, self._thread.submit(self._commit, transaction))
        return True

    def _finish_commit(self, stop: threading.Event) -> bool:
        """Wait for the transaction in progress, and retry it while the store fails."""
        pause = _FIRST_PAUSE
        while self._pending is not None:
            transaction, future = self._pending
            try:
                future.result()
            except StoreError as error:
                full = isinstance(error, StoreFull)
                self._full = str(error) if full else self._full
                self._condition.set(str(error))
                self._metrics.set("heptad_store_full", 1 if self._full else 0)
                self._metrics.set("heptad_store_failing", 0 if full else 1)
                self._meanwhile()
                if stop.wait(pause):
                    return False
                pause = min(pause * 2, _LONGEST_PAUSE)
                self._pending = (transaction, self._thread.submit(self._commit, transaction))
            else:
                self._metrics.set("heptad_store_failing", 0)
                self._tell_full(self._full)
                self._pending = None
        return True

    def _tell_full(self, problem: str | None) -> None:
        self._full = problem
        self._condition.set(problem)
        self._metrics.set("heptad_store_full", 1 if problem else 0)

    def _commit(self, transaction: Transaction) -> None:
        try:
            self._write(transaction)
        except StoreCorrupt:
            self._begun_anew = True  # even if this fails: the next append starts over then
            self._bounds_due = 0.0
            self._store.begin_anew()
            self._write(transaction)
        self._state |= transaction.state
        self._metrics.add(transaction.counters)
        self._added += len(transaction.rows)
        if self._added >= _MANY_ROWS or time.monotonic() >= self._bounds_due:
            self._keep_bounds(2 * self._added)

    def _write(self, transaction: Transaction) -> None:
        # a file that has to be replaced cannot be queried
        if not self._begun_anew and self._store.is_full() and not self._store.prune():
            raise StoreFull(
                f"{self._store.path}: the store is full of undelivered events; reading is "
                "paused until they are delivered. Check heptad_delivery_up, or raise "
                "`store.max_size`"
            )
        if self._begun_anew:
            # counters and positions go into the new file; the old one is kept aside
            self._state["begun_anew"] = str(time.time_ns()).encode()
            self._store.append([], self._state, self._metrics.totals())
            self._begun_anew = False
        self._store.append(transaction.rows, transaction.state, transaction.counters)

    def finish(self, stop: threading.Event) -> None:
        """Delete everything above the store's limits, after the last commit."""
        while not stop.is_set() and self._keep_bounds(0):
            pass

    def _keep_bounds(self, enough: int) -> bool:
        """Delete up to ``enough`` of what exceeds the limits; return whether there may be more.

        Deleting more than was added is enough: the store does not grow, and lowering a limit by
        gigabytes does not block. A failure is only reported, because the transaction before it must
        not be repeated.
        """
        deleted, problem = 0, None
        try:
            while step := self._store.prune():
                deleted += step
                if deleted >= enough or not self._store.excess():
                    break
            if not step and (excess := self._store.excess()):
                held = "the remaining events are not delivered yet"
                why = held if self._store.is_full() else "there are no events left to delete"
                problem = f"{excess} bytes above max_size, and {why}"
            if (self._full or self._pruning.problem) and self._store.held() > _TIGHT:
                # the little room that was made is filled at once by what waits to be read
                problem = problem or self._pruning.problem
            elif self._full:
                self._tell_full(None)
            self._report()
        except StoreError as error:
            step, problem = 0, str(error)
        self._pruning.set(problem)
        self._added = 0
        self._bounds_due = time.monotonic() + (0 if step else _BOUNDS_EVERY)
        return step > 0

    def _report(self) -> None:
        self._metrics.set("heptad_store_size_bytes", self._store.size())
        self._metrics.set("heptad_store_max_size_bytes", self._store.max_size)
        self._metrics.set("heptad_store_set_aside", 1 if self._store.set_aside else 0)

    def close(self) -> None:
        self._thread.shutdown()

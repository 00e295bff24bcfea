"""Run jobs that may hang, and wait for none longer than the timeout."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_POLL = 0.01  # seconds; minimum time between checks


class JobOutcome(NamedTuple, Generic[T]):
    """The outcome of a job: its value or its error (TimeoutError while it hangs), and seconds."""

    value: T | None
    error: Exception | None
    seconds: float


class _Round(Generic[T]):
    """The jobs of one call of `run`, and the thread's progress."""

    def __init__(self, jobs: Sequence[tuple[str, Callable[[], T]]]) -> None:
        self.jobs = jobs
        self.outcomes: dict[str, JobOutcome[T]] = {}
        self.current = jobs[0][0]
        self.began = time.monotonic()
        self.abandoned = False
        self.done = threading.Event()


class Runner(Generic[T]):
    """A daemon thread that runs named jobs in turn, and is replaced when a job hangs.

    A system call on an unreachable NFS server cannot be interrupted. The stuck thread is abandoned
    and a new one runs the remaining jobs; the stuck job is not started again until it has returned.
    A job therefore occupies at most one thread, and a hang takes its timeout once.
    """

    def __init__(self, name: str, timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._rounds: queue.SimpleQueue[_Round[T] | None] | None = None
        self._hung: dict[str, float] = {}
        self._lock = threading.Lock()
        self._one_run = threading.Lock()

    def run(self, jobs: Sequence[tuple[str, Callable[[], T]]]) -> dict[str, JobOutcome[T]]:
        """Run every job that is not still hanging; return outcomes by name (must be unique)."""
        with self._one_run:
            now = time.monotonic()
            with self._lock:
                outcomes = {key: self._late(now - began) for key, began in self._hung.items()}
            pending = [job for job in jobs if job[0] not in outcomes]
            while pending:
                current = _Round(pending)
                self._begin(current)
                hung = self._wait(current)
                outcomes |= current.outcomes
                pending = pending[len(current.outcomes) :] if hung else []
            return {key: outcomes[key] for key, _ in jobs}

    def close(self) -> None:
        """Stop the thread; a later `run` starts another."""
        with self._one_run:
            if self._rounds is not None:
                self._rounds.put(None)
            self._rounds = None

    def _begin(self, current: _Round[T]) -> None:
        if self._rounds is None:
            self._rounds = queue.SimpleQueue()
            threading.Thread(
                target=self._serve, args=(self._rounds,), name=self._name, daemon=True
            ).start()
        self._rounds.put(current)

    def _wait(self, current: _Round[T]) -> bool:
        """Wait until the round is done; if a job times out, abandon the round and return True."""
        left = self._timeout
        while not current.done.wait(left):
            with self._lock:
                late = time.monotonic() - current.began
                left = max(self._timeout - late, _POLL)
                if late >= self._timeout and current.current not in current.outcomes:
                    current.abandoned = True
                    current.outcomes[current.current] = self._late(late)
                    self._hung[current.current] = current.began
                    self._rounds = None
                    return True
        return False

    def _late(self, seconds: float) -> JobOutcome[T]:
        return JobOutcome(None, TimeoutError(f"no answer within {self._timeout:g} s"), seconds)

    def _serve(self, rounds: "queue.SimpleQueue[_Round[T] | None]") -> None:
        while (current := rounds.get()) is not None:
            for key, job in current.jobs:
                if not self._do(current, key, job):
                    return
            current.done.set()

    def _do(self, current: _Round[T], key: str, job: Callable[[], T]) -> bool:
        """Run one job; return False if the round was abandoned meanwhile."""
        with self._lock:
            current.current, current.began = key, time.monotonic()
        value, error = None, None
        try:
            value = job()
        except Exception as caught:  # noqa: BLE001 - any exception is the job's outcome
            error = caught
        with self._lock:
            if current.abandoned:
                self._hung.pop(key, None)
                return False
            current.outcomes[key] = JobOutcome(value, error, time.monotonic() - current.began)
            return True

"""Run parts of Heptad concurrently until one fails or a signal stops them."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, Self

from heptad.cli.commands import DONE, FAILED
from heptad.core.store.api import StoreError

log = logging.getLogger("heptad")

_PATIENCE: Final = 30.0
TICK: Final = 0.5

Worker = Callable[[threading.Event], None]


class StopToken(threading.Event):
    """Signals one part to stop. Each query also counts as its sign of life.

    Each loop must query it between its steps, also within long work, and wait with a timeout: a
    part that does neither is considered stuck.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.asked = False
        self._clock = clock
        self._well_until = clock()

    def is_set(self) -> bool:
        """Return whether the part must stop."""
        self._well_until = self._clock()
        self.asked = True
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep, but return at once if the part must stop."""
        self.asked = True
        self._well_until = math.inf if timeout is None else self._clock() + timeout
        told = super().wait(timeout)
        self._well_until = self._clock()
        return told

    def hangs(self, patience: float) -> bool:
        """Return whether the part has shown no sign of life for ``patience`` seconds."""
        return self._clock() > self._well_until + patience


class Signals:
    """Received signals, for the main thread to handle; repeated ones count once."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._before: dict[signal.Signals, Any] = {}
        # a handler could interrupt code that holds an Event's lock
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self.heard: set[int] = set()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard.add(number)
        # always: a get() that is interrupted by a signal when its timeout expires waits forever,
        # unless there is something to get (CPython 3.11, Modules/_queuemodule.c: a negative
        # timeout)
        self.wake()

    @property
    def end(self) -> bool:
        """Whether SIGINT or SIGTERM was received."""
        return not self.heard.isdisjoint((signal.SIGINT, signal.SIGTERM))

    def wake(self) -> None:
        """End a wait; may be called from any thread."""
        self._wakes.put(None)

    def wait(self, seconds: float = TICK) -> None:
        """Wait until something happens, or for ``seconds``."""
        try:
            self._wakes.get(timeout=seconds)
            while True:
                self._wakes.get_nowait()
        except Empty:
            return


class Supervisor:
    """Parts that run concurrently, each in a thread with its own stop token.

    ``ended`` is called whenever one of them has ended; if one fails, the others are stopped.
    """

    def __init__(self, workers: Mapping[str, Worker], ended: Callable[[], None]) -> None:
        self._ended = ended
        self._failed = threading.Event()
        self._stops = {name: StopToken() for name in workers}
        self._threads = [
            threading.Thread(target=self._run, args=(name, worker), name=name, daemon=True)
            for name, worker in workers.items()
        ]

    @property
    def failed(self) -> bool:
        return self._failed.is_set()

    @property
    def ready(self) -> bool:
        """Whether every part has entered its loop."""
        return all(stop.asked for stop in self._stops.values())

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        for stop in self._stops.values():
            stop.set()

    def running(self) -> list[str]:
        return [thread.name for thread in self._threads if thread.is_alive()]

    def hangs(self, patience: float) -> bool:
        """Return whether a running part has shown no sign of life for ``patience`` seconds."""
        running = self.running()
        return any(stop.hangs(patience) for name, stop in self._stops.items() if name in running)

    def wait(self, signals: Signals) -> None:
        """Wait until all have ended; if one failed, do not wait for others that are stuck."""
        deadline = math.inf
        while hanging := self.running():
            if signals.end:
                self.stop()
            if self.failed:
                deadline = min(deadline, time.monotonic() + _PATIENCE)
            if time.monotonic() >= deadline:
                log.critical(
                    "threads do not stop; exiting without them", extra={"parts": ", ".join(hanging)}
                )
                return
            signals.wait()

    def _run(self, name: str, worker: Worker) -> None:
        try:
            worker(self._stops[name])
        except Exception as error:
            # if a part fails, the others must not keep running as if nothing had happened
            foreseen = isinstance(error, StoreError)
            told = {"error": str(error)} if foreseen else {}
            log.critical("%s failed", name, exc_info=not foreseen, extra=told)
            self._failed.set()
            self.stop()
        finally:
            self._ended()


def run_workers(workers: Mapping[str, Worker]) -> int:
    """Run all parts until they have ended, SIGINT or SIGTERM is received, or one fails.

    If one fails, return after half a minute even if another one is stuck. Return the exit status.
    """
    with Signals(signal.SIGINT, signal.SIGTERM) as signals:
        supervisor = Supervisor(workers, signals.wake)
        supervisor.start()
        try:
            supervisor.wait(signals)
        finally:
            supervisor.stop()
    return FAILED if supervisor.failed else DONE

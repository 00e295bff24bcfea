"""Run parts of Heptad side by side until one fails or the person says stop."""

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
    """Tells one part to end. That the part asks is its sign of life.

    Each loop asks between its steps, also in long work, and says how long it rests when it waits:
    a part that does neither hangs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._well_until = time.monotonic()

    def is_set(self) -> bool:
        """Whether to end."""
        self._well_until = time.monotonic()
        self.asked = True
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Rest, but end at once where told to."""
        self.asked = True
        self._well_until = math.inf if timeout is None else time.monotonic() + timeout
        told = super().wait(timeout)
        self._well_until = time.monotonic()
        return told

    def hangs(self, patience: float) -> bool:
        """Whether the part has given no sign for ``patience`` seconds."""
        return time.monotonic() > self._well_until + patience


class Signals:
    """What signals told the process, for its main thread to work off: each once, however many."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._before: dict[signal.Signals, Any] = {}
        # an Event's lock could be held by the very code that a handler interrupts
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
        # always: a get() that a signal interrupts when its time is over waits for ever, unless
        # there is something to get (CPython 3.11, Modules/_queuemodule.c: a negative time-out)
        self.wake()

    @property
    def end(self) -> bool:
        """Whether SIGINT or SIGTERM came."""
        return not self.heard.isdisjoint((signal.SIGINT, signal.SIGTERM))

    def wake(self) -> None:
        """End a wait; from any thread."""
        self._wakes.put(None)

    def wait(self, seconds: float = TICK) -> None:
        """Until something happened, or for ``seconds``."""
        try:
            self._wakes.get(timeout=seconds)
            while True:
                self._wakes.get_nowait()
        except Empty:
            return


class Supervisor:
    """Parts that run side by side, each in a thread and with a stop of its own.

    ``ended`` is called whenever one of them has ended; one that fails stops the others.
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
        """Whether a part has failed."""
        return self._failed.is_set()

    @property
    def ready(self) -> bool:
        """Whether every part is in its loop."""
        return all(stop.asked for stop in self._stops.values())

    def start(self) -> None:
        """Start every part."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell every part to end."""
        for stop in self._stops.values():
            stop.set()

    def running(self) -> list[str]:
        """The parts that have not ended."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    def hangs(self, patience: float) -> bool:
        """Whether a part that runs has given no sign of life for ``patience`` seconds."""
        running = self.running()
        return any(stop.hangs(patience) for name, stop in self._stops.items() if name in running)

    def wait(self, signals: Signals) -> None:
        """Until all have ended; where one failed, another that hangs is left behind."""
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
            # a part that dies must not leave the others pretending that all is well
            foreseen = isinstance(error, StoreError)
            told = {"error": str(error)} if foreseen else {}
            log.critical("%s failed", name, exc_info=not foreseen, extra=told)
            self._failed.set()
            self.stop()
        finally:
            self._ended()


def run_workers(workers: Mapping[str, Worker]) -> int:
    """Run every part until all have ended, SIGINT or SIGTERM comes, or one fails.

    Ends half a minute after one failed even where another hangs; gives the exit status.
    """
    with Signals(signal.SIGINT, signal.SIGTERM) as signals:
        supervisor = Supervisor(workers, signals.wake)
        supervisor.start()
        try:
            supervisor.wait(signals)
        finally:
            supervisor.stop()
    return FAILED if supervisor.failed else DONE

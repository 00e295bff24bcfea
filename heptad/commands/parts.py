"""Run parts of Heptad side by side until one fails or the person says stop."""

import logging
import math
import signal
import threading
import time as clock
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Final

from heptad.commands import DONE, FAILED
from heptad.store import StoreError

log = logging.getLogger("heptad")

_PATIENCE: Final = 30.0

Part = Callable[[threading.Event], None]


def run_parts(parts: Mapping[str, Part], stop: threading.Event) -> int:
    """Run every part in a thread; ``stop`` is set by SIGINT, SIGTERM, or a part that fails.

    Ends when all parts have ended, or half a minute after one failed; gives the exit status.
    """
    failed = threading.Event()
    ended = threading.Event()
    threads = [
        threading.Thread(
            target=_run, args=(name, part, stop, failed, ended), name=name, daemon=True
        )
        for name, part in parts.items()
    ]

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for thread in threads:
            thread.start()
        _wait(threads, failed, ended)
    finally:
        stop.set()
        for number, handler in before.items():
            signal.signal(number, handler)
    return FAILED if failed.is_set() else DONE


def _wait(
    threads: Sequence[threading.Thread], failed: threading.Event, ended: threading.Event
) -> None:
    """Until all threads have ended; where one failed, another that hangs is left behind."""
    deadline = math.inf
    # a join without a time-out would keep Python from running the signal handler
    while hanging := [thread.name for thread in threads if thread.is_alive()]:
        if failed.is_set():
            deadline = min(deadline, clock.monotonic() + _PATIENCE)
        if clock.monotonic() >= deadline:
            log.critical("parts do not end", extra={"parts": ", ".join(hanging)})
            return
        ended.wait(0.5)
        ended.clear()


def _run(
    name: str, part: Part, stop: threading.Event, failed: threading.Event, ended: threading.Event
) -> None:
    try:
        part(stop)
    except Exception as error:
        # a part that dies must not leave the others pretending that all is well
        foreseen = isinstance(error, StoreError)
        told = {"error": str(error)} if foreseen else {}
        log.critical("%s failed", name, exc_info=not foreseen, extra=told)
        failed.set()
        stop.set()
    finally:
        ended.set()

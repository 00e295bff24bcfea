"""Run parts of Heptad side by side until one fails or the person says stop."""

import logging
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType

from heptad.commands import DONE, FAILED

log = logging.getLogger("heptad")

Part = Callable[[threading.Event], None]


def run_parts(parts: Mapping[str, Part], stop: threading.Event) -> int:
    """Run every part in a thread; ``stop`` is set by SIGINT, SIGTERM, or a part that fails.

    Ends when all parts have ended; gives the exit status.
    """
    failed = threading.Event()
    ended = threading.Event()
    threads = [
        threading.Thread(target=_run, args=(name, part, stop, failed, ended), name=name)
        for name, part in parts.items()
    ]

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for thread in threads:
            thread.start()
        # a join without a time-out would keep Python from running the signal handler
        while any(thread.is_alive() for thread in threads):
            ended.wait(0.5)
            ended.clear()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    return FAILED if failed.is_set() else DONE


def _run(
    name: str, part: Part, stop: threading.Event, failed: threading.Event, ended: threading.Event
) -> None:
    try:
        part(stop)
    except Exception:
        # a part that dies must not leave the others pretending that all is well
        log.critical("%s failed", name, exc_info=True)
        failed.set()
        stop.set()
    finally:
        ended.set()

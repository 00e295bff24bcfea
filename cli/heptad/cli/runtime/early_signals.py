"""Signals that come before a service has begun, or after it has ended."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Final

_SERVICES: Final = ("exporter", "aggregator", "up")
received: Final[set[int]] = set()
"""SIGHUP, where it came before the service could take it: the configuration may be read already."""


def expect_signals(command: str = "") -> None:
    """Let SIGTERM and SIGINT end a service at once with status 0, and SIGHUP not end it.

    Nothing is to be finished then: what is committed is whole, and the rest is read again.
    """
    if command not in _SERVICES:
        return
    bound = has_terminal()

    def end(number: int, frame: FrameType | None) -> None:
        os._exit(0)

    def hang_up(number: int, frame: FrameType | None) -> None:
        received.add(number)
        if bound and not has_terminal():
            os._exit(0)

    for number, handler in (
        (signal.SIGTERM, end),
        (signal.SIGINT, end),
        (signal.SIGHUP, hang_up),
    ):
        # nohup(1) and a shell's & forbid some
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def has_terminal() -> bool:
    """Whether the process has a controlling terminal: tty(4)."""
    try:
        os.close(os.open(Path("/dev/tty"), os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True

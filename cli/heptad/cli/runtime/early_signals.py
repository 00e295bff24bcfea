"""Signals before a service has started, or after it has ended."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Final

_SERVICES: Final = ("exporter", "aggregator", "up")
received: Final[set[int]] = set()
"""SIGHUP, if it arrived before the service could handle it: the configuration may be outdated."""


def expect_signals(command: str = "") -> None:
    """Let SIGTERM and SIGINT end a service at once with status 0, and record SIGHUP.

    Ending at once is safe: committed data is complete, and the rest is read again.
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
        # nohup(1) and a shell's & ignore some
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def has_terminal() -> bool:
    """Return whether the process has a controlling terminal: tty(4)."""
    try:
        os.close(os.open(Path("/dev/tty"), os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True

"""Notify systemd of a service's state: sd_notify(3), one datagram per message."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger("heptad.systemd")

_PATIENCE: Final = 5.0
"""Timeout in seconds of a message: an unresponsive manager must not block the service."""


def notify(**variables: str | int) -> bool:
    """Send ``variables`` as one message to $NOTIFY_SOCKET; return False if it is unset or fails.

    A value is cut to its first line, because a message consists of lines. Names as in sd_notify(3).
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        address = f"\0{address[1:]}"  # unix(7), "abstract"
    lines = (f"{name}={(str(value).splitlines() or [''])[0]}" for name, value in variables.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.connect(address)
            sender.sendall("\n".join(lines).encode(errors="replace"))
    except OSError as error:
        log.warning("cannot notify systemd", extra={"socket": address[1:], "error": error})
        return False
    return True


def notify_reloading() -> bool:
    """Send RELOADING=1 with the clock that Type=notify-reload requires."""
    return notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


def watchdog_seconds() -> float | None:
    """Return $WATCHDOG_USEC in seconds, if it is for this process: sd_watchdog_enabled(3)."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    given = os.environ.get("WATCHDOG_USEC", "")
    # ascii: isdigit() also accepts digits that int() rejects
    seconds = int(given) / 10**6 if given.isascii() and given.isdigit() else 0.0
    return seconds or None


class Watchdog:
    """Sends WATCHDOG=1 at half of systemd's timeout, as long as ``lives(half)`` is true.

    It has its own thread, so that a long start or reload is not taken for a failure. Does nothing
    if systemd has no watchdog for this process.
    """

    def __init__(self, lives: Callable[[float], bool]) -> None:
        self._lives = lives
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        seconds = watchdog_seconds()
        if seconds is not None and os.environ.get("NOTIFY_SOCKET"):
            watch = threading.Thread(
                target=self._watch, args=(seconds / 2,), name="watchdog", daemon=True
            )
            self._thread = watch
            watch.start()

    def _watch(self, half: float) -> None:
        well = True
        while True:
            lives = self._lives(half)
            if lives:
                notify(WATCHDOG=1)
            elif well:
                log.critical("main loop is stuck; letting systemd's watchdog restart the service")
            well = lives
            if self._ended.wait(half):
                return

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=_PATIENCE)

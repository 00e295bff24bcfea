"""Read a small file given by the user; it may be a pipe: `--config <(…)`, /dev/stdin."""

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

PATIENCE: Final = 5.0
"""Seconds within which a pipe or terminal must deliver all of its data."""
_CHUNK: Final = 65_536


def read_file(path: Path, most: int) -> bytes:
    """Return the content of at most ``most`` bytes; raise OSError, also if a pipe times out."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        waits = not stat.S_ISREG(os.fstat(number).st_mode)
        end = time.monotonic() + PATIENCE
        data = b""
        while len(data) <= most:
            if waits:
                _await(number, end)
            part = os.read(number, _CHUNK)
            if not part:
                return data
            data += part
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(number)


def _await(number: int, end: float) -> None:
    """Wait for data; raise TimeoutError at ``end``, also if no writer opens the pipe."""
    poll = select.poll()
    poll.register(number, select.POLLIN)
    if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
        told = f"not a regular file, and no data came from it within {PATIENCE:.0f} s"
        raise TimeoutError(errno.ETIMEDOUT, told)

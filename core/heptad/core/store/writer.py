"""Find the process that writes to a local store, through the kernel's list of locks."""

import os
import re
from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")
_WRITER: Final = re.compile(
    r"^\d+: FLOCK +ADVISORY +WRITE +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.MULTILINE
)
"""A line of proc_locks(5): process, device and inode of an exclusive lock of flock(2)."""


def find_writer(path: Path) -> int | None:
    """Return the process that holds the writer's lock of the store ``path``; None if there is none.

    Nothing is locked to find out, so that a service that starts meanwhile is not disturbed. Raise
    OSError if the lock file or the kernel's list of locks cannot be read.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        status = lock.stat()
        named = lock.read_bytes()[:20].strip()
    except FileNotFoundError:
        return None
    for process, major, minor, inode in _WRITER.findall(_LOCKS.read_text()):
        if int(inode) != status.st_ino:
            continue
        device = os.makedev(int(major, 16), int(minor, 16))
        # a file system on several devices shows another device here than stat(2)
        if device == status.st_dev or process.encode() == named:
            return int(process)
    return None

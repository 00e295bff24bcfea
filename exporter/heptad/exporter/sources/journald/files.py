"""Find the files of a journal, and detect problems with them."""

import os
import re
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_SYSTEM: Final = (Path("/var/log/journal"), Path("/run/log/journal"))
_ENDS: Final = (".journal", ".journal~")
_NUMBERED: Final = re.compile(r"s=([0-9a-f]{1,32});i=([0-9a-f]{1,16});")
_HEADER: Final = struct.Struct("<8s64x16s72xQ")
_SETTLED: Final = 300.0
"""Seconds after its start within which journald has written something."""
_SLACK: Final = 10.0
_PROC: Final = Path("/proc")
_STARTED: Final = 19
"""Index of the start time, in ticks, after the name in /proc/PID/stat: proc_pid_stat(5)."""
_FULL: Final = 2**20
"""If less is free (bytes), nothing can be written on a disk of ordinary size."""


def find_folders(directory: str | None, machines: Sequence[str] = ()) -> list[Path]:
    """Return the folders of a journal: below ``directory``, or the system's.

    Each folder has a subfolder per machine id; of the system's, only those of ``machines`` count.
    """
    if directory is not None:
        root = Path(directory)
        try:
            below = [root / entry.name for entry in os.scandir(root) if entry.is_dir()]
        except OSError:
            below = []
        return [root, *sorted(path for path in below if _is_machine(path.name))]
    return [folder / own for own in machines or ["*"] for folder in _SYSTEM]


def has_namespaces(machine: str | None) -> bool:
    """Return whether units of this machine log to their own namespaces (journald@.service(8))."""
    pattern = f"{machine}.*"
    return machine is not None and any(any(folder.glob(pattern)) for folder in _SYSTEM)


def _is_machine(name: str) -> bool:
    return len(name) == 32 and set(name) <= set("0123456789abcdef")


def find_unreadable(folders: Sequence[Path]) -> list[str]:
    """Return which files of a journal cannot be read, according to the file system."""
    found = 0
    told = []
    for folder in folders:
        try:
            for entry in os.scandir(folder):
                if entry.name.endswith(_ENDS):
                    found += 1
                    if not os.access(entry.path, os.R_OK):
                        told.append(f"{entry.path} is not readable")
        except FileNotFoundError:
            continue
        except OSError as error:
            told.append(f"{folder}: {error.strerror}")
    if not found and not told:
        told.append("there is no journal file in " + ", ".join(map(str, folders)))
    return told


def find_stale(folders: Sequence[Path]) -> list[str]:
    """Return a problem if journald has written nothing since it started.

    It logs at least its own start, unless ``Storage=none`` or its disk prevents it.
    """
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + _find_start()
    times = [stamp for folder in folders for stamp in _find_times(folder)]
    if time.time() - began < _SETTLED or not times or max(times) >= began - _SLACK:
        return []
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(times)))
    told = (
        "journald has written nothing to the journal since its start; the last entry is from "
        f"{when}"
    )
    return [f"{told}; check Storage= in journald.conf(5), and the log of systemd-journald"]


def _find_start() -> float:
    """Return seconds from boot to the start of journald; 0 if it is not visible.

    The journald of a container, which is visible too, is younger.
    """
    starts = []
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            # the journald of a namespace has an argument
            if command[0].endswith(b"/systemd-journald") and command[1:] == [b""]:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                if process.stat().st_uid == 0:
                    starts.append(int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK"))
    return min(starts, default=0.0)


def is_beyond(folders: Sequence[Path], cursor: str) -> bool:
    """Return whether a cursor is after the end of the journal, so that nothing new is found.

    This happens if the number of an entry is corrupt.
    """
    found = _NUMBERED.match(cursor)
    if found is None:
        return False
    source, number = bytes.fromhex(found[1].zfill(32)), int(found[2], 16)
    ends = [end for folder in folders for origin, end in _find_ends(folder) if origin == source]
    return bool(ends) and number > max(ends)


def _find_ends(folder: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the id of each file's numbers and the last number (systemd.io, JOURNAL_FILE_FORMAT)."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(_ENDS):
                with suppress(OSError, struct.error), Path(entry.path).open("rb") as file:
                    _, origin, end = _HEADER.unpack(file.read(_HEADER.size))
                    yield origin, end


def find_full(folders: Sequence[Path]) -> list[str]:
    """Return a problem for each folder whose disk is full, so that journald drops messages."""
    return [
        f"{folder}: the disk is full, so journald drops messages"
        for folder in folders
        if _is_full(folder)
    ]


def _is_full(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    free, total = found.f_bfree * found.f_frsize, found.f_blocks * found.f_frsize
    return free < min(_FULL, total // 64)


def _find_times(folder: Path) -> Iterator[float]:
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(_ENDS):
                yield entry.stat().st_mtime

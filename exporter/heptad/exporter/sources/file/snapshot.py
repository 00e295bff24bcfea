"""A log and its rotated files, all open, as they were at one moment.

Between any two system calls a log may be renamed, cut, copied, compressed, replaced or mounted
over. So all of them are opened, and looked at again: only where nothing has moved meanwhile is it
what was there at one moment. What happens after that happens to files that are open.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from heptad.exporter.sources.file.log_file import LogFile
from heptad.exporter.sources.file.paths import is_passing
from heptad.exporter.sources.file.rotation import close_all, find_siblings

TRIES: Final = 5

ListedSiblings = list[tuple[Path, tuple[int, int]]]


class FilesMoving(Exception):
    """The files did not keep still for the length of a look."""


class LogSnapshot:
    """``newest``, the file at the path, if there is one, and the ``siblings``, oldest first.

    ``target`` is the path itself or, if that is a link, where it leads. A file with several names
    is there once. Rotated files that cannot be read are left out.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.newest: LogFile | None = None
        self.siblings: list[LogFile] = []

    @property
    def log_files(self) -> list[LogFile]:
        """All of them, the newest last."""
        return self.siblings + ([self.newest] if self.newest else [])

    def is_intact(self) -> bool:
        """Whether no file was cut since it was opened."""
        return all(log_file.is_intact() for log_file in self.log_files)

    def is_unchanged(self) -> bool:
        """Whether the file at the path is as it was opened: it may have been written anew."""
        return self.newest is None or self.newest.is_unchanged()


def take_snapshot(
    path: Path, base: Path | None, others: Sequence[Path], known: Sequence[Path]
) -> LogSnapshot:
    """Open what is at ``path`` and its rotated files.

    These are looked for beside it, in the folders ``others``, and beside the ``known`` paths. Below
    ``base``, if one is given, no link is followed. Raises OSError or EOFError where the file at the
    path cannot be read, or none can at this moment, and Moving.
    """
    for _ in range(TRIES):
        target = Path(os.path.realpath(path))
        seen = _see(path, [target, *known], others)
        snapshot = LogSnapshot(target)
        try:
            opened = _open_all(snapshot, path, base, target, seen)
            still = (
                opened
                and Path(os.path.realpath(path)) == target
                and _see(path, [target, *known], others) == seen
            )
            # what was cut while it was opened shows in the file
            if still and os.path.realpath(path) == str(target) and snapshot.is_intact():
                return snapshot
        except BaseException:
            close_all(snapshot.log_files)
            raise
        close_all(snapshot.log_files)
    raise FilesMoving("it and its rotated files are renamed again and again")


def _see(path: Path, known: Sequence[Path], others: Sequence[Path]) -> ListedSiblings:
    """What is where: the rotated files, oldest first, and the file at the path last."""
    listed = find_siblings(path, known, others)
    with suppress(FileNotFoundError):
        listed.append((path, path.stat()))
    return [(entry, (status.st_dev, status.st_ino)) for entry, status in listed]


def _open_all(
    snapshot: LogSnapshot, path: Path, base: Path | None, target: Path, seen: ListedSiblings
) -> bool:
    """Open what was seen; whether it is still what was seen."""
    known = set[tuple[int, int]]()
    for entry, file in reversed(seen):
        if file in known:
            continue  # a link to the same file, as savelog(8) makes
        known.add(file)
        try:
            if entry is path:
                log_file = LogFile.open(path, base, target)
            else:
                log_file = LogFile.open(entry, base or entry.parent)
        except FileNotFoundError:
            return False
        except (OSError, EOFError) as error:
            # to leave out what can be read a moment later would be a gap
            if entry is path or is_passing(error):
                raise
            continue
        if entry is path:
            snapshot.newest = log_file
        else:
            snapshot.siblings.insert(0, log_file)
            log_file.complete_fingerprint()
        if (log_file.checkpoint.device, log_file.checkpoint.inode) != file:
            return False
    return True

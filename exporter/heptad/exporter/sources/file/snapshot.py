"""Open a log and its rotated files in a consistent state.

Between two system calls a log may be renamed, truncated, copied, compressed, replaced or mounted
over. All files are therefore opened, and listed again: only if nothing changed in between do they
show one moment. Later changes happen to files that are already open.
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
    """The files were renamed or truncated during every attempt."""


class LogSnapshot:
    """The open files: ``newest`` at the path, if it exists, and ``siblings``, oldest first.

    ``target`` is the path, or the target if the path is a link. A file with several names is listed
    once. Rotated files that cannot be read are left out.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.newest: LogFile | None = None
        self.siblings: list[LogFile] = []

    @property
    def log_files(self) -> list[LogFile]:
        """All files, the newest last."""
        return self.siblings + ([self.newest] if self.newest else [])

    def is_intact(self) -> bool:
        """Return whether no file was truncated since it was opened."""
        return all(log_file.is_intact() for log_file in self.log_files)

    def is_unchanged(self) -> bool:
        """Return whether the file at the path was not written to since it was opened."""
        return self.newest is None or self.newest.is_unchanged()


def take_snapshot(
    path: Path, base: Path | None, others: Sequence[Path], known: Sequence[Path]
) -> LogSnapshot:
    """Open the file at ``path`` and its rotated files.

    These are searched next to it, in the folders ``others``, and next to the ``known`` paths. If
    ``base`` is given, no link below it is followed. Raises OSError or EOFError if the file at the
    path cannot be read, or a file temporarily cannot, and FilesMoving.
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
            # a truncation during opening shows in the file
            if still and os.path.realpath(path) == str(target) and snapshot.is_intact():
                return snapshot
        except BaseException:
            close_all(snapshot.log_files)
            raise
        close_all(snapshot.log_files)
    raise FilesMoving("it and its rotated files are renamed again and again")


def _see(path: Path, known: Sequence[Path], others: Sequence[Path]) -> ListedSiblings:
    """List the rotated files, oldest first, and the file at the path last."""
    listed = find_siblings(path, known, others)
    with suppress(FileNotFoundError):
        listed.append((path, path.stat()))
    return [(entry, (status.st_dev, status.st_ino)) for entry, status in listed]


def _open_all(
    snapshot: LogSnapshot, path: Path, base: Path | None, target: Path, seen: ListedSiblings
) -> bool:
    """Open the listed files; return whether they are still the listed ones."""
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
            # leaving out what can be read a moment later would cause a gap
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

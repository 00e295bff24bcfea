"""Find the rotated files of a log, and its content under another name.

logrotate(8) renames (``auth.log.1``, ``auth.log-20260301``), copies and truncates, and compresses.
The name shows only the order; content is identified by fingerprint and inode.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from heptad.exporter.sources.file.log_file import COMPRESSED, Checkpoint, LogFile
from heptad.exporter.sources.file.paths import is_passing, path_of
from heptad.exporter.sources.file.versions import tells

_MOST: Final = 100
_NUMBER: Final = r"[.\-_]\d[\d.\-_:T]*"
# before the suffix (`extension .log`): app-1.log is more likely another log than a rotated one
_DATE: Final = r"(?:\.\d|[.\-_]\d[\d.\-_:T]{5})[\d.\-_:T]*"
_PACKED: Final = "(?:" + "|".join(re.escape(suffix) for suffix in sorted(COMPRESSED)) + ")?"

Listed = list[tuple[Path, os.stat_result]]


@lru_cache(maxsize=1024)
def _name_of(path: Path) -> re.Pattern[str]:
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    inner = f"|{stem}({_DATE}){suffix}" if suffix else ""
    return re.compile(f"(?:{stem}{suffix}({_NUMBER}){inner}){_PACKED}")


def is_rotated(path: str, of: str) -> bool:
    """Return whether ``path`` has the name of a rotated file of ``of``."""
    if path == of or not path.startswith(of.rpartition(".")[0]):  # avoids most comparisons
        return False
    file, log = Path(path), Path(of)
    return file.parent == log.parent and _name_of(log).fullmatch(file.name) is not None


def find_siblings(path: Path, known: Iterable[Path], others: Sequence[Path]) -> Listed:
    """Return the rotated files of ``path``, oldest first; plain before compressed.

    They are next to it, next to the ``known`` paths (present and past targets of a link), and in
    the folders ``others``. Links among them are left out, because they are not configured.
    """
    owns = dict.fromkeys([path, *known])
    places = [(own.parent, own) for own in owns]
    places += [(path.parent / other, own) for other in others for own in owns]
    found: list[tuple[str, int, Path, os.stat_result]] = []
    for folder, own in places:
        found += _list_rotated(folder, own)
    return [(entry, status) for *_, entry, status in _in_order(found)][-_MOST:]


def find_copies(path: Path) -> Iterator[Path]:
    """Yield files in nearby folders that have the name of a copy of ``path``, as with `olddir`."""
    for near in (path.parent, path.parent.parent):
        try:
            folders = [
                entry.path for entry in os.scandir(near) if entry.is_dir(follow_symlinks=False)
            ]
        except OSError:
            continue
        for folder in sorted(folders)[:_MOST]:
            if Path(folder) != path.parent:
                yield from (entry for _, _, entry, _ in _list_rotated(Path(folder), path))


def _list_rotated(folder: Path, of: Path) -> Iterator[tuple[str, int, Path, os.stat_result]]:
    name = _name_of(of)
    try:
        entries = set(os.listdir(folder))  # noqa: PTH208 - names are enough, and cost less
    except OSError as error:
        if is_passing(error):
            raise
        return
    for entry in entries:
        match = name.fullmatch(entry) if entry.startswith(of.stem) else None
        # while gzip runs, the plain file is still complete and the compressed one is not
        if match is None or _packs(entry) in entries:
            continue
        try:
            status = os.lstat(folder / entry)
        except OSError as error:
            if is_passing(error):
                raise
            continue
        if stat.S_ISREG(status.st_mode):
            mark = "".join(match.groups(""))[1:]
            yield mark, status.st_mtime_ns, folder / entry, status


def _packs(entry: str) -> str | None:
    """Return the name of the uncompressed file if the name is that of a compressed one."""
    stem, dot, suffix = entry.rpartition(".")
    return stem if dot + suffix in COMPRESSED else None


def _in_order(
    found: list[tuple[str, int, Path, os.stat_result]],
) -> list[tuple[str, int, Path, os.stat_result]]:
    """Sort, oldest first: higher numbers are older; dates sort as text, see logrotate(8)."""
    numbered = [mark.isdigit() and len(mark) < 5 for mark, *_ in found]
    if found and all(numbered):
        return sorted(found, key=lambda one: (-int(one[0]), one[1]))
    if any(numbered):
        return sorted(found, key=lambda one: one[1])
    return sorted(found, key=lambda one: one[:3])


def locate(log_files: list[LogFile], row: list[Checkpoint], number: int) -> int | None:
    """Return the index in ``log_files`` (newest last) with the content of ``row[number]``.

    An inode is reused: a checkpoint without a fingerprint must not match a file that starts like
    another of ``row``. If a later checkpoint starts the same, it is a copy, and continues in what
    is equal.
    """
    known = row[number]
    same = [n for n, log_file in enumerate(log_files) if log_file.is_file_of(known)]
    if not known.fingerprint:
        free = [n for n in same if not any(log_files[n].begins_like(other) for other in row)]
        return next((n for n in free if log_files[n].growing), None)
    alike = [n for n, log_file in enumerate(log_files) if log_file.begins_like(known)]
    copied = any(other.fingerprint.startswith(known.fingerprint) for other in row[number + 1 :])
    if copied and (tells(known) or known.fingerprint.startswith(b"\0")):
        return next((n for n in alike if n in same), None)
    if not tells(known):
        # others may start the same: it is the first one written to since, unless its inode matches
        since = [n for n in alike if log_files[n].checkpoint.modified >= known.modified]
        alike = [n for n in alike if log_files[n].holds(known)] or alike
        alike = [n for n in alike if n in same] or [n for n in alike if n in since][:1] or alike
    both = [n for n in alike if n in same]
    alike = [n for n in alike if not any(is_file_of(log_files[n], other) for other in row)]
    found = both or alike or [n for n, s in enumerate(log_files) if s.is_shortened(known)]
    return found[-1] if found else None


def is_file_of(log_file: LogFile, known: Checkpoint) -> bool:
    """Return whether both inode and content match ``known``."""
    return log_file.is_file_of(known) and log_file.begins_like(known)


def find_again(known: Checkpoint, base: Path | None) -> LogFile | None:
    """Open the content of ``known`` under its old name."""
    try:
        log_file = LogFile.open(Path(path_of(known.path)), base)
    except (OSError, EOFError) as error:
        if is_passing(error):
            raise
        return None
    # by now, another version with the same start may have this name
    if log_file.begins_like(known) and (log_file.is_file_of(known) or log_file.holds(known)):
        return log_file
    log_file.close()
    return None


def close_all(log_files: list[LogFile]) -> None:
    for log_file in log_files:
        log_file.close()

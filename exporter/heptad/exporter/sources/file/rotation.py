"""Where a rotated log went: find its older content again under another name.

logrotate(8) renames (``auth.log.1``, ``auth.log-20260301``), copies and truncates, and
compresses. The name tells the order; which content it is, only the head and the inode tell.
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
# before the suffix (`extension .log`): app-1.log is rather another log than a rotated app.log
_DATE: Final = r"(?:\.\d|[.\-_]\d[\d.\-_:T]{5})[\d.\-_:T]*"
_PACKED: Final = "(?:" + "|".join(re.escape(suffix) for suffix in sorted(COMPRESSED)) + ")?"

Listed = list[tuple[Path, os.stat_result]]


@lru_cache(maxsize=1024)
def _name_of(path: Path) -> re.Pattern[str]:
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    inner = f"|{stem}({_DATE}){suffix}" if suffix else ""
    return re.compile(f"(?:{stem}{suffix}({_NUMBER}){inner}){_PACKED}")


def is_rotated(path: str, of: str) -> bool:
    """Whether ``path`` is by its name a rotated file of ``of``."""
    if path == of or not path.startswith(of.rpartition(".")[0]):  # spares most of the comparing
        return False
    file, log = Path(path), Path(of)
    return file.parent == log.parent and _name_of(log).fullmatch(file.name) is not None


def find_siblings(path: Path, known: Iterable[Path], others: Sequence[Path]) -> Listed:
    """The rotated files of ``path``, oldest first; plain before compressed.

    They are beside it, beside the ``known`` ones, as what it leads or led to if it is a link, and
    in the folders ``others``. A link among them is left out: nobody configured it.
    """
    owns = dict.fromkeys([path, *known])
    places = [(own.parent, own) for own in owns]
    places += [(path.parent / other, own) for other in others for own in owns]
    found: list[tuple[str, int, Path, os.stat_result]] = []
    for folder, own in places:
        found += _list_rotated(folder, own)
    return [(entry, status) for *_, entry, status in _in_order(found)][-_MOST:]


def find_copies(path: Path) -> Iterator[Path]:
    """Files in folders nearby that are by their names copies of ``path``, as of `olddir`."""
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
        # while gzip works, the plain file is still whole and the other is not yet
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
    """The name of the plain file, if the name is that of a compressed one."""
    stem, dot, suffix = entry.rpartition(".")
    return stem if dot + suffix in COMPRESSED else None


def _in_order(
    found: list[tuple[str, int, Path, os.stat_result]],
) -> list[tuple[str, int, Path, os.stat_result]]:
    """Oldest first: numbers grow with age; dates must sort lexically (logrotate(8), dateformat)."""
    numbered = [mark.isdigit() and len(mark) < 5 for mark, *_ in found]
    if found and all(numbered):
        return sorted(found, key=lambda one: (-int(one[0]), one[1]))
    if any(numbered):
        return sorted(found, key=lambda one: one[1])
    return sorted(found, key=lambda one: one[:3])


def locate(log_files: list[LogFile], row: list[Checkpoint], number: int) -> int | None:
    """Which of ``segments`` (the last is the newest) is the content of ``row[number]``, ``known``.

    An inode is given again: without a head ``known`` is none that is another of ``row``. Where a
    later one of them begins the same, that is its copy, and goes on in what is alike.
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
        # others may begin so: it is the first that was written to since, unless its inode tells
        since = [n for n in alike if log_files[n].checkpoint.modified >= known.modified]
        alike = [n for n in alike if log_files[n].holds(known)] or alike
        alike = [n for n in alike if n in same] or [n for n in alike if n in since][:1] or alike
    both = [n for n in alike if n in same]
    alike = [n for n in alike if not any(is_file_of(log_files[n], other) for other in row)]
    found = both or alike or [n for n, s in enumerate(log_files) if s.is_shortened(known)]
    return found[-1] if found else None


def is_file_of(log_file: LogFile, known: Checkpoint) -> bool:
    """Whether both inode and content are those of ``known``."""
    return log_file.is_file_of(known) and log_file.begins_like(known)


def find_again(known: Checkpoint, base: Path | None) -> LogFile | None:
    """The content of ``known`` under the name it had."""
    try:
        log_file = LogFile.open(Path(path_of(known.path)), base)
    except (OSError, EOFError) as error:
        if is_passing(error):
            raise
        return None
    # another version, which begins the same, may have this name by now
    if log_file.begins_like(known) and (log_file.is_file_of(known) or log_file.holds(known)):
        return log_file
    log_file.close()
    return None


def close_all(log_files: list[LogFile]) -> None:
    """Close every file."""
    for log_file in log_files:
        log_file.close()

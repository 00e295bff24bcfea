"""Where a rotated log went: find its older content again under another name.

logrotate(8) renames (``auth.log.1``, ``auth.log-20260301``), copies and truncates, and
compresses. The name tells the order; which content it is, only the head and the inode tell.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from exporter.sources.segment import COMPRESSED, Position, Segment, is_part_of_line

_MOST: Final = 100
_TRIES: Final = 5
_NUMBER: Final = r"[.\-_]\d[\d.\-_:T]*"
# before the suffix (`extension .log`): app-1.log is rather another log than a rotated app.log
_DATE: Final = r"(?:\.\d|[.\-_]\d[\d.\-_:T]{5})[\d.\-_:T]*"
_PACKED: Final = "(?:" + "|".join(re.escape(suffix) for suffix in sorted(COMPRESSED)) + ")?"

Listed = list[tuple[Path, int]]


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


def find_siblings(path: Path) -> Listed:
    """The rotated files of ``path`` with their inodes, oldest first; plain before compressed."""
    found: list[tuple[str, int, Path, int]] = []
    # a link is rotated, or what it leads to
    for own in {path, path.resolve()}:
        name = _name_of(own)
        try:
            entries = {entry: name.fullmatch(entry.name) for entry in own.parent.iterdir()}
        except OSError:
            continue
        for entry, match in entries.items():
            # while gzip works, the plain file is still whole and the other is not yet
            packed = entry.suffix in COMPRESSED and entry.with_suffix("") in entries
            if match is None or packed:
                continue
            try:
                status = entry.stat()
            except OSError:
                continue
            mark = "".join(match.groups(""))[1:]
            found.append((mark, status.st_mtime_ns, entry, status.st_ino))
    return [(entry, inode) for _, _, entry, inode in _in_order(found)][-_MOST:]


def _in_order(found: list[tuple[str, int, Path, int]]) -> list[tuple[str, int, Path, int]]:
    """Oldest first: numbers grow with age; dates must sort lexically (logrotate(8), dateformat)."""
    numbered = [mark.isdigit() and len(mark) < 5 for mark, *_ in found]
    if found and all(numbered):
        return sorted(found, key=lambda one: (-int(one[0]), one[1]))
    if any(numbered):
        return sorted(found, key=lambda one: one[1])
    return sorted(found)


def open_siblings(path: Path) -> list[Segment]:
    """The rotated files of ``path``, open, oldest first; those that cannot be read are left out.

    A rotation that is under way renames them one by one: looks again until nothing moves.
    """
    opened: list[Segment] = []
    for _ in range(_TRIES):
        close_all(opened)
        listed = find_siblings(path)
        opened = [segment for entry, _ in listed if (segment := _open(entry)) is not None]
        if find_siblings(path) == listed:
            break
    for segment in opened:
        segment.complete_head()
    return opened


def _open(path: Path) -> Segment | None:
    try:
        return Segment.open(path)
    except (OSError, EOFError):
        return None


def locate(segments: list[Segment], known: Position, row: list[Position]) -> int | None:
    """Which of ``segments`` (the last is the newest) is the content of ``known``.

    An inode is given again: without a head ``known`` is none that is another of ``row``.
    """
    same = [n for n, segment in enumerate(segments) if segment.is_file_of(known)]
    if not known.head:
        free = [n for n in same if not any(segments[n].begins_like(other) for other in row)]
        return next((n for n in free if segments[n].growing), None)
    alike = [n for n, segment in enumerate(segments) if segment.begins_like(known)]
    if is_part_of_line(known.head):
        # many begin so: it is the first that was written to since, unless its inode tells
        since = [n for n in alike if segments[n].position.modified >= known.modified]
        alike = [n for n in alike if n in same] or since[:1] or alike
    both = [n for n in alike if n in same]
    found = both or alike or [n for n, s in enumerate(segments) if s.is_shortened(known)]
    return found[-1] if found else None


def find_again(known: Position) -> Segment | None:
    """The content of ``known`` under the name it had."""
    segment = _open(Path(known.path))
    if segment is None or (known.head and segment.begins_like(known)):
        return segment
    segment.close()
    return None


def close_all(segments: list[Segment]) -> None:
    """Close every file."""
    for segment in segments:
        segment.close()

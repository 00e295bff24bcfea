"""Where a rotated log went: find its older content again under another name.

logrotate(8) renames (``auth.log.1``, ``auth.log-20260301``), copies and truncates, and
compresses. A name is only a hint; what counts is that the head is the same.
"""

import re
from pathlib import Path
from typing import Final

from exporter.sources.segment import COMPRESSED, Position, Segment

_MOST: Final = 100
_NUMBER: Final = r"[.\-_]\d[\d.\-_:T]*"
_PACKED: Final = "(?:" + "|".join(re.escape(suffix) for suffix in sorted(COMPRESSED)) + ")?"


def find_siblings(path: Path) -> list[Path]:
    """The rotated files of ``path``, oldest first by modification time; plain before compressed."""
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    name = re.compile(f"(?:{stem}{suffix}{_NUMBER}|{stem}{_NUMBER}{suffix}){_PACKED}")
    found: list[tuple[int, Path]] = []
    try:
        entries = [entry for entry in path.parent.iterdir() if name.fullmatch(entry.name)]
    except OSError:
        return []
    for entry in entries:
        # while gzip works, the plain file is still whole and the other is not yet
        plain = entry.with_suffix("") if entry.suffix in COMPRESSED else None
        if plain is not None and plain in entries:
            continue
        try:
            found.append((entry.stat().st_mtime_ns, entry))
        except OSError:
            continue
    return [entry for _, entry in sorted(found)][-_MOST:]


def find_rotated(path: Path, known: Position) -> tuple[Segment | None, list[Segment]]:
    """(The content of ``known``, where it is to be found; the rotated files that came after it).

    The segments are open, the first at the known offset. Files that cannot be read are left out.
    """
    before: list[Segment] = []
    found: Segment | None = None
    after: list[Segment] = []
    for sibling in find_siblings(path):
        try:
            segment = Segment.open(sibling)
        except (OSError, EOFError):
            continue
        if found is None and is_content_of(segment, known):
            segment.seek(known)
            found = segment
        else:
            (after if found else before).append(segment)
    if found is None:
        after = [s for s in before if s.position.modified > known.modified]
        before = [s for s in before if s not in after]
    for segment in before:
        segment.close()
    return found, after


def is_content_of(segment: Segment, known: Position) -> bool:
    """Whether an open file is what ``known`` speaks of; what was empty is known by its inode."""
    if known.head:
        return segment.begins_like(known)
    own = segment.position
    return (own.device, own.inode) == (known.device, known.inode)

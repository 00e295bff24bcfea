"""Which files a pattern matches, and where links among them point.

A path in the configuration may be a link, because an administrator chose it. What matches a pattern
was created by anyone who can write to that folder: a link there must not make the exporter read a
file that only the exporter may read.
"""

import glob
import os
from fnmatch import fnmatchcase
from pathlib import Path


def folder_of(pattern: str) -> Path:
    """Return the folder before the first part with a wildcard."""
    folder = Path(pattern).parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return folder


def is_match(path: str, pattern: str) -> bool:
    """Return whether ``path`` matches part by part, like glob(3)."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(_is_part, parts, wanted))


def _is_part(part: str, wanted: str) -> bool:
    return fnmatchcase(part, wanted) and (not part.startswith(".") or wanted.startswith("."))


def follow_link(path: str, pattern: str) -> str | None:
    """Return the target of a match if there is a link in the part with wildcards, else None."""
    base = folder_of(pattern)
    own = os.path.join(os.path.realpath(base), os.path.relpath(path, base))  # noqa: PTH118
    target = os.path.realpath(path)
    return None if target == own else target


def resolve_pattern(pattern: str) -> str:
    """Resolve the links in the part of the pattern without wildcards."""
    base = folder_of(pattern)
    return os.path.join(os.path.realpath(base), os.path.relpath(pattern, base))  # noqa: PTH118

"""Which files a pattern stands for, and where links among them lead.

A path in the configuration may be a link, for whoever wrote it chose it. What matches a pattern
was laid there by anyone who may write to that folder: such a link must not lead to a file that the
exporter may read and its maker may not.
"""

import glob
import os
from fnmatch import fnmatchcase
from pathlib import Path


def folder_of(pattern: str) -> Path:
    """The folder before the first part with a wildcard."""
    folder = Path(pattern).parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return folder


def is_match(path: str, pattern: str) -> bool:
    """Whether ``path`` matches part by part, as glob(3) does."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(_is_part, parts, wanted))


def _is_part(part: str, wanted: str) -> bool:
    return fnmatchcase(part, wanted) and (not part.startswith(".") or wanted.startswith("."))


def follow_link(path: str, pattern: str) -> str | None:
    """Where a match leads to if there is a link in the part with the wildcards, else None."""
    base = folder_of(pattern)
    own = os.path.join(os.path.realpath(base), os.path.relpath(path, base))  # noqa: PTH118
    target = os.path.realpath(path)
    return None if target == own else target


def resolve_pattern(pattern: str) -> str:
    """The pattern with the links resolved in the part that the configuration spells out."""
    base = folder_of(pattern)
    return os.path.join(os.path.realpath(base), os.path.relpath(pattern, base))  # noqa: PTH118

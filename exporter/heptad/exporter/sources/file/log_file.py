"""Read whole lines of one log file from a position, and detect that it was replaced.

A file is identified by device, inode, its first bytes and the bytes right before the position: an
inode is reused, a path refers to another file after every rotation, and an editor replaces a file.
All are compared after each read, so that a file that was truncated and rewritten meanwhile is not
mistaken for the old one.
"""

import bz2
import errno
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO, Annotated, Any, Final

import msgspec

from heptad.core.terminal import show_path
from heptad.exporter.parsing.repeated_lines import refers
from heptad.exporter.sources.file.lines import Lines, cut, decode
from heptad.exporter.sources.file.paths import is_passing, key_of, open_regular, path_of
from heptad.exporter.sources.file.recent_lines import MOST_BYTES

FINGERPRINT_SIZE: Final = 1024
TAIL: Final = 512
CHUNK: Final = 2**17
_OPENERS: Final[dict[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
COMPRESSED: Final = frozenset(_OPENERS)
_BEFORE: Final = 4096
"""Bytes that are read before a line that refers to the line before it."""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where reading continues: the identity of a file and the offset of its next line.

    ``path`` is the key of the path (``key_of``). ``fingerprint`` is the file's first bytes, at most
    ``FINGERPRINT_SIZE``; ``tail`` is the bytes right before the offset, at most ``TAIL``.
    ``modified`` is the file's modification time at the last read, in nanoseconds. ``skipping``: the
    offset is within an oversized line, the rest of which is skipped. A file without a whole line
    has no fingerprint and is identified by its inode alone.
    """

    path: str
    device: int
    inode: int
    fingerprint: bytes = msgspec.field(name="head")
    offset: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    modified: int = 0
    skipping: bool = False
    tail: bytes = b""


class FileChange(Enum):
    """The result of checking an open file."""

    SAME = "the same file, with all that was read"
    FILLED = "had no whole line, and was written to since, once or several times"
    CHANGED = "does not hold what was read: cut, or written anew"


class LogFile:
    """A readable file, plain or compressed; ``checkpoint`` advances with every ``read``."""

    def __init__(self, file: IO[bytes], path: Path, name: Path) -> None:
        self._file, self._number = file, file.fileno()
        status = os.fstat(self._number)
        self.growing = path.suffix not in COMPRESSED
        self._unpacked = None if self.growing else _OPENERS[path.suffix](file)
        self.copied_from: LogFile | None = None
        self._opened = status
        self._start = self.read_at(0, FINGERPRINT_SIZE)
        fingerprint = _fingerprint_of(self._start) if self.growing else self._start
        key, modified = key_of(os.fspath(name)), status.st_mtime_ns
        self.checkpoint = Checkpoint(key, status.st_dev, status.st_ino, fingerprint, 0, modified)

    @property
    def path(self) -> str:
        """The path it was opened under, printable."""
        return show_path(path_of(self.checkpoint.path))

    @classmethod
    def open(cls, path: Path, base: Path | None = None, name: Path | None = None) -> "LogFile":
        """Open a file at its beginning; if ``base`` is given, no link below it is followed.

        ``name``: the target, if ``path`` is a link, because the link may change until the next
        start. Raises OSError, or EOFError if the file is still being compressed.
        """
        file = os.fdopen(open_regular(path, base), "rb")
        try:
            return cls(file, path, name or path)
        except BaseException:
            file.close()
            raise

    def seek(self, known: Checkpoint, *, at_path: bool = False) -> None:
        """Continue at the offset of a checkpoint of the same content."""
        here = self.checkpoint
        self.checkpoint = msgspec.structs.replace(
            here,
            fingerprint=max(here.fingerprint, known.fingerprint, key=len),
            offset=known.offset,
            skipping=known.skipping,
            tail=known.tail,
        )
        copied = not at_path and not self.is_file_of(known)
        if copied and self.growing and self.size() < known.offset:
            # copied, then read further, then truncated: all of the copy was read
            self.go_to(self.size())

    def go_to(self, offset: int) -> None:
        """Continue at another line start of the same file."""
        self._renew_fingerprint()
        begin = max(0, offset - TAIL)
        tail = self.read_at(begin, offset - begin)
        self.checkpoint = msgspec.structs.replace(
            self.checkpoint, offset=offset, tail=tail, skipping=False
        )

    def is_intact(self) -> bool:
        """Return whether all content from when it was opened may still be there."""
        if not self.growing:
            return True
        start = os.pread(self._number, len(self._start), 0)
        return start == self._start and self.size() >= self._opened.st_size

    def is_unchanged(self) -> bool:
        """Return whether the file was not written to since it was opened."""
        now, then = os.fstat(self._number), self._opened
        return (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)

    def begins_like(self, known: Checkpoint) -> bool:
        """Return whether the content starts with the fingerprint of ``known``."""
        return bool(known.fingerprint) and self._start.startswith(known.fingerprint)

    def is_shortened(self, known: Checkpoint) -> bool:
        """Return whether the content is only the beginning of that of ``known``."""
        return _is_beginning(self._start, known.fingerprint)

    def is_begun_of(self, known: Checkpoint) -> bool:
        """Return whether the content, possibly empty, is the beginning of that of ``known``."""
        if not self.growing or self.size() >= known.offset:
            return False
        return known.fingerprint.startswith(self._start) or self.begins_like(known)

    def is_copied_in(self, other: "LogFile", *, known: bool) -> bool:
        """Return whether ``other`` is a copy of this file in progress, before a truncation.

        An empty file may be one if this file is not new but ``known``.
        """
        return bool(other._start or known) and self._start.startswith(other._start)  # noqa: SLF001

    def is_at(self, status: os.stat_result) -> bool:
        """Return whether ``status`` belongs to this open file."""
        own = self.checkpoint
        return (status.st_dev, status.st_ino) == (own.device, own.inode)

    def is_file_of(self, known: Checkpoint) -> bool:
        """Return whether this file has the inode of ``known``."""
        own = self.checkpoint
        return (known.device, known.inode) == (own.device, own.inode)

    def check(self) -> FileChange:
        """Return whether the open file still has the content that was read."""
        known = self.checkpoint
        if not self.growing:
            return FileChange.SAME
        # size first: a truncation between the two then shows in the fingerprint or the tail
        status = os.fstat(self._number)
        if os.pread(self._number, len(known.fingerprint), 0) != known.fingerprint:
            return FileChange.CHANGED
        if not known.fingerprint and status.st_mtime_ns != known.modified:
            return FileChange.FILLED
        if status.st_size < known.offset or not self._has_tail(known):
            return FileChange.CHANGED
        return FileChange.SAME

    def _has_tail(self, known: Checkpoint) -> bool:
        size = len(known.tail)
        return os.pread(self._number, size, known.offset - size) == known.tail

    def holds(self, known: Checkpoint) -> bool:
        """Return whether this file has the tail of ``known`` at the same position."""
        size = len(known.tail)
        try:
            return self.read_at(known.offset - size, size) == known.tail
        except (OSError, EOFError) as error:  # a corrupt compressed file
            if is_passing(error):
                raise
            return False

    def behind(self) -> int:
        """Return the number of unread bytes; 0 for a compressed file, where it is unknown."""
        return max(0, self.size() - self.checkpoint.offset) if self.growing else 0

    def size(self) -> int:
        """Return the size of an uncompressed file."""
        return os.fstat(self._number).st_size

    def take_fingerprint(self, other: "LogFile") -> None:
        """Take the longer fingerprint of the same file, opened again.

        The fingerprint is not read now: the file may have been copied and truncated in between.
        """
        here, there = self.checkpoint, other.checkpoint
        if (
            self.growing
            and is_part_of_line(here.fingerprint)
            and there.fingerprint.startswith(here.fingerprint)
        ):
            self.checkpoint = msgspec.structs.replace(
                here, fingerprint=there.fingerprint, modified=there.modified
            )

    def complete_fingerprint(self, *, rotated: bool = True) -> None:
        """Read the fingerprint of a file that has none, or only a part of its first line.

        For a ``rotated`` file this is final: its only line may never be completed.
        """
        if self.growing and is_part_of_line(self.checkpoint.fingerprint):
            self._renew_fingerprint(rotated=rotated)

    def _renew_fingerprint(self, *, rotated: bool = False) -> None:
        modified = os.fstat(self._number).st_mtime_ns
        start = os.pread(self._number, FINGERPRINT_SIZE, 0)
        fingerprint = start if rotated else _fingerprint_of(start)
        self.checkpoint = msgspec.structs.replace(
            self.checkpoint, fingerprint=fingerprint, modified=modified
        )

    def read(self, max_line: int, *, final: bool = False) -> Lines | None:
        """Return the next whole lines; None if there are none, or the file was replaced meanwhile.

        ``final``: the file is complete, so a last line without a line end counts too. Raises
        OSError or EOFError.
        """
        here = self.checkpoint
        size = max(CHUNK, max_line + 1)
        data = self.read_at(here.offset, size)
        if not data:
            return None
        final = final and len(data) < size
        found = cut(data, max_line, skipping=here.skipping, final=final)
        before = self._read_before(data)
        if found is None or self.check() is not FileChange.SAME:
            return None
        end, lines, skipping = found
        lines.before, lines.data = before, data[max(0, end - MOST_BYTES) : end]
        offset, fingerprint = here.offset + end, here.fingerprint
        if here.offset < FINGERPRINT_SIZE:
            # from the bytes that were read, because the file may be another one by now
            fingerprint = _fingerprint_of(fingerprint[: here.offset] + data, offset)
        tail = data[end - TAIL : end] if end >= TAIL else (here.tail + data[:end])[-TAIL:]
        self.checkpoint = msgspec.structs.replace(
            here,
            fingerprint=fingerprint,
            offset=offset,
            skipping=skipping,
            modified=os.fstat(self._number).st_mtime_ns,
            tail=tail,
        )
        return lines

    def is_settled(self, now: int, quiet: int) -> bool:
        """Return whether nothing will be added: compressed, or not modified for ``quiet`` ns.

        A modification time in the future means that the clock was set back.
        """
        if not self.growing:
            return True
        return abs(now - os.fstat(self._number).st_mtime_ns) > quiet

    def read_at(self, offset: int, size: int) -> bytes:
        """Return at most ``size`` bytes of the content at ``offset``; raises OSError, EOFError."""
        if self._unpacked is None:
            return os.pread(self._number, size, offset)
        try:
            self._unpacked.seek(offset)
            return bytes(self._unpacked.read(size))
        except (lzma.LZMAError, zlib.error) as error:
            raise OSError(errno.EIO, str(error)) from None

    def _read_before(self, data: bytes) -> str:
        """Read the lines before ``data`` that its first line refers to; no state holds them."""
        here = self.checkpoint
        if not self.growing or here.skipping or not refers(decode(data[: data.find(b"\n") + 1])):
            return ""
        begin = max(0, here.offset - _BEFORE)
        known = os.pread(self._number, here.offset - begin, begin)
        return decode(known[known.find(b"\n") + 1 if begin else 0 :])

    def close(self) -> None:
        if self._unpacked is not None:
            self._unpacked.close()
        self._file.close()


def _fingerprint_of(data: bytes, used: int = 0) -> bytes:
    """Return the fingerprint of a file that starts with ``data``: more than part of a line."""
    fingerprint = data[:FINGERPRINT_SIZE]
    return (
        fingerprint
        if len(fingerprint) == FINGERPRINT_SIZE
        else fingerprint[: max(fingerprint.rfind(b"\n") + 1, used)]
    )


def is_part_of_line(fingerprint: bytes) -> bool:
    """Return whether a fingerprint is only part of a line: many logs start with the same digit."""
    return len(fingerprint) < FINGERPRINT_SIZE and b"\n" not in fingerprint


def _is_beginning(fingerprint: bytes, of: bytes) -> bool:
    """Return whether a shorter fingerprint has the same first lines as ``of``."""
    return len(fingerprint) < len(of) and of.startswith(fingerprint) and b"\n" in fingerprint

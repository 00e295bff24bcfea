"""One file of a log, from a position on: read whole lines, notice when it is another file.

A file is known by device, inode, its head and the bytes right before the position: an inode is
given again, a path is another file after every rotation, and an editor writes a file anew in its
place. All are compared after each read, so that a file that was cut and written anew in between
never passes for the old one.
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
"""Bytes that are looked at before a line that refers to the one before it."""


class Checkpoint(msgspec.Struct, frozen=True):
    """Where reading goes on: the file's identity and the offset of the next line in it.

    ``path`` is the key of the path. ``head`` holds the file's first bytes, at most ``HEAD``, and
    ``tail`` those right before the offset, at most ``TAIL``; ``modified`` is the file's
    modification time when it was read last, in nanoseconds. ``skipping``: the offset lies inside
    a line above the maximum, of which the rest is passed over. A file without a whole line has no
    head and is known by its inode alone.
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
    """What a look at an open file shows."""

    SAME = "the same file, with all that was read"
    FILLED = "had no whole line, and was written to since, once or several times"
    CHANGED = "does not hold what was read: cut, or written anew"


class LogFile:
    """A readable file, plain or compressed; ``position`` moves with every ``read``."""

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
        """The path it was opened under, as it is shown."""
        return show_path(path_of(self.checkpoint.path))

    @classmethod
    def open(cls, path: Path, base: Path | None = None, name: Path | None = None) -> "LogFile":
        """A file from its beginning; below ``base``, if one is given, no link is followed.

        ``name``: its own, where ``path`` is a link, which may lead elsewhere by the next start.
        Raises OSError, or EOFError where compressing is under way.
        """
        file = os.fdopen(open_regular(path, base), "rb")
        try:
            return cls(file, path, name or path)
        except BaseException:
            file.close()
            raise

    def seek(self, known: Checkpoint, *, at_path: bool = False) -> None:
        """Go on at the offset of a position in this same content."""
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
            # copied, then read on, then truncated: all that the copy holds was read
            self.go_to(self.size())

    def go_to(self, offset: int) -> None:
        """Go on at another place of the same file, which is the begin of a line."""
        self._renew_fingerprint()
        begin = max(0, offset - TAIL)
        tail = self.read_at(begin, offset - begin)
        self.checkpoint = msgspec.structs.replace(
            self.checkpoint, offset=offset, tail=tail, skipping=False
        )

    def is_intact(self) -> bool:
        """Whether all that it had when it was opened may be there still."""
        if not self.growing:
            return True
        start = os.pread(self._number, len(self._start), 0)
        return start == self._start and self.size() >= self._opened.st_size

    def is_unchanged(self) -> bool:
        """Whether nobody has written to it since it was opened."""
        now, then = os.fstat(self._number), self._opened
        return (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns)

    def begins_like(self, known: Checkpoint) -> bool:
        """Whether the content begins with what ``known`` was taken of."""
        return bool(known.fingerprint) and self._start.startswith(known.fingerprint)

    def is_shortened(self, known: Checkpoint) -> bool:
        """Whether all that is there is the beginning of what ``known`` was taken of."""
        return _is_beginning(self._start, known.fingerprint)

    def is_begun_of(self, known: Checkpoint) -> bool:
        """Whether what is there, maybe nothing, is the beginning of what ``known`` was taken of."""
        if not self.growing or self.size() >= known.offset:
            return False
        return known.fingerprint.startswith(self._start) or self.begins_like(known)

    def is_copied_in(self, other: "LogFile", *, known: bool) -> bool:
        """Whether ``other`` is a copy of this file that is made just now, before it is truncated.

        An empty one may be, if this is no new file but a ``known`` one.
        """
        return bool(other._start or known) and self._start.startswith(other._start)  # noqa: SLF001

    def is_at(self, status: os.stat_result) -> bool:
        """Whether ``status`` is that of this open file."""
        own = self.checkpoint
        return (status.st_dev, status.st_ino) == (own.device, own.inode)

    def is_file_of(self, known: Checkpoint) -> bool:
        """Whether this file has the inode of ``known``."""
        own = self.checkpoint
        return (known.device, known.inode) == (own.device, own.inode)

    def check(self) -> FileChange:
        """Whether the open file still is what was read so far."""
        known = self.checkpoint
        if not self.growing:
            return FileChange.SAME
        # the size first: a truncation between the two then shows in the head or the tail
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
        """Whether what was read right before ``known`` stands there in this file, too."""
        size = len(known.tail)
        try:
            return self.read_at(known.offset - size, size) == known.tail
        except (OSError, EOFError) as error:  # a compressed file that is broken
            if is_passing(error):
                raise
            return False

    def behind(self) -> int:
        """Bytes that are there and not read yet; 0 for a compressed file, where nobody knows."""
        return max(0, self.size() - self.checkpoint.offset) if self.growing else 0

    def size(self) -> int:
        """Bytes of a file that grows."""
        return os.fstat(self._number).st_size

    def take_fingerprint(self, other: "LogFile") -> None:
        """What the same file, opened anew, had as its head: this one has none, or a part of it.

        Not what it has by now: between the two it may have been copied and cut.
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
        """Give a file that has no head yet, or a part of its first line only, the one it has now.

        Of a ``rotated`` one that is all there is: it may never get the end of its only line.
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
        """The next whole lines; None if there is none, or the file was replaced meanwhile.

        ``final``: nothing will follow any more, so a last line without its end counts too.
        Raises OSError or EOFError.
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
            # from the bytes that were read, not from the file: that may be another by now
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
        """Whether nothing will be added any more: compressed, or not modified for ``quiet`` ns.

        A time of modification in the future means that the clock was set back since.
        """
        if not self.growing:
            return True
        return abs(now - os.fstat(self._number).st_mtime_ns) > quiet

    def read_at(self, offset: int, size: int) -> bytes:
        """At most ``size`` bytes of the content from ``offset`` on. Raises OSError or EOFError."""
        if self._unpacked is None:
            return os.pread(self._number, size, offset)
        try:
            self._unpacked.seek(offset)
            return bytes(self._unpacked.read(size))
        except (lzma.LZMAError, zlib.error) as error:
            raise OSError(errno.EIO, str(error)) from None

    def _read_before(self, data: bytes) -> str:
        """The lines before ``data`` that its first line refers to; so no state has to hold them."""
        here = self.checkpoint
        if not self.growing or here.skipping or not refers(decode(data[: data.find(b"\n") + 1])):
            return ""
        begin = max(0, here.offset - _BEFORE)
        known = os.pread(self._number, here.offset - begin, begin)
        return decode(known[known.find(b"\n") + 1 if begin else 0 :])

    def close(self) -> None:
        """Close the file."""
        if self._unpacked is not None:
            self._unpacked.close()
        self._file.close()


def _fingerprint_of(data: bytes, used: int = 0) -> bytes:
    """What tells a file that begins with ``data`` from others: more than the start of a line."""
    fingerprint = data[:FINGERPRINT_SIZE]
    return (
        fingerprint
        if len(fingerprint) == FINGERPRINT_SIZE
        else fingerprint[: max(fingerprint.rfind(b"\n") + 1, used)]
    )


def is_part_of_line(fingerprint: bytes) -> bool:
    """Whether a head is not even a whole line: every log of a year begins with the same digit."""
    return len(fingerprint) < FINGERPRINT_SIZE and b"\n" not in fingerprint


def _is_beginning(fingerprint: bytes, of: bytes) -> bool:
    """Whether a file that begins with less than ``of`` holds the same lines: the rest was lost."""
    return len(fingerprint) < len(of) and of.startswith(fingerprint) and b"\n" in fingerprint

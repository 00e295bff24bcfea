"""One file of a log, from a position on: read whole lines, notice when it is another file.

A file is known by device, inode and its head: an inode alone is given again, a path alone is
another file after every rotation. The head is compared after each read, so that a file that was
cut and written anew in between never passes for the old one.
"""

import bz2
import errno
import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO, Any, Final

import msgspec

HEAD: Final = 1024
CHUNK: Final = 2**19
_OPENERS: Final[dict[str, Callable[[Path], Any]]] = {
    ".gz": lambda path: gzip.open(path, "rb"),
    ".bz2": lambda path: bz2.open(path, "rb"),
    ".xz": lambda path: lzma.open(path, "rb"),
}
COMPRESSED: Final = frozenset(_OPENERS)


class Position(msgspec.Struct, frozen=True):
    """Where reading goes on: the file's identity and the offset of the next line in it.

    ``head`` holds its first bytes, at most ``HEAD``; ``modified`` is the file's modification time
    when it was read last, in nanoseconds. ``skipping``: the offset lies inside a line
    above the maximum, of which the rest is passed over.
    """

    path: str
    device: int
    inode: int
    head: bytes
    offset: int
    modified: int = 0
    skipping: bool = False


class Fate(Enum):
    """What a look at an open file shows."""

    SAME = "the same file, not shorter than what was read"
    LOST_TAIL = "the same head, but shorter than what was read"
    REPLACED = "another content under the same inode"


class Lines(msgspec.Struct):
    """What one read gave: whole lines without their ends, and how many were too long."""

    lines: list[str]
    read_bytes: int
    oversized: int = 0


class Segment:
    """A readable file, plain or compressed; ``position`` moves with every ``read``."""

    def __init__(self, file: IO[bytes], position: Position, *, growing: bool) -> None:
        self.position = position
        self.growing = growing
        self._file = file

    @property
    def path(self) -> str:
        """The path it was opened under."""
        return self.position.path

    @classmethod
    def open(cls, path: Path) -> "Segment":
        """A file from its beginning; raises OSError, or EOFError where compressing is under way."""
        if path.suffix in COMPRESSED:
            return cls._open_compressed(path)
        file = open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            file.close()
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        head = os.pread(file.fileno(), HEAD, 0)
        position = Position(str(path), status.st_dev, status.st_ino, head, 0, status.st_mtime_ns)
        return cls(file, position, growing=True)

    @classmethod
    def _open_compressed(cls, path: Path) -> "Segment":
        file = _OPENERS[path.suffix](path)
        try:
            head = file.read(HEAD)
        except (lzma.LZMAError, zlib.error) as error:
            raise OSError(errno.EIO, str(error), str(path)) from None
        file.seek(0)
        status = path.stat()
        position = Position(str(path), status.st_dev, status.st_ino, head, 0, status.st_mtime_ns)
        return cls(file, position, growing=False)

    def seek(self, known: Position) -> None:
        """Go on at the offset of a position in this same content."""
        self.position = msgspec.structs.replace(
            self.position, offset=known.offset, skipping=known.skipping
        )
        if not self.growing:
            self._file.seek(known.offset)

    def begins_like(self, known: Position) -> bool:
        """Whether the content begins with what ``known`` was taken of."""
        return bool(known.head) and self._head(len(known.head)) == known.head

    def _head(self, length: int) -> bytes:
        if self.growing:
            return os.pread(self._file.fileno(), length, 0)
        here = self._file.tell()
        self._file.seek(0)
        head = self._file.read(length)
        self._file.seek(here)
        return head

    def is_at(self, status: os.stat_result) -> bool:
        """Whether ``status`` is that of this open file."""
        own = self.position
        return (status.st_dev, status.st_ino) == (own.device, own.inode)

    def look(self) -> Fate:
        """Whether the open file still is what was read so far."""
        if not self.growing:
            return Fate.SAME
        known = self.position.head
        head = self._head(len(known))
        if head == known:
            size = os.fstat(self._file.fileno()).st_size
            return Fate.SAME if size >= self.position.offset else Fate.LOST_TAIL
        # shorter than the head, but the same lines: the rest was lost, it is not a new file
        same_lines = known.startswith(head) and b"\n" in head
        return Fate.LOST_TAIL if same_lines else Fate.REPLACED

    def behind(self) -> int:
        """Bytes that are there and not read yet; 0 for a compressed file, where nobody knows."""
        if not self.growing:
            return 0
        return max(0, os.fstat(self._file.fileno()).st_size - self.position.offset)

    def go_to_end(self) -> None:
        """Go on behind what is there now."""
        size = os.fstat(self._file.fileno()).st_size
        self.position = msgspec.structs.replace(self.position, offset=size, skipping=False)

    def read(self, max_line: int, *, final: bool = False) -> Lines | None:
        """The next whole lines; None if there is none, or the file was replaced meanwhile.

        ``final``: nothing will follow any more, so a last line without its end counts too.
        """
        data = self._read_chunk(max(CHUNK, max_line + 1))
        if not data:
            return None
        found = self._cut(data, max_line, final=final)
        if found is None or self.look() is not Fate.SAME:
            return None
        end, lines, skipping = found
        here = self.position
        self.position = msgspec.structs.replace(
            here,
            # from the bytes that were read, not from the file: that may be another by now
            head=(here.head[: here.offset] + data)[:HEAD] if here.offset < HEAD else here.head,
            offset=here.offset + end,
            skipping=skipping,
            modified=os.fstat(self._file.fileno()).st_mtime_ns,
        )
        return lines

    def is_settled(self, now: int, quiet: int) -> bool:
        """Whether nothing will be added any more: compressed, or not modified for ``quiet`` ns."""
        if not self.growing:
            return True
        return now - os.fstat(self._file.fileno()).st_mtime_ns > quiet

    def _read_chunk(self, size: int) -> bytes:
        if self.growing:
            return os.pread(self._file.fileno(), size, self.position.offset)
        self._file.seek(self.position.offset)
        return bytes(self._file.read(size))

    def _cut(self, data: bytes, max_line: int, *, final: bool) -> tuple[int, Lines, bool] | None:
        """(bytes used, the lines, whether the next byte belongs to a line that is passed over)."""
        oversized = 0
        # a copytruncate under a writer that does not append leaves a hole of NUL bytes
        begin = len(data) - len(data.lstrip(b"\0"))
        if self.position.skipping:
            begin = data.find(b"\n") + 1
            if begin == 0:
                return len(data), Lines([], len(data)), not final
        end = data.rfind(b"\n") + 1
        if end <= begin:
            if len(data) - begin > max_line:
                return len(data), Lines([], len(data), 1), not final
            if not final or self._more_follows(len(data)):
                return (begin, Lines([], begin), False) if begin else None
            end = len(data)
        elif final and not self._more_follows(len(data)):
            end = len(data)
        text = data[begin:end].decode("utf-8", "backslashreplace")
        lines = text.replace("\r\n", "\n").split("\n")
        if not lines[-1]:
            lines.pop()
        if len(data) > max_line:
            whole = len(lines)
            lines = [line for line in lines if len(line) <= max_line]
            oversized = whole - len(lines)
        return end, Lines(lines, end, oversized), False

    def _more_follows(self, length: int) -> bool:
        return length >= CHUNK

    def close(self) -> None:
        """Close the file."""
        self._file.close()

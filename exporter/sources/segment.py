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

from exporter.parsers.folding import refers

HEAD: Final = 1024
CHUNK: Final = 2**17
_OPENERS: Final[dict[str, Callable[[Path], Any]]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
}
COMPRESSED: Final = frozenset(_OPENERS)
_BEFORE: Final = 4096
"""Bytes that are looked at before a line that refers to the one before it."""


class Position(msgspec.Struct, frozen=True):
    """Where reading goes on: the file's identity and the offset of the next line in it.

    ``head`` holds its first bytes, at most ``HEAD``; ``modified`` is the file's modification time
    when it was read last, in nanoseconds. ``skipping``: the offset lies inside a line
    above the maximum, of which the rest is passed over. A file without a whole line has no head
    and is known by its inode alone.
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
    FILLED = "had no whole line, and was written to since, once or several times"
    LOST_TAIL = "the same head, but shorter than what was read"
    REPLACED = "another content under the same inode"


class Lines(msgspec.Struct):
    """What one read gave: the text of whole lines, and how many others were too long.

    ``hole`` counts the NUL bytes that were there instead of lines. ``before`` is the text right
    before, where the first line refers to it (exporter.parsers.folding).
    """

    text: str
    read_bytes: int
    oversized: int = 0
    hole: int = 0
    before: str = ""


class Segment:
    """A readable file, plain or compressed; ``position`` moves with every ``read``."""

    def __init__(self, file: IO[bytes], path: Path, status: os.stat_result, start: bytes) -> None:
        self.growing = path.suffix not in COMPRESSED
        head = _head_of(start) if self.growing else start
        # by its own name, not a link's: the link may lead elsewhere by the next start
        name, modified = os.path.realpath(path), status.st_mtime_ns
        self.position = Position(name, status.st_dev, status.st_ino, head, 0, modified)
        self._file = file
        self._start = start

    @property
    def path(self) -> str:
        """The path it was opened under."""
        return self.position.path

    @classmethod
    def open(cls, path: Path) -> "Segment":
        """A file from its beginning; raises OSError, or EOFError where compressing is under way."""
        status = path.stat()
        # before it is opened: a FIFO's writer would notice
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if path.suffix in COMPRESSED:
            return cls._open_compressed(path, status)
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(number)
            start = os.pread(number, HEAD, 0)
            return cls(os.fdopen(number, "rb", buffering=0), path, status, start)
        except BaseException:
            os.close(number)
            raise

    @classmethod
    def _open_compressed(cls, path: Path, status: os.stat_result) -> "Segment":
        file = _OPENERS[path.suffix](path)
        try:
            start = file.read(HEAD)
            file.seek(0)
        except (lzma.LZMAError, zlib.error) as error:
            file.close()
            raise OSError(errno.EIO, str(error), str(path)) from None
        except BaseException:
            file.close()
            raise
        return cls(file, path, status, start)

    def seek(self, known: Position, *, at_path: bool = False) -> None:
        """Go on at the offset of a position in this same content."""
        here = self.position
        self.position = msgspec.structs.replace(
            here,
            head=max(here.head, known.head, key=len),
            offset=known.offset,
            skipping=known.skipping,
        )
        copied = not at_path and not self.is_file_of(known)
        if copied and self.growing and self._size() < known.offset:
            # copied, then read on, then truncated: all that the copy holds was read
            self.go_to_end()

    def begins_like(self, known: Position) -> bool:
        """Whether the content begins with what ``known`` was taken of."""
        return bool(known.head) and self._start.startswith(known.head)

    def is_shortened(self, known: Position) -> bool:
        """Whether all that is there is the beginning of what ``known`` was taken of."""
        return _is_beginning(self._start, known.head)

    def is_copied_in(self, other: "Segment", *, known: bool) -> bool:
        """Whether ``other`` is a copy of this file that is made just now, before it is truncated.

        An empty one may be, if this is no new file but a ``known`` one.
        """
        return bool(other._start or known) and self._start.startswith(other._start)  # noqa: SLF001

    def is_at(self, status: os.stat_result) -> bool:
        """Whether ``status`` is that of this open file."""
        own = self.position
        return (status.st_dev, status.st_ino) == (own.device, own.inode)

    def is_file_of(self, known: Position) -> bool:
        """Whether this file has the inode of ``known``."""
        own = self.position
        return (known.device, known.inode) == (own.device, own.inode)

    def look(self) -> Fate:
        """Whether the open file still is what was read so far."""
        known = self.position
        if not self.growing:
            return Fate.SAME
        # the size first: a truncation between the two then shows in the head
        status = os.fstat(self._file.fileno())
        head = os.pread(self._file.fileno(), len(known.head), 0)
        if head != known.head:
            return Fate.LOST_TAIL if _is_beginning(head, known.head) else Fate.REPLACED
        if not head and status.st_mtime_ns != known.modified:
            return Fate.FILLED
        return Fate.SAME if status.st_size >= known.offset else Fate.LOST_TAIL

    def behind(self) -> int:
        """Bytes that are there and not read yet; 0 for a compressed file, where nobody knows."""
        return max(0, self._size() - self.position.offset) if self.growing else 0

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def go_to_end(self) -> None:
        """Go on behind what is there now."""
        self._renew_head()
        self.position = msgspec.structs.replace(self.position, offset=self._size(), skipping=False)

    def complete_head(self, *, rotated: bool = True) -> None:
        """Give a file that has no head yet, or a part of its first line only, the one it has now.

        Of a ``rotated`` one that is all there is: it may never get the end of its only line.
        """
        if self.growing and is_part_of_line(self.position.head):
            self._renew_head(rotated=rotated)

    def _renew_head(self, *, rotated: bool = False) -> None:
        modified = os.fstat(self._file.fileno()).st_mtime_ns
        start = os.pread(self._file.fileno(), HEAD, 0)
        head = start if rotated else _head_of(start)
        self.position = msgspec.structs.replace(self.position, head=head, modified=modified)

    def read(self, max_line: int, *, final: bool = False) -> Lines | None:
        """The next whole lines; None if there is none, or the file was replaced meanwhile.

        ``final``: nothing will follow any more, so a last line without its end counts too.
        Raises OSError or EOFError.
        """
        here = self.position
        size = max(CHUNK, max_line + 1)
        data = self._read_chunk(size)
        if not data:
            return None
        found = self._cut(data, max_line, final=final and len(data) < size)
        before = self._read_before(data)
        if found is None or self.look() is not Fate.SAME:
            return None
        end, lines, skipping = found
        lines.before = before
        offset, head = here.offset + end, here.head
        if here.offset < HEAD:
            # from the bytes that were read, not from the file: that may be another by now
            head = _head_of(head[: here.offset] + data, offset)
        self.position = msgspec.structs.replace(
            here,
            head=head,
            offset=offset,
            skipping=skipping,
            modified=os.fstat(self._file.fileno()).st_mtime_ns,
        )
        return lines

    def is_settled(self, now: int, quiet: int) -> bool:
        """Whether nothing will be added any more: compressed, or not modified for ``quiet`` ns.

        A time of modification in the future means that the clock was set back since.
        """
        if not self.growing:
            return True
        return abs(now - os.fstat(self._file.fileno()).st_mtime_ns) > quiet

    def _read_chunk(self, size: int) -> bytes:
        if self.growing:
            return os.pread(self._file.fileno(), size, self.position.offset)
        try:
            self._file.seek(self.position.offset)
            return bytes(self._file.read(size))
        except (lzma.LZMAError, zlib.error) as error:
            raise OSError(errno.EIO, str(error), self.path) from None

    def _read_before(self, data: bytes) -> str:
        """The lines before ``data`` that its first line refers to; so no state has to hold them."""
        here = self.position
        if not self.growing or here.skipping or not refers(_decode(data[: data.find(b"\n") + 1])):
            return ""
        begin = max(0, here.offset - _BEFORE)
        known = os.pread(self._file.fileno(), here.offset - begin, begin)
        return _decode(known[known.find(b"\n") + 1 if begin else 0 :])

    def _cut(self, data: bytes, max_line: int, *, final: bool) -> tuple[int, Lines, bool] | None:
        """(bytes used, the lines, whether the next byte belongs to a line that is passed over)."""
        begin, hole = 0, 0
        if self.position.skipping:
            begin = data.find(b"\n") + 1
            if begin == 0:
                return len(data), Lines("", len(data)), True
        elif data[0] == 0:
            # a copytruncate under a writer that does not append leaves a hole of NUL bytes
            begin = hole = len(data) - len(data.lstrip(b"\0"))
        end = len(data) if final else data.rfind(b"\n") + 1
        if end <= begin:
            if len(data) - begin > max_line:
                return len(data), Lines("", len(data), 1, hole), True
            return (begin, Lines("", begin, 0, hole), False) if begin else None
        text, oversized = data[begin:end], 0
        if len(text) > max_line:
            text, oversized = _pass_over(text, max_line)
        return end, Lines(_decode(text), end, oversized, hole), False

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")


def _head_of(data: bytes, used: int = 0) -> bytes:
    """What tells a file that begins with ``data`` from others: more than the start of a line."""
    head = data[:HEAD]
    return head if len(head) == HEAD else head[: max(head.rfind(b"\n") + 1, used)]


def is_part_of_line(head: bytes) -> bool:
    """Whether a head is not even a whole line: every log of a year begins with the same digit."""
    return len(head) < HEAD and b"\n" not in head


def _is_beginning(head: bytes, of: bytes) -> bool:
    """Whether a file that begins with less than ``of`` holds the same lines: the rest was lost."""
    return len(head) < len(of) and of.startswith(head) and b"\n" in head


def _pass_over(text: bytes, max_line: int) -> tuple[bytes, int]:
    """The text without the lines above ``max_line`` bytes, and how many those were.

    Looks for the last line end within reach, so that it costs a step per ``max_line`` bytes.
    """
    kept, oversized = [], 0
    begin = here = 0
    while len(text) - here > max_line:
        reached = text.rfind(b"\n", here, here + max_line + 1) + 1
        if reached:
            here = reached
            continue
        end = text.find(b"\n", here) + 1 or len(text)
        line = text[here:end].lstrip(b"\0")
        kept.append(text[begin:here])
        if len(line.removesuffix(b"\n")) > max_line:
            oversized += 1
        else:
            kept.append(line)
        begin = here = end
    kept.append(text[begin:])
    return b"".join(kept), oversized

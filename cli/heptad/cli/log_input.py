"""Input files of `heptad parse`: plain, compressed, from a pipe – or not a log."""

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import select
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any, Final

from tqdm import tqdm

from heptad.core.config.small_file import PATIENCE
from heptad.exporter.parsing.unknown_formats import describe_foreign
from heptad.exporter.sources.file.lines import decode

UNREADABLE: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a log may raise."""
_CHUNK: Final = 2**17
_LONGEST_LINE: Final = 16_384
_MOST_BYTES: Final = 16 * 2**20
_MOST_LINES: Final = 200_000
"""If this many bytes or lines contain no log line, the input is not a log."""
_OVERSIZED: Final = "\0"
"""Placeholder for a line above the maximum length."""
_PACKED: Final[dict[bytes, Callable[[Any], Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""Magic bytes of compressed files; file names are ignored."""
_TOO_LONG: Final = re.compile(rf"^.{{{_LONGEST_LINE + 1},}}$", re.MULTILINE)


class LineCounts:
    """Counts of the lines of a file, by whether they are log lines."""

    def __init__(self) -> None:
        self.lines = 0
        self.records = 0
        self.headless = 0
        self.oversized = 0
        self.given_up_after = 0

    def add(self, text: str, records: int, headless: int) -> None:
        """Count the lines of a text: ``records`` were parsed, ``headless`` have no header."""
        self.lines += text.count("\n") + 1
        self.records += records
        self.headless += headless
        if _OVERSIZED in text:
            self.oversized += text.split("\n").count(_OVERSIZED)

    def find_problem(self, strange: str | None) -> str:
        """Return why the file is not a log, or an empty text.

        ``strange`` is the first line without a header.
        """
        if self.records:
            return ""
        if not self.lines and not self.given_up_after:
            return "0 events in 0 lines: the file is empty"
        given_up = self.given_up_after // 1000
        first = f" in the first {given_up:,} kB (the rest was not read)" if given_up else ""
        too_long = f", {self.oversized} longer than {_LONGEST_LINE} bytes" if self.oversized else ""
        looks = describe_foreign(strange) if strange else None
        return (
            f"0 events in {self.lines} lines{first}, {self.headless} without a syslog header"
            f"{too_long}: not a log that Heptad reads; docs/sources.md lists the formats"
            + (f". This looks like {looks}" if looks else "")
        )


@contextmanager
def open_log(name: str) -> Iterator[tuple[IO[bytes], int, int]]:
    """Yield the file, its size in bytes (0: unknown), and its modification time (ns).

    Raise OSError.
    """
    with ExitStack() as stack:
        file = sys.stdin.buffer if name == "-" else stack.enter_context(_open(name))
        status = os.fstat(file.fileno())
        modified = time.time_ns() if name == "-" else status.st_mtime_ns
        begin = file.peek(8) if isinstance(file, io.BufferedReader) else b""
        unpack = next(
            (unpack for magic, unpack in _PACKED.items() if begin.startswith(magic)), None
        )
        if unpack is not None:
            yield stack.enter_context(unpack(file)), 0, modified
        else:
            yield file, 0 if name == "-" else status.st_size, modified


def _open(name: str) -> IO[bytes]:
    """Open a file, or a pipe with a writer; not a device, which may be endless."""
    number = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(number).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise OSError("is a device, not a log file; use - for standard input")
        if stat.S_ISFIFO(mode):
            _await_writer(number)
        else:
            _skip_hole(number)
        os.set_blocking(number, True)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def _await_writer(number: int) -> None:
    """Wait until a program has opened the pipe for writing."""
    end = time.monotonic() + PATIENCE
    poll = select.poll()
    poll.register(number, select.POLLIN)
    while not poll.poll(100):
        try:
            os.read(number, 1)
        except BlockingIOError:
            return  # there is a writer without data; otherwise this would be the end of the file
        if time.monotonic() >= end:
            raise TimeoutError(
                f"is a pipe that no program has opened for writing within {PATIENCE:.0f} s"
            )


def _skip_hole(number: int) -> None:
    """Seek to the first stored byte: a sparse file can be larger than any disk."""
    with suppress(OSError):  # only a hole, or a file system without SEEK_DATA
        os.lseek(number, 0, os.SEEK_DATA)


def read_texts(file: IO[bytes], bar: "tqdm[Any]", read: LineCounts) -> Iterator[str]:
    """Yield texts of whole lines; a line above the maximum length is replaced by a placeholder.

    ``read`` has the counts so far: reading ends if there is no log line for too long.
    """
    rest = b""
    before = 0
    try:
        while data := file.read(_CHUNK):
            bar.update(len(data))
            if not read.records and (before >= _MOST_BYTES or read.lines >= _MOST_LINES):
                read.given_up_after = before
                return
            before += len(data)
            data = rest + data
            end = data.rfind(b"\n") + 1
            # of an unfinished line, keep only as much as is needed to see that it is too long
            rest = data[end:][: _LONGEST_LINE + 1]
            if end:
                yield _clean(data[: end - 1])
        if rest:
            yield _clean(rest)
    finally:
        bar.close()


def _clean(data: bytes) -> str:
    return _TOO_LONG.sub(_OVERSIZED, decode(data))

"""Hashes of the last lines read from a log, to find the position in another version of it.

A line alone does not show whether it was read: during an attack, a daemon writes the same line many
times a second. Lines are therefore counted, and lines of only one moment may match by chance
(``OverlapEvidence``).
"""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

MOST: Final = 256
_SIZE: Final = 8
_AT_ONCE: Final = 8
"""Number of lines of a large read that are hashed for its commit, so that a backlog stays fast."""
MOST_BYTES: Final = 2**15
"""Maximum number of bytes kept until they are hashed; a read above it is large."""
_TIME: Final = re.compile(rb"\d\d:\d\d:\d\d")
_BEGIN: Final = 19
_FEW: Final = 2


class Alignment(NamedTuple):
    """The part of a content that was read: the first ``end`` bytes, with the different ``lines``.

    ``whole``: the last line that was read occurs as many times as it was read.
    """

    end: int
    lines: frozenset[bytes]
    whole: bool


class RecentLines:
    """The last lines read under one path, at most ``MOST``, in whatever file they were.

    They are contiguous: content with none of them lacks everything read since the oldest.
    """

    def __init__(self, hashes: bytes = b"") -> None:
        self._hashes = hashes[-MOST * _SIZE :]
        self._unhashed = b""
        self._large = self._cut = False

    def add(self, data: bytes) -> None:
        """Add the bytes that were read last; of a large read, the last ``MOST_BYTES``."""
        self._large = len(data) >= MOST_BYTES
        known = data if self._large else self._unhashed + data
        if len(known) >= MOST_BYTES:
            known = known[-MOST_BYTES:]
            self._hashes, self._cut = b"", True
        self._unhashed = known if known.endswith(b"\n") else known + b"\n"

    def dump(self) -> bytes:
        """Return the hashes, oldest first; after a large read, only of its last few lines."""
        if self._large:
            return _join(b"", self._read_last(_AT_ONCE))
        if self._unhashed:
            self._hashes = _join(self._hashes, self._read_last(MOST))
            self._unhashed, self._cut = b"", False
        return self._hashes

    def _read_last(self, most: int) -> list[bytes]:
        """Return the last lines that are not hashed yet."""
        begin = len(self._unhashed) - 1
        if begin < 0:
            return []
        for _ in range(most):
            begin = self._unhashed.rfind(b"\n", 0, begin)
            if begin < 0:
                break
        lines = self._unhashed[begin + 1 : -1].split(b"\n")
        return lines[1:] if begin < 0 and self._cut else lines

    def align(self, content: bytes) -> Alignment | None:
        """Return which whole lines of ``content`` were read; None if none."""
        hashes = _join(self._hashes, self._read_last(MOST))
        known = [hashes[at : at + _SIZE] for at in range(0, len(hashes), _SIZE)]
        left = Counter(known)
        at = end = 0
        found = set[bytes]()
        for text in content.split(b"\n")[:-1] if known else ():
            at += len(text) + 1
            line = text.lstrip(b"\0")  # without the hole that a copytruncate may have left
            digest = _hash(line)
            if left[digest] > 0:
                left[digest] -= 1
                found.add(line)
                end = at
        return Alignment(end, frozenset(found), left[known[-1]] == 0) if found else None


def _join(hashes: bytes, lines: list[bytes]) -> bytes:
    return (hashes + b"".join([_hash(line.lstrip(b"\0")) for line in lines]))[-MOST * _SIZE :]


def _hash(line: bytes) -> bytes:
    return blake2b(line, digest_size=_SIZE).digest()


class OverlapEvidence:
    """Decides whether shared lines prove that two files are versions of one log.

    A new file may start with lines equal to those before it, in the same second, but does not
    contain lines of an earlier second than ``last``, the last lines read. ``kept``: what was read
    still exists as a rotated file, so another version is unlikely. If not, two different lines are
    enough.
    """

    def __init__(self, last: Iterable[bytes], *, kept: bool) -> None:
        self._moments = {moment_of(line) for line in last if line}
        self._kept = kept

    def is_enough(self, lines: Iterable[bytes]) -> bool:
        """Return whether these lines prove it."""
        different = {line for line in lines if line}
        others = {moment_of(line) for line in different} - self._moments
        if len(others) >= (1 if self._moments else _FEW):
            return True
        return not self._kept and len(different) >= _FEW


def moment_of(line: bytes) -> bytes:
    """Return the time of day in a line's header or, if it has none, the start of the line."""
    found = _TIME.search(line, 0, 64)
    return found[0] if found else line[:_BEGIN]

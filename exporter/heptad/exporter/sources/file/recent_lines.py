"""The last lines of a log that were read, as hashes: by them another version of it is aligned.

A line alone does not tell whether it was read: under an attack a daemon writes the same line many
times a second. So lines count as often as they were read, and what is of one moment only may be
there by chance (`Evidence`).
"""

import re
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

MOST: Final = 256
_SIZE: Final = 8
_AT_ONCE: Final = 8
"""Lines of a large read that are hashed for its commit, so that a backlog costs next to nothing."""
MOST_BYTES: Final = 2**15
"""Bytes of a read that are kept until they are hashed; a read of more is large."""
_TIME: Final = re.compile(rb"\d\d:\d\d:\d\d")
_BEGIN: Final = 19
_FEW: Final = 2


class Alignment(NamedTuple):
    """What of a content was read: up to ``end`` bytes, the different ``lines``.

    ``whole``: the line that was read last is there as often as it was read.
    """

    end: int
    lines: frozenset[bytes]
    whole: bool


class RecentLines:
    """The last lines that were read under one path, at most ``MOST``, in whatever file they were.

    There is none between them that is not known: what has none of them lacks all that was read
    since the oldest.
    """

    def __init__(self, hashes: bytes = b"") -> None:
        self._hashes = hashes[-MOST * _SIZE :]
        self._unhashed = b""
        self._large = self._cut = False

    def add(self, data: bytes) -> None:
        """What was read last, of a large read its last ``KEPT`` bytes."""
        self._large = len(data) >= MOST_BYTES
        known = data if self._large else self._unhashed + data
        if len(known) >= MOST_BYTES:
            known = known[-MOST_BYTES:]
            self._hashes, self._cut = b"", True
        self._unhashed = known if known.endswith(b"\n") else known + b"\n"

    def dump(self) -> bytes:
        """The hashes, oldest first; after a large read only of the last few of its lines."""
        if self._large:
            return _join(b"", self._read_last(_AT_ONCE))
        if self._unhashed:
            self._hashes = _join(self._hashes, self._read_last(MOST))
            self._unhashed, self._cut = b"", False
        return self._hashes

    def _read_last(self, most: int) -> list[bytes]:
        """The last lines that are not hashed yet."""
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
        """What of the whole lines of ``content`` was read; None if nothing."""
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
    """Whether lines that two files share make them versions of one log, of which ``last`` was read.

    A new file may begin with lines that say the same as those before it, in the same second.
    Lines of an earlier one it does not have. ``kept``: what was read is still there under the name
    of a rotated file, so that another version is unlikely. Otherwise two different lines do, too.
    """

    def __init__(self, last: Iterable[bytes], *, kept: bool) -> None:
        self._moments = {moment_of(line) for line in last if line}
        self._kept = kept

    def is_enough(self, lines: Iterable[bytes]) -> bool:
        """Whether these prove it."""
        different = {line for line in lines if line}
        others = {moment_of(line) for line in different} - self._moments
        if len(others) >= (1 if self._moments else _FEW):
            return True
        return not self._kept and len(different) >= _FEW


def moment_of(line: bytes) -> bytes:
    """The time of day in a line's header or, where it has none, how the line begins."""
    found = _TIME.search(line, 0, 64)
    return found[0] if found else line[:_BEGIN]

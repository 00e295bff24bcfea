"""Where to go on in another version of what was read: a log that was copied, edited or restored.

Editors, ``sed -i``, rsync and a restore put another file in a log's place, or write it anew; a
mount over the folder does the same. The file at the path is the log from then on. What of it was
there before is told by its content alone.
"""

from collections import Counter
from typing import Final

from exporter.sources.segment import CHUNK, HEAD, TAIL, Position, Segment

_COMPARED: Final = 2**28
_SEARCHED: Final = 2**24
_REMEMBERED: Final = 2**16
_ENOUGH: Final = 2
"""Lines that both files hold, where they begin differently: one may be there by chance."""


def skip_copied(later: Segment, earlier: Segment) -> None:
    """Go on in ``later`` behind what it shares with ``earlier``, which is read to its end."""
    if not (later.growing and earlier.growing):
        return
    common, whole = _common_prefix(later, earlier, 0)
    if whole and later.copied_from is None:
        later.copied_from = earlier  # the youngest, which comes first
    shared = _begin_of_line(later, common)
    size = earlier.size()
    begin = max(shared, size - _REMEMBERED)
    lines = _whole_lines(earlier.read_at(begin, size - begin), partial=begin > shared)
    place = _find_last(later, lines, shared, 1 if shared else _ENOUGH) or shared
    if place > later.position.offset:
        later.go_to(place)


def extend_copied(segment: Segment) -> None:
    """Go on behind what has come to a copy that was still being made when it was found."""
    earlier, offset = segment.copied_from, segment.position.offset
    if earlier is None:
        return
    common, whole = _common_prefix(segment, earlier, offset)
    if not whole:
        segment.copied_from = None
    shared = _begin_of_line(segment, common)
    if shared > offset:
        segment.go_to(shared)


def resume(segment: Segment, known: Position, *, alike: bool) -> bool:
    """Go on in ``segment`` behind what was read up to ``known``; whether nothing was lost.

    ``alike``: it begins like what ``known`` was taken of. Otherwise it goes on behind the lines at
    the beginning that are the same, if there are any.
    """
    if alike and segment.holds(known):
        segment.seek(known, at_path=True)
        return True
    lines = _whole_lines(known.tail, partial=known.offset > TAIL)
    place = _find_last(segment, lines, 0, 1 if alike else _ENOUGH)
    if place is not None:
        segment.go_to(place)
        # what came after a line that is not there any more is not there either
        return segment.read_at(place - len(lines[-1]) - 1, len(lines[-1])) == lines[-1]
    if alike:
        # an older copy is a part of what was read: what is behind the old place is new
        segment.go_to(_next_line(segment, known.offset))
    else:
        start = segment.read_at(0, HEAD)
        segment.go_to(start.rfind(b"\n", 0, _length_of_common(start, known.head)) + 1)
    return False


def holds_last_lines(segment: Segment, known: Position) -> bool:
    """Whether the content has the lines before ``known`` anywhere: it is another version of it."""
    lines = _whole_lines(known.tail, partial=known.offset > TAIL)
    return segment.growing and _find_last(segment, lines, 0, _ENOUGH) is not None


def ends_at(segment: Segment, known: Position) -> bool:
    """Whether the content, plain or compressed, ends right where ``known`` is."""
    size = len(known.tail)
    return bool(size) and segment.read_at(known.offset - size, size + 1) == known.tail


def _common_prefix(one: Segment, other: Segment, begin: int) -> tuple[int, bool]:
    """Up to where both are the same from ``begin`` on, and whether that is all of ``one``."""
    for at in range(begin, begin + _COMPARED, CHUNK):
        first, second = one.read_at(at, CHUNK), other.read_at(at, CHUNK)
        if first != second or len(first) < CHUNK:
            common = _length_of_common(first, second)
            return at + common, common == len(first)
    return begin + _COMPARED, False


def _length_of_common(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _begin_of_line(segment: Segment, offset: int) -> int:
    """The begin of the line that holds the byte before ``offset``."""
    begin = max(0, offset - _REMEMBERED)
    before = segment.read_at(begin, offset - begin)
    return begin + before.rfind(b"\n") + 1


def _next_line(segment: Segment, offset: int) -> int:
    """The first begin of a line from ``offset`` on, or the end."""
    size = segment.size()
    if offset >= size:
        return size
    found = segment.read_at(offset - 1, _REMEMBERED).find(b"\n")
    return min(size, offset + (found if found >= 0 else _REMEMBERED))


def _whole_lines(text: bytes, *, partial: bool) -> list[bytes]:
    lines = text.split(b"\n")[:-1]
    return lines[1:] if partial else lines


def _find_last(segment: Segment, lines: list[bytes], begin: int, enough: int) -> int | None:
    """Behind the last of ``lines`` that the content has from ``begin`` on; None if it has none.

    Looks at its last megabytes only. Of lines that are alike it takes as many as were read.
    """
    if not lines:
        return None
    begin = max(begin, segment.size() - _SEARCHED)
    ends: dict[bytes, list[int]] = {}
    for line in segment.read_at(begin, _SEARCHED).split(b"\n")[:-1]:
        begin += len(line) + 1
        ends.setdefault(line, []).append(begin)
    times = Counter(lines)
    if len(times.keys() & ends.keys()) < enough:
        return None
    last = next(line for line in reversed(lines) if line in ends)
    return ends[last][: times[last]][-1]

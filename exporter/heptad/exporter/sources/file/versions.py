"""Continue in another version of a file that was read: copied, edited or restored.

Editors, ``sed -i``, rsync and a restore replace a log file or rewrite it; a mount over the folder
does the same. From then on, the file at the path is the log. Only its content shows what of it was
read before.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from heptad.exporter.sources.file.log_file import CHUNK, FINGERPRINT_SIZE, Checkpoint, LogFile
from heptad.exporter.sources.file.paths import is_passing
from heptad.exporter.sources.file.recent_lines import OverlapEvidence, RecentLines

_COMPARED: Final = 2**28
_SEARCHED: Final = 2**24
_REMEMBERED: Final = 2**16


def skip_copied(later: LogFile, earlier: LogFile, *, kept: bool) -> None:
    """Skip in ``later`` what it shares with ``earlier``, which is read to its end.

    ``kept``: ``earlier`` has the name of a rotated file.
    """
    if not (later.growing and earlier.growing):
        return
    size = earlier.size()
    begin = max(0, size - _REMEMBERED)
    lines = _whole_lines(earlier.read_at(begin, size - begin), partial=begin > 0)
    evidence = OverlapEvidence(lines[-1:], kept=kept)
    if kept and not evidence.is_enough(
        _whole_lines(earlier.read_at(0, FINGERPRINT_SIZE), partial=False)[:1]
    ):
        return  # cannot be distinguished from a new file with the same start
    common, whole = _common_prefix(later, earlier, 0)
    if whole and later.copied_from is None:
        later.copied_from = earlier  # the youngest, which comes first
    shared = _begin_of_line(later, common)
    lines = (
        lines
        if shared <= begin
        else _whole_lines(earlier.read_at(shared, size - shared), partial=False)
    )
    place = (
        _find_last(later, lines, shared, OverlapEvidence(lines[-1:], kept=kept or shared > 0))
        or shared
    )
    if place > later.checkpoint.offset:
        later.go_to(place)


def skip_read(
    log_file: LogFile, recent: RecentLines, known: Iterable[Checkpoint], *, kept: bool
) -> None:
    """Skip the lines that were already read, if this is another version of the log.

    Files of the checkpoints ``known`` themselves are left alone. ``kept``: what was read still
    exists as a rotated file.
    """
    if any(log_file.is_file_of(one) and log_file.begins_like(one) for one in known):
        return
    try:
        begin, content = _last_of(log_file, log_file.checkpoint.offset)
        match = recent.align(content)
        if match and OverlapEvidence(map(_last_line, known), kept=kept).is_enough(match.lines):
            log_file.go_to(begin + match.end)
    except (OSError, EOFError) as error:
        # an unreadable file is reported as a gap when it is read
        if is_passing(error):
            raise


def extend_copied(log_file: LogFile) -> None:
    """Skip what was added to a copy that was still in progress when it was found."""
    earlier, offset = log_file.copied_from, log_file.checkpoint.offset
    if earlier is None:
        return
    common, whole = _common_prefix(log_file, earlier, offset)
    if not whole:
        log_file.copied_from = None
    shared = _begin_of_line(log_file, common)
    if shared > offset:
        log_file.go_to(shared)


def resume(
    log_file: LogFile,
    known: Checkpoint,
    recent: RecentLines,
    row: Iterable[Checkpoint],
    *,
    alike: bool,
) -> bool:
    """Continue in ``log_file`` after ``known``; return whether nothing was lost.

    ``row`` are all checkpoints. ``alike``: the file starts like that of ``known``. Otherwise it
    continues after equal lines at the start, if there are any.
    """
    if alike and log_file.holds(known):
        log_file.seek(known, at_path=True)
        return True
    evidence = OverlapEvidence(map(_last_line, row), kept=False)
    # in one read: between two reads, the rest may be written to a file that is rewritten
    begin, content = _last_of(log_file, 0)
    match = recent.align(content)
    if match and evidence.is_enough(match.lines):
        log_file.go_to(begin + match.end)
        # if the last line that was read is missing, what came after it is missing too
        return match.whole
    if not log_file.growing:
        log_file.seek(known)
        return False
    start = log_file.read_at(0, FINGERPRINT_SIZE)
    shared = start[: start.rfind(b"\n", 0, _length_of_common(start, known.fingerprint)) + 1]
    if not evidence.is_enough(_whole_lines(shared, partial=False)):
        log_file.go_to(0)
    elif alike:
        # an older copy is a part of what was read: what follows the old position is new
        log_file.go_to(_next_line(log_file, known.offset))
    else:
        log_file.go_to(len(shared))
    return False


def tells(known: Checkpoint) -> bool:
    """Return whether the fingerprint is unique, so that the next file cannot have it too."""
    lines = _whole_lines(known.fingerprint, partial=False)
    return OverlapEvidence([_last_line(known)], kept=True).is_enough(lines)


def _last_of(log_file: LogFile, begin: int) -> tuple[int, bytes]:
    """Return the last megabytes of the content from ``begin`` on, and where they start."""
    if log_file.growing:
        begin = max(begin, log_file.size() - _SEARCHED)
    return begin, log_file.read_at(begin, _SEARCHED)


def _last_line(known: Checkpoint) -> bytes:
    """Return the line before ``known``; empty if only its end is known."""
    lines = _whole_lines(known.tail, partial=known.offset > len(known.tail))
    return lines[-1] if lines else b""


def holds_last_lines(log_file: LogFile, known: Checkpoint) -> bool:
    """Return whether the content has the lines before ``known``, so it is another version."""
    if not log_file.growing:
        return False
    line = known.tail[known.tail.rfind(b"\n", 0, -1) + 1 :]
    return bool(line) and line in _last_of(log_file, 0)[1]


def ends_at(log_file: LogFile, known: Checkpoint) -> bool:
    """Return whether the content, plain or compressed, ends exactly at ``known``."""
    size = len(known.tail)
    return bool(size) and log_file.read_at(known.offset - size, size + 1) == known.tail


def _common_prefix(one: LogFile, other: LogFile, begin: int) -> tuple[int, bool]:
    """Return the end of the common content from ``begin`` on, and whether it is all of ``one``."""
    for at in range(begin, begin + _COMPARED, CHUNK):
        first, second = one.read_at(at, CHUNK), other.read_at(at, CHUNK)
        if first != second or len(first) < CHUNK:
            common = _length_of_common(first, second)
            return at + common, common == len(first)
    return begin + _COMPARED, False


def _length_of_common(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _begin_of_line(log_file: LogFile, offset: int) -> int:
    """Return the start of the line that contains the byte before ``offset``."""
    begin = max(0, offset - _REMEMBERED)
    before = log_file.read_at(begin, offset - begin)
    return begin + before.rfind(b"\n") + 1


def _next_line(log_file: LogFile, offset: int) -> int:
    """Return the first line start from ``offset`` on, or the end."""
    size = log_file.size()
    if offset >= size:
        return size
    content = log_file.read_at(offset - 1, _REMEMBERED)
    if content.startswith(b"\0"):
        return offset  # a hole, as copytruncate leaves if the writer does not use O_APPEND
    found = content.find(b"\n")
    return min(size, offset + (found if found >= 0 else _REMEMBERED))


def _whole_lines(text: bytes, *, partial: bool) -> list[bytes]:
    lines = text.split(b"\n")[:-1]
    return lines[1:] if partial else lines


def _find_last(
    log_file: LogFile, lines: list[bytes], begin: int, evidence: OverlapEvidence
) -> int | None:
    """Return the end of the last of ``lines`` in the content from ``begin`` on, or None.

    None also if those found are not enough ``evidence``. Searches only the last megabytes. Equal
    lines count at most as often as they were read.
    """
    begun = begin > 0
    begin = max(begin, log_file.size() - _SEARCHED)
    ends: dict[bytes, list[int]] = {}
    for line in log_file.read_at(begin, _SEARCHED).split(b"\n")[:-1]:
        begin += len(line) + 1
        ends.setdefault(line, []).append(begin)
    times = Counter(lines)
    found = times.keys() & ends.keys()
    # a line that occurs several times may have been written on both sides
    once = begun and any(times[line] == len(ends[line]) == 1 for line in found)
    if not (once or evidence.is_enough(found)):
        return None
    last = next(line for line in reversed(lines) if line in ends)
    return ends[last][: times[last]][-1]


def is_version(one: Checkpoint, known: Checkpoint) -> bool:
    """Return whether ``one`` is of another version of the same file: it has the same first line."""
    begin = known.fingerprint[: known.fingerprint.find(b"\n") + 1] or known.fingerprint
    return one.fingerprint.startswith(begin)

"""One log: what is written under one path, through every rotation, in order and once.

A log is a row of segments, oldest first: the file at the path last, before it those that were
rotated away and are not read to their end yet. A segment that must be found again is in the row
as the position up to which it was read.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from exporter.sources import Gap
from exporter.sources.rotation import close_all, find_again, locate, open_siblings
from exporter.sources.segment import Fate, Lines, Position, Segment

SETTLE: Final = 60 * 10**9
"""ns without a change until a rotated file is let go: a daemon writes on until it is told."""
_TRIES: Final = 3


class Log:
    """The lines under ``path``; ``now`` gives the time in nanoseconds."""

    def __init__(self, path: Path, max_line: int, now: Callable[[], int]) -> None:
        self.path = path
        self.missing = False
        self.problem: str | None = None
        self.gaps: list[Gap] = []
        self._max_line = max_line
        self._now = now
        self._row: list[Segment | Position] = []

    def restore(self, positions: list[Position]) -> None:
        """Find again what was read up to ``positions``, oldest first, and what came after."""
        self._row = list(positions)
        try:
            self._arrange()
        except OSError as error:
            self._tell(error)

    def begin(self, since: int) -> None:
        """Begin with the oldest rotated file that was modified after ``since`` (ns)."""
        try:
            self._arrange(since)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError | EOFError) -> None:
        reason = error.strerror if isinstance(error, OSError) else None
        self.problem = f"the file cannot be read: {reason or error}"

    def _miss(self, reason: str, detail: str) -> None:
        self.gaps.append(Gap(reason, str(self.path), detail))

    def _segments(self) -> list[Segment]:
        return [member for member in self._row if isinstance(member, Segment)]

    def positions(self) -> list[Position]:
        """Where reading goes on, oldest first."""
        return [_position_of(member) for member in self._row]

    def follow(self) -> None:
        """See what happened at the path: grown, rotated, cut, gone or there at last."""
        self.problem = None
        try:
            moved = self._check_open()
            if self._is_elsewhere() or moved:
                self._arrange()
        except (OSError, EOFError) as error:
            self._tell(error)

    def _check_open(self) -> bool:
        """Whether an open file is not any more, or not only, what was read of it."""
        fates = {segment: _look(segment) for segment in self._segments()}
        for segment, fate in fates.items():
            if fate is Fate.LOST_TAIL:
                self._miss("lost_tail", f"{segment.path} is shorter than what was read")
                segment.go_to_end()
            elif fate is Fate.REPLACED:
                segment.close()
                self._row[self._row.index(segment)] = segment.position
        return not {Fate.FILLED, Fate.REPLACED}.isdisjoint(fates.values())

    def _is_elsewhere(self) -> bool:
        """Whether there is a file at the path that is not open, or one to be found again."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self.missing = True
            return False
        self.missing = False
        segments = self._segments()
        return len(segments) < len(self._row) or not any(s.is_at(status) for s in segments)

    def _arrange(self, since: int | None = None) -> None:
        """Put the row in order anew: what is known, and what has come after it unseen.

        Where nothing is known, what was modified after ``since``.
        """
        modified = max((known.modified for known in self.positions()), default=since)
        # a file without a head says nothing of what came before it: copies may have been made
        tells = [bool(known.head) for known in self.positions()]
        newest = self._open_newest()
        found = open_siblings(self.path) + ([newest] if newest else [])
        for segment in self._segments():
            is_newest = newest is not None and segment.is_file_of(newest.position)
            segment.complete_head(rotated=not is_newest)
        last, taken = -1, set[int]()
        row: list[tuple[int, Segment | Position]] = []
        for member, telling in zip(self._row, tells, strict=True):
            place = self._locate(found, member)
            if place is not None and telling:
                last = max(last, place)
            again = found[place] if place is not None and place not in taken else None
            taken.add(-1 if place is None else place)
            recovered = self._recover(member, again, newest)
            if recovered is not None:
                row.append((last if place is None else place, recovered))
        known_newest = len(found) - 1 in taken
        for place, segment in enumerate(found):
            later = place > last if last >= 0 else _is_later(segment, modified)
            copy = newest is not None and newest.is_copied_in(segment, known=known_newest)
            if place not in taken and (segment is newest or (later and not copy)):
                row.append((place, segment))
        self._row = [member for _, member in sorted(row, key=lambda one: one[0])]
        close_all([s for s in found if not any(s is member for member in self._row)])

    def _locate(self, found: list[Segment], member: Segment | Position) -> int | None:
        if isinstance(member, Segment):  # nobody else has the inode of a file that is open
            for place, segment in enumerate(found):
                if segment.is_file_of(member.position):
                    return place
        return locate(found, _position_of(member), self.positions())

    def _open_newest(self) -> Segment | None:
        try:
            return Segment.open(self.path)
        except FileNotFoundError:
            return None

    def _recover(
        self, member: Segment | Position, again: Segment | None, newest: Segment | None
    ) -> Segment | Position | None:
        """A segment to go on with; None if there is none any more."""
        if isinstance(member, Segment):
            return member
        # a link that leads elsewhere now: what it led to is still where it was
        again = again or find_again(member)
        if again is not None:
            again.seek(member, at_path=again is newest)
            return again
        if newest is None:
            return member  # it may come back with the file at the path
        if member.head and not self._is_read_in_copy(member):
            reason = "truncated" if newest.is_file_of(member) else "rotated_away"
            self._miss(reason, f"what came after byte {member.offset} of {member.path}")
        return None

    def _is_read_in_copy(self, known: Position) -> bool:
        """Whether what ``known`` was taken of is read in another open file that begins the same."""
        return any(s.position.head.startswith(known.head) for s in self._segments())

    def read(self) -> Lines | None:
        """The next lines, of the oldest segment that has any; None if there are none."""
        for _ in range(_TRIES):
            self.follow()
            try:
                lines = self._read_first()
            except OSError as error:
                self._tell(error)
                return None
            # what was rotated while it was read is looked at anew before it counts as nothing
            if lines is not None or all(_look(s) is Fate.SAME for s in self._segments()):
                return lines
        return None

    def _read_first(self) -> Lines | None:
        for segment in self._segments():
            final = self._is_final(segment)
            lines = self._read(segment, final=final)
            if lines is not None:
                return lines
            if final and segment in self._row and segment.behind() == 0:
                segment.close()
                self._row.remove(segment)
        return None

    def _is_final(self, segment: Segment) -> bool:
        """Whether nothing will be added any more: quiet, and what came after it is written to."""
        later = self._row[self._row.index(segment) + 1 :]
        moved_on = not segment.position.head or any(_position_of(m).head for m in later)
        return bool(later) and moved_on and segment.is_settled(self._now(), SETTLE)

    def _read(self, segment: Segment, *, final: bool) -> Lines | None:
        begin = segment.position.offset
        try:
            lines = segment.read(self._max_line, final=final)
        except (OSError, EOFError) as error:
            self._tell(error)
            if not segment.growing:
                self._miss("unreadable", f"{segment.path}: {error}")
                segment.close()
                self._row.remove(segment)
            return None
        # one from the beginning on is what is left of a file that was cut and found anew
        if lines is not None and lines.hole and begin and segment.position.head[0]:
            self._miss("truncated", f"{lines.hole} NUL bytes at byte {begin} of {segment.path}")
        return lines

    def is_over(self, since: int) -> bool:
        """Whether the file is gone, all of it is read, and nothing changed after ``since`` ns."""
        quiet = all(known.modified < since for known in self.positions())
        return self.missing and quiet and self._segments() == self._row and not self.behind()

    def behind(self) -> int:
        """Bytes that are there and not read yet, as far as that can be told."""
        try:
            return sum(segment.behind() for segment in self._segments())
        except OSError:
            return 0  # ``follow`` opens it anew, and tells where it cannot

    def close(self) -> None:
        """Close every file."""
        close_all(self._segments())
        self._row = []


def _position_of(member: Segment | Position) -> Position:
    return member.position if isinstance(member, Segment) else member


def _is_later(segment: Segment, modified: int | None) -> bool:
    return modified is not None and segment.position.modified > modified


def _look(segment: Segment) -> Fate:
    try:
        return segment.look()
    except OSError:
        return Fate.REPLACED  # as ESTALE of a file server: it is opened anew

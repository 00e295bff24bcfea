"""One log: what is written under one path, through every rotation, in order and once.

A log is a row of segments, oldest first: the file at the path last, before it those that were
rotated away and are not read to their end yet.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from exporter.sources import Gap
from exporter.sources.rotation import find_rotated, is_content_of
from exporter.sources.segment import Fate, Lines, Position, Segment

SETTLE: Final = 60 * 10**9
"""A daemon goes on writing to a renamed file until it is told; ns without a change till it is let go."""


class Log:
    """The lines under ``path``; ``now`` gives the time in nanoseconds."""

    def __init__(self, path: Path, max_line: int, now: Callable[[], int]) -> None:
        self.path = path
        self.problem: str | None = None
        self.gaps: list[Gap] = []
        self._max_line = max_line
        self._now = now
        self._segments: list[Segment] = []

    def restore(self, positions: list[Position]) -> None:
        """Find again what was read up to ``positions``, oldest first, and what came after."""
        for number, known in enumerate(positions):
            self._resume(known, last=number == len(positions) - 1)

    def _resume(self, known: Position, *, last: bool) -> None:
        here = self._open(Path(known.path))
        if here is not None:
            if is_content_of(here, known):
                here.seek(known)
                self._add([here])
                return
            if self._is_shortened(here, known):
                # at the path still: ``follow`` sees the lost tail
                here.position = known
                self._add([here])
                return
            here.close()
        found, after = find_rotated(self.path, known)
        if found is not None:
            self._add([found])
        elif known.offset or known.head:
            self._miss("rotated_away", f"after byte {known.offset} of the file that was here")
        if last:
            self._add(after)
        else:
            _close(after)

    @staticmethod
    def _is_shortened(here: Segment, known: Position) -> bool:
        head = here.position.head
        return b"\n" in head and known.head.startswith(head)

    def _open(self, path: Path) -> Segment | None:
        try:
            return Segment.open(path)
        except (OSError, EOFError):
            return None

    def _add(self, segments: list[Segment]) -> None:
        known = {(s.position.device, s.position.inode) for s in self._segments}
        for segment in segments:
            if (segment.position.device, segment.position.inode) in known:
                segment.close()
            else:
                self._segments.append(segment)

    def _miss(self, reason: str, detail: str) -> None:
        self.gaps.append(Gap(reason, str(self.path), detail))

    def follow(self) -> None:
        """See what happened at the path: grown, rotated, cut, gone or there at last."""
        try:
            self._check_open()
            status = os.stat(self.path)
            if not any(segment.is_at(status) for segment in self._segments):
                self._take_up()
        except FileNotFoundError:
            self.problem = "the file is not there"
        except OSError as error:
            self.problem = f"the file cannot be read: {error.strerror}"
        else:
            self.problem = None

    def _check_open(self) -> None:
        """What was written over lives on in a copy, if the rotation made one."""
        for number, segment in enumerate(self._segments):
            fate = segment.look()
            if fate is Fate.LOST_TAIL:
                self._miss("lost_tail", f"{segment.path} is shorter than what was read")
                segment.go_to_end()
            elif fate is Fate.REPLACED:
                self._replace(number, segment)
                return

    def _replace(self, number: int, segment: Segment) -> None:
        known = segment.position
        segment.close()
        found, after = find_rotated(self.path, known)
        if found is None and known.offset:
            self._miss("truncated", f"{segment.path} was cut after byte {known.offset}")
        rest = [found, *after] if found else after
        current = self._segments[number + 1 :]
        self._segments = self._segments[:number]
        self._add(rest)
        self._add(current)

    def _take_up(self) -> None:
        """Open the file that is at the path now, after those that came and went unseen."""
        newest = Segment.open(self.path)
        if self._segments:
            found, after = find_rotated(self.path, self._segments[-1].position)
            self._add([found, *after] if found else after)
        self._add([newest])

    def read(self) -> Lines | None:
        """The next lines, of the oldest segment that has any; None if there are none."""
        for segment in list(self._segments):
            final = segment is not self._segments[-1] and segment.is_settled(self._now(), SETTLE)
            lines = self._read(segment, final=final)
            if lines is not None:
                return lines
            if final and segment.look() is Fate.SAME:
                segment.close()
                self._segments.remove(segment)
        return None

    def _read(self, segment: Segment, *, final: bool) -> Lines | None:
        try:
            return segment.read(self._max_line, final=final)
        except (OSError, EOFError) as error:
            self._miss("unreadable", f"{segment.path}: {error}")
            segment.close()
            self._segments.remove(segment)
            return None

    def positions(self) -> list[Position]:
        """Where reading goes on, oldest first."""
        return [segment.position for segment in self._segments]

    def behind(self) -> int:
        """Bytes that are there and not read yet, as far as that can be told."""
        return sum(segment.behind() for segment in self._segments)

    def close(self) -> None:
        """Close every file."""
        _close(self._segments)
        self._segments = []


def _close(segments: list[Segment]) -> None:
    for segment in segments:
        segment.close()

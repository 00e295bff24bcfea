"""Match the files of a log with its checkpoints, and put them in order."""

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from heptad.core.terminal import show_path
from heptad.exporter.sources.file.log_file import Checkpoint, LogFile
from heptad.exporter.sources.file.paths import path_of
from heptad.exporter.sources.file.recent_lines import RecentLines
from heptad.exporter.sources.file.rotation import find_again, find_copies, is_file_of, locate
from heptad.exporter.sources.file.snapshot import LogSnapshot
from heptad.exporter.sources.file.versions import (
    ends_at,
    holds_last_lines,
    is_version,
    resume,
    skip_copied,
    skip_read,
)

Member = LogFile | Checkpoint

_MOST_COPIES: Final = 100


class Loss(msgspec.Struct):
    """Content that a file no longer has.

    ``returning``: the file has only the beginning of the content, so the rest may still be written.
    """

    reason: str
    detail: str
    returning: bool


class Arrangement:
    """``generations``: the files to read, oldest first, and what is lost (``losses``).

    They are computed from the previous ``row`` and a ``snapshot``. If ``base`` is given, no links
    below it are followed. Without a previous row, rotated files that were modified after ``since``
    (ns) are new; all others are ignored.
    """

    def __init__(
        self,
        row: list[Member],
        snapshot: LogSnapshot,
        base: Path | None,
        recent: RecentLines,
        since: int | None = None,
    ) -> None:
        self.losses: list[Loss] = []
        self._old = row
        self._base = base
        self._recent = recent
        self._found = snapshot.log_files
        self._newest = snapshot.newest
        self._target = snapshot.target
        self._place_of_newest = len(self._found) - 1 if snapshot.newest else None
        self._again: list[LogFile] = []
        self._taken = set[int]()
        self._rotated: list[Member] = []
        self._last = -1
        self._new: list[tuple[int, Member]] = []
        self._known = [checkpoint_of(member) for member in row]
        # time of the last read, not of now: what was copied and truncated since came after it
        self._modified = max((known.modified for known in self._known), default=since)
        self._keep_known()
        self._kept = bool(self._rotated)
        self._add_unknown()
        self.generations = self._in_order()
        self._skip_read()
        self.opened = [member for member in self.generations if isinstance(member, LogFile)]

    def is_of(self, newest: LogFile) -> bool:
        """Return whether this is the file at the path of this arrangement."""
        return self._newest is not None and self._newest.is_file_of(newest.checkpoint)

    def _keep_known(self) -> None:
        # a file without a fingerprint does not show what came before it: copies may have been made
        telling = [bool(known.fingerprint) for known in self._known]
        kept: list[tuple[int | None, Member | None]] = []
        # the last first: of several with the same beginning (copies), it was read furthest
        for number, member in reversed([*enumerate(self._old)]):
            place = self._locate(number)
            now = self._keep(member, place)
            if now is not None and now is self._newest:
                place = self._place_of_newest
            kept.insert(0, (place, now))
        for (place, now), tells in zip(kept, telling, strict=True):
            if place is not None and tells:
                self._last = max(self._last, place)
            if now is not None:
                self._new.append((self._last if place is None else place, now))
                if place is not None and self._is_rotated(place):
                    self._rotated.append(now)

    def _is_rotated(self, place: int) -> bool:
        """Return whether the file has a rotated file's name, so that the one at the path is new."""
        return place != self._place_of_newest

    def _locate(self, number: int) -> int | None:
        member = self._old[number]
        if isinstance(member, LogFile):  # no other file has the inode of an open file
            for place, log_file in enumerate(self._found):
                if log_file.is_file_of(member.checkpoint):
                    member.take_fingerprint(log_file)
                    return place
            member.complete_fingerprint()
            self._known[number] = member.checkpoint
        return locate(self._found, self._known, number)

    def _keep(self, member: Member, place: int | None) -> Member | None:
        """Return the member to continue with, or None if there is none."""
        free = place is not None and place not in self._taken
        if isinstance(member, LogFile):
            # an open file continues; if its copy is at the path, that is a separate file
            if place is not None and not self._is_copy_at_path(member, place):
                self._taken.add(place)
            return member
        if place is not None and free:
            self._taken.add(place)
            return self._go_on(self._found[place], member)
        # the target of a link that now points elsewhere is still where it was
        again = self._find_again(member)
        return again or self._miss(member)

    def _is_copy_at_path(self, member: LogFile, place: int) -> bool:
        found = self._found[place]
        return found is self._newest and not found.is_file_of(member.checkpoint)

    def _go_on(self, log_file: LogFile, known: Checkpoint) -> LogFile:
        # before the content is read, because it may be written to meanwhile
        begun = log_file.is_begun_of(known)
        at_path = log_file is self._newest and log_file.growing
        if not known.fingerprint or (not at_path and log_file.is_file_of(known)):
            log_file.seek(known, at_path=at_path)
        elif not resume(log_file, known, self._recent, self._known, alike=True) and (
            # a copy made before the last lines were read ends before these
            at_path or log_file.read_at(log_file.checkpoint.offset, 1)
        ):
            detail = f"{log_file.path} no longer has the same content at byte {known.offset}"
            self.losses.append(Loss("lost_tail", detail, returning=begun and at_path))
        return log_file

    def _find_again(self, known: Checkpoint) -> LogFile | None:
        path = Path(path_of(known.path))
        # by now there may be another file than the one in the snapshot
        log_file = find_again(known, self._base) if path != self._target else None
        if log_file is None:
            return None
        others = [*self._found, *self._again]
        if any(log_file.is_file_of(found.checkpoint) for found in others):
            log_file.close()
            return None
        self._again.append(log_file)
        log_file.seek(known)
        return log_file

    def _miss(self, known: Checkpoint) -> Member | None:
        newest = self._newest
        if newest is None:
            return known  # it may come back with the file at the path
        number = next(n for n, other in enumerate(self._known) if other is known)
        earlier, later = self._known[:number], self._known[number + 1 :]
        others = earlier + later
        if not known.fingerprint or any(is_version(other, known) for other in later):
            return None  # nothing is missing, or reading continues in a later version
        begun = newest.is_begun_of(known)
        if not begun and any(other.fingerprint.startswith(known.fingerprint) for other in earlier):
            return None  # its copy is read
        if any(is_file_of(newest, other) for other in others):
            whole = holds_last_lines(newest, known)
        else:
            free = self._place_of_newest not in self._taken and newest.growing
            whole = free and resume(newest, known, self._recent, self._known, alike=False)
            whole = whole or self._is_kept_whole(known)
        if not whole:
            reason = "truncated" if newest.is_file_of(known) else "rotated_away"
            detail = f"the rest of {show_path(path_of(known.path))} after byte {known.offset}"
            self.losses.append(Loss(reason, detail, returning=begun))
        if newest.checkpoint.offset and self._place_of_newest not in self._taken:
            self._taken.add(len(self._found) - 1)
            return newest
        return None

    def _is_kept_whole(self, known: Checkpoint) -> bool:
        """Return whether a copy in another folder proves that all was read before truncation.

        The copy is used only as proof; files in folders that are not configured are not read.
        """
        newest = self._newest
        if newest is None or not newest.is_file_of(known):
            return False
        for path in islice(find_copies(Path(path_of(known.path))), _MOST_COPIES):
            try:
                copy = LogFile.open(path, path.parent)
                with closing(copy):
                    if copy.begins_like(known) and ends_at(copy, known):
                        return True
            except (OSError, EOFError):
                continue
        return False

    def _add_unknown(self) -> None:
        newest = self._newest
        known_newest = self._place_of_newest in self._taken
        for place, log_file in enumerate(self._found):
            later = place > self._last if self._last >= 0 else _is_later(log_file, self._modified)
            copy = newest is not None and newest.is_copied_in(log_file, known=known_newest)
            if place not in self._taken and (log_file is newest or (later and not copy)):
                self._new.append((place, log_file))
                if self._is_rotated(place):
                    self._rotated.append(log_file)

    def _is_at_path(self, member: Member) -> bool:
        newest = self._newest
        return newest is not None and newest.is_file_of(checkpoint_of(member))

    def _in_order(self) -> list[Member]:
        """Return the files, oldest first; the file at the path continues after the others."""
        place = self._place_of_newest
        ordered = sorted(self._new, key=lambda one: (one[0], self._is_at_path(one[1])))
        row = [member for _, member in ordered]
        if place is None or not row or not isinstance(row[-1], LogFile):
            return row
        was_last = bool(self._old) and row[-1] is self._old[-1] and row[-1].checkpoint.offset > 0
        if not was_last and (place not in self._taken or row[-1] in self._old):
            for member in reversed(row[:-1]):
                if isinstance(member, LogFile):
                    skip_copied(row[-1], member, kept=member in self._rotated)
        return row

    def _skip_read(self) -> None:
        """Skip the lines that were already read from another version of the file."""
        for member in self.generations:
            if isinstance(member, LogFile) and member not in self._old:
                skip_read(member, self._recent, self._known, kept=self._kept)


def checkpoint_of(member: Member) -> Checkpoint:
    """Return the position from which reading continues."""
    return member.checkpoint if isinstance(member, LogFile) else member


def _is_later(log_file: LogFile, modified: int | None) -> bool:
    return modified is not None and log_file.checkpoint.modified > modified

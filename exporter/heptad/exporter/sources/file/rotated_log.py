"""Read one log, the file at a path and its rotated files, in order and exactly once.

The log is a list of generations, oldest first: the file at the path is last, before it are rotated
files that are not completely read. A generation that is not open is in the list as its checkpoint.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from heptad.core.terminal import show_path
from heptad.exporter.sources import Gap
from heptad.exporter.sources.file.generations import Arrangement, Member, checkpoint_of
from heptad.exporter.sources.file.lines import Lines
from heptad.exporter.sources.file.log_file import Checkpoint, FileChange, LogFile
from heptad.exporter.sources.file.paths import is_passing, path_of
from heptad.exporter.sources.file.recent_lines import RecentLines
from heptad.exporter.sources.file.rotation import close_all
from heptad.exporter.sources.file.snapshot import TRIES, FilesMoving, LogSnapshot, take_snapshot
from heptad.exporter.sources.file.versions import extend_copied

SETTLE: Final = 60 * 10**9
"""ns without a change until a rotated file is closed: a daemon may still write to it."""
PATIENCE: Final = 2 * 10**9
"""ns until a truncated file counts as truncated: an editor empties a file and rewrites it."""
_TRIES: Final = 3
_MOST_OPEN: Final = 100


class RotatedLog:
    """The lines under ``path``; ``now`` returns the time in nanoseconds.

    ``unlinked``: the file at the path has no links any more, for example a single mounted file that
    was rotated outside of the mount. Rotated files are also searched in the folders ``others``. If
    ``base`` is given, no link below it is followed.
    """

    def __init__(
        self,
        path: Path,
        max_line: int,
        now: Callable[[], int],
        others: Sequence[Path] = (),
        base: Path | None = None,
    ) -> None:
        self.path = path
        self.missing = False
        self.unlinked = False
        self.problem: str | None = None
        self.gaps: list[Gap] = []
        self._max_line = max_line
        self._now = now
        self._others = others
        self._base = base
        self._generations: list[Member] = []
        self._waiting: Arrangement | None = None
        self.recent = RecentLines()
        self._changed_at: int | None = None

    def restore(self, checkpoints: list[Checkpoint], recent: bytes) -> None:
        """Find the files of ``checkpoints``, oldest first, and the files after them.

        ``recent``: the hashes of the lines that were read last.
        """
        self._generations = list(checkpoints)
        self.recent = RecentLines(recent)
        if not recent:  # a state of a version without hashes
            for known in checkpoints:
                self.recent.add(known.tail)
        try:
            self._arrange()
        except (OSError, EOFError, FilesMoving) as error:
            self._set_problem(error)

    def begin(self, since: int) -> None:
        """Start with the oldest rotated file that was modified after ``since`` (ns)."""
        try:
            self._arrange(since)
        except (OSError, EOFError, FilesMoving) as error:
            self._set_problem(error)

    def _set_problem(self, error: OSError | EOFError | FilesMoving) -> None:
        reason = error.strerror if isinstance(error, OSError) else None
        self.problem = f"cannot read the file: {reason or error}"

    def _miss(self, reason: str, detail: str) -> None:
        self.gaps.append(Gap(reason, show_path(self.path), detail))

    def _open_files(self) -> list[LogFile]:
        return [member for member in self._generations if isinstance(member, LogFile)]

    def checkpoints(self) -> list[Checkpoint]:
        """Return where reading continues, oldest first."""
        return [checkpoint_of(member) for member in self._generations]

    def follow(self) -> None:
        """Detect changes at the path: the file grew, was rotated, truncated, deleted or created."""
        self.problem = None
        try:
            moved = self._check_open()
            if self._is_elsewhere() or moved:
                self._arrange()
        except (OSError, EOFError, FilesMoving) as error:
            self._set_problem(error)

    def _check_open(self) -> bool:
        """Return whether an open file no longer has the content that was read, or was rewritten."""
        changes = {log_file: _check(log_file) for log_file in self._open_files()}
        for log_file, change in changes.items():
            if change is FileChange.CHANGED:
                self._close(log_file)
                self._changed_at = self._changed_at or self._now()
        return not {FileChange.FILLED, FileChange.CHANGED}.isdisjoint(changes.values())

    def _close(self, log_file: LogFile) -> None:
        """Close the file, but keep its checkpoint to find it again."""
        log_file.close()
        self._generations[self._generations.index(log_file)] = log_file.checkpoint

    def _is_elsewhere(self) -> bool:
        """Return whether a file at the path is not open, or a file has to be found again."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self.missing, self.unlinked = True, False
            return False
        self.missing = False
        self.unlinked = status.st_nlink == 0
        log_files = self._open_files()
        return len(log_files) < len(self._generations) or not (
            log_files and log_files[-1].is_at(status)
        )

    def _arrange(self, since: int | None = None) -> None:
        """Compute the generations again from a new snapshot.

        Without checkpoints, start with what was modified after ``since``.
        """
        for attempt in range(TRIES):
            known = [Path(path_of(position.path)) for position in self.checkpoints()]
            snapshot = take_snapshot(self.path, self._base, self._others, known)
            try:
                self._wait_no_more(snapshot.newest)
                arrangement = Arrangement(
                    self._generations, snapshot, self._base, self.recent, since
                )
                intact = snapshot.is_intact() and (
                    attempt == TRIES - 1 or not arrangement.losses or snapshot.is_unchanged()
                )
            except BaseException:
                close_all(snapshot.log_files)
                raise
            if intact:
                self._take(arrangement, snapshot)
                return
            close_all(
                [
                    s
                    for s in {*arrangement.opened, *snapshot.log_files}
                    if s not in self._generations
                ]
            )
        raise FilesMoving("it is truncated again and again")

    def _take(self, arrangement: Arrangement, snapshot: LogSnapshot) -> None:
        before, self._waiting = self._waiting, None
        if self._may_come_back(arrangement, snapshot.newest):
            self._waiting = arrangement
        else:
            self._adopt(arrangement)
        used = {*self._open_files(), *(self._waiting.opened if self._waiting else [])}
        opened = {*arrangement.opened, *snapshot.log_files, *(before.opened if before else [])}
        close_all([*(opened - used)])

    def _adopt(self, arrangement: Arrangement) -> None:
        self._changed_at = None
        self._generations = arrangement.generations
        for loss in arrangement.losses:
            self.gaps.append(Gap(loss.reason, show_path(self.path), loss.detail))

    def _wait_no_more(self, newest: LogFile | None) -> None:
        """Adopt the arrangement that waits, if by now another file is at the path."""
        waiting = self._waiting
        if waiting is not None and not (newest and waiting.is_of(newest)):
            self._waiting = None
            self._adopt(waiting)

    def _may_come_back(self, arrangement: Arrangement, newest: LogFile | None) -> bool:
        """Return whether the missing content may be about to be written again."""
        returning = any(loss.returning for loss in arrangement.losses)
        if not returning or newest is None:
            return False
        now = self._now()
        being_written = not newest.is_settled(now, PATIENCE)
        if self._changed_at is None:
            self._changed_at = now if being_written else now - PATIENCE
        since = abs(now - self._changed_at)
        return since < PATIENCE or (being_written and bool(newest.size()) and since < SETTLE)

    def read(self) -> Lines | None:
        """Return the next lines of the oldest generation that has any, or None."""
        for _ in range(_TRIES):
            self.follow()
            try:
                lines = self._read_first()
            except OSError as error:
                self._set_problem(error)
                return None
            # a file rotated during the read is checked again before it counts as empty
            if lines is not None or all(_check(s) is FileChange.SAME for s in self._open_files()):
                return lines
        return None

    def _read_first(self) -> Lines | None:
        for log_file in self._open_files():
            extend_copied(log_file)
            if log_file.copied_from is not None:
                continue  # all of it so far is read from the other file
            final = self._is_final(log_file)
            lines = self._read(log_file, final=final)
            if lines is not None:
                self.recent.add(lines.data)
                return lines
            # the oldest first: an unlisted file counts as new if it is younger than the oldest
            oldest = log_file is self._generations[0] or len(self._generations) > _MOST_OPEN
            if final and oldest and log_file in self._generations and log_file.behind() == 0:
                self._let_go(log_file)
        return None

    def _let_go(self, log_file: LogFile) -> None:
        log_file.close()
        self._generations.remove(log_file)
        for member in self._open_files():
            if member.copied_from is log_file:
                member.copied_from = None

    def _is_final(self, log_file: LogFile) -> bool:
        """Return whether the file is complete: unchanged for a while, with a successor in use."""
        later = self._generations[self._generations.index(log_file) + 1 :]
        moved_on = not log_file.checkpoint.fingerprint or any(
            checkpoint_of(m).fingerprint for m in later
        )
        return bool(later) and moved_on and log_file.is_settled(self._now(), SETTLE)

    def _read(self, log_file: LogFile, *, final: bool) -> Lines | None:
        begin = log_file.checkpoint.offset
        try:
            lines = log_file.read(self._max_line, final=final)
        except (OSError, EOFError) as error:
            self._set_problem(error)
            if not log_file.growing and is_passing(error):
                self._close(log_file)  # its decompressor cannot continue
            elif not log_file.growing:
                self._miss("unreadable", f"{log_file.path}: {error}")
                self._let_go(log_file)
            return None
        # a hole at the start is the rest of a file that was truncated and found again
        if lines is not None and lines.hole and begin and log_file.checkpoint.fingerprint[0]:
            self._miss("truncated", f"{lines.hole} NUL bytes at byte {begin} of {log_file.path}")
        return lines

    def is_over(self, since: int) -> bool:
        """Return whether the file is deleted, completely read, and quiet since ``since`` (ns)."""
        quiet = all(known.modified < since for known in self.checkpoints())
        return (
            self.missing and quiet and self._open_files() == self._generations and not self.behind()
        )

    def behind(self) -> int:
        """Return the number of unread bytes, as far as it is known."""
        try:
            return sum(log_file.behind() for log_file in self._open_files())
        except OSError:
            return 0  # ``follow`` opens it again, and reports an error

    def close(self) -> None:
        close_all([*{*self._open_files(), *(self._waiting.opened if self._waiting else [])}])
        self._generations, self._waiting = [], None


def _check(log_file: LogFile) -> FileChange:
    try:
        return log_file.check()
    except OSError:
        return FileChange.CHANGED  # for example ESTALE of a file server: it is opened again

"""The source of log files: each match of its patterns is a log, read through every rotation."""

import glob
import os
import threading
import time
from collections.abc import Callable, Container
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from heptad.core.terminal import show_path
from heptad.exporter.log_record import Provenance
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from heptad.exporter.sources import Gap, RecordBatch, SourceHealth
from heptad.exporter.sources.file.lines import Lines
from heptad.exporter.sources.file.links import folder_of, follow_link, is_match, resolve_pattern
from heptad.exporter.sources.file.log_file import Checkpoint
from heptad.exporter.sources.file.paths import key_of, path_of
from heptad.exporter.sources.file.rotated_log import RotatedLog
from heptad.exporter.sources.file.rotation import is_rotated

if TYPE_CHECKING:
    from heptad.exporter.sources.file.notify import FileWatcher

_MOST_FILES: Final = 500
_MOST_UNSUPPORTED: Final = 10_000
_FEW: Final = 5
_FORGET: Final = 86_400 * 10**9


class LogState(msgspec.Struct):
    """The state of one log; ``lineage`` counts its bytes over all its files."""

    checkpoints: list[Checkpoint] = msgspec.field(name="positions")
    last_time: int | None
    lineage: int
    recent: bytes = b""


class FileSource:
    """The log files that match ``globs``.

    ``zone`` is the time zone of timestamps without one; ``max_line`` is the maximum length of a
    line in bytes. ``now`` returns the time in nanoseconds, for tests. ``locale`` is the locale of
    timestamps; ``programs`` are the log names of the programs of interest. Rotated files are also
    searched in ``olddir``, relative to the folder of the log. With ``follow_links``, a link that
    matches a pattern is followed wherever it points.
    """

    def __init__(  # noqa: PLR0913 - one argument per option
        self,
        name: str,
        globs: list[str],
        zone: tzinfo,
        max_line: int = 16_384,
        now: Callable[[], int] = time.time_ns,
        locale: str | None = None,
        programs: Container[str] = (),
        *,
        olddir: str | None = None,
        follow_links: bool = False,
    ) -> None:
        self.name = name
        self._olddirs = [Path(olddir)] if olddir else []
        self._follow_links = follow_links
        self._rejected: list[str] = []
        self._locale = locale
        self._programs = programs
        # the same file under two spellings would be read twice
        self._globs = list(dict.fromkeys(map(os.path.normpath, globs)))
        self._zone = zone
        self._max_line = max_line
        self._now = now
        self._logs: dict[str, RotatedLog] = {}
        self._headers: dict[str, HeaderParser] = {}
        self._lineage: dict[str, int] = {}
        self._unread: dict[str, LogState] = {}
        self._unsupported: set[str] = set()
        self._too_many = False
        self._new = False
        self._since: int | None = None
        self._watcher: FileWatcher | None = None

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        self._since = None if state else since
        # state of paths that are no longer configured is kept, in case they are added again
        known = msgspec.json.decode(state, type=dict[str, LogState]) if state else {}
        self._unread = {path_of(key): log for key, log in known.items()}
        for path in list(self._unread):
            pattern = next((p for p in self._globs if path == p or is_match(path, p)), None)
            if pattern is not None:
                self._add(path, pattern)

    def _add(self, path: str, pattern: str) -> None:
        state = self._unread.pop(path, None)
        base = None if path == pattern or self._follow_links else folder_of(pattern)
        log = RotatedLog(Path(path), self._max_line, self._now, self._olddirs, base)
        if state is not None:
            log.restore(state.checkpoints, state.recent)
        elif self._since is not None:
            log.begin(self._since)
        self._new = self._new or state is None
        self._logs[path] = log
        last = state.last_time if state else None
        self._headers[path] = HeaderParser(
            TimestampParser(self._zone, last), Provenance(show_path(path)), self._locale
        )
        self._lineage[path] = state.lineage if state else 0

    def start(self, wake: threading.Event) -> None:
        from heptad.exporter.sources.file.notify import FileWatcher  # noqa: PLC0415 - not needed with `--once`

        self._watcher = FileWatcher(self._globs, wake)

    def read(self) -> RecordBatch | None:
        """Return the next lines of the first log that has any."""
        self._find_new()
        for path, log in self._logs.items():
            found = log.read()
            if found is None:
                continue
            # the next call starts with another log: a busy one must not starve the others
            self._logs[path] = self._logs.pop(path)
            self._lineage[path] += found.read_bytes
            return self._batch(self._headers[path], found)
        gaps = self._take_gaps()
        # commit the start of a new log at once: its rotated files are read from then on
        return RecordBatch([], self._state(), gaps) if gaps or self._new else None

    def _find_new(self) -> None:
        if self._watcher is not None:
            self._watcher.renew()
        self._too_many = False
        self._rejected = []
        for pattern in self._globs:
            matches = [pattern]
            if glob.has_magic(pattern):
                # glob accepts an absolute pattern; Path.glob does not before Python 3.13
                matches = sorted(glob.glob(pattern))  # noqa: PTH207
            for path in matches:
                if path in self._logs or path in self._unsupported:
                    continue
                if len(self._logs) + len(self._rejected) >= _MOST_FILES:
                    self._too_many = True
                elif path != pattern and self._is_part_of_other(path, matches):
                    self._unsupported.add(path)
                elif path == pattern or self._may_follow(path, pattern):
                    self._add(path, pattern)
        self._since = None  # a file that appears later is read from its start
        if len(self._unsupported) > _MOST_UNSUPPORTED:
            self._unsupported.clear()
        self._forget()

    def _is_part_of_other(self, path: str, matches: list[str]) -> bool:
        """Return whether a match is already read as a rotated file, or under another name."""
        others = self._logs.keys() | matches
        target = os.path.realpath(path) if Path(path).is_symlink() else path
        if target != path and target in others:
            return True
        return any(is_rotated(path, other) for other in others)

    def _may_follow(self, path: str, pattern: str) -> bool:
        """Return whether a match is not a link, or one that may be followed."""
        target = None if self._follow_links else follow_link(path, pattern)
        if target is None:
            return True
        # a target that matches is read under its own name
        if not any(is_match(target, resolve_pattern(pattern)) for pattern in self._globs):
            self._rejected.append(show_path(path))
        return False

    def _forget(self) -> None:
        """Forget matches that were deleted: programs with dates in file names leave many."""
        since = self._now() - _FORGET
        over = [path for path, log in self._logs.items() if log.missing and log.is_over(since)]
        for path in [path for path in over if path not in self._globs]:
            self._logs.pop(path).close()
            del self._headers[path], self._lineage[path]

    def _batch(self, header: HeaderParser, found: Lines) -> RecordBatch:
        header.timestamps.reference = self._now()
        records, strange = header.parse_text(found.text, found.before)
        return RecordBatch(
            records,
            self._state(),
            self._take_gaps(),
            headless=len(strange),
            oversized=found.oversized,
            read_bytes=found.read_bytes,
            strange=strange[:_FEW],
        )

    def _state(self) -> bytes:
        self._new = False
        states = {
            path: LogState(
                log.checkpoints(),
                self._headers[path].timestamps.last,
                self._lineage[path],
                log.recent.dump(),
            )
            for path, log in self._logs.items()
        }
        known = self._unread | states
        return msgspec.json.encode({key_of(path): log for path, log in known.items()})

    def _take_gaps(self) -> list[Gap]:
        gaps = [gap for log in self._logs.values() for gap in log.gaps]
        for log in self._logs.values():
            log.gaps.clear()
        return gaps

    def health(self) -> SourceHealth:
        problems = [
            f"{show_path(path)}: {problem}"
            for path, log in self._logs.items()
            for problem in (log.problem, self._headers[path].problem)
            if problem
        ]
        problems += [
            f"{show_path(path)}: the file does not exist"
            for path in self._globs
            if path in self._logs and self._logs[path].missing
        ]
        if not self._logs:
            problems.append(f"no file matches {', '.join(map(show_path, self._globs))}")
        if self._rejected:
            problems.append(
                f"{', '.join(self._rejected[:_FEW])}: links to files outside the paths of this "
                "source are not followed; add the target to `paths`, or set `follow_links: "
                "true`"
            )
        if self._too_many:
            problems.append(f"more than {_MOST_FILES} files match; the others are not read")
        behind = sum(log.behind() for log in self._logs.values())
        unwatched = self._watcher.problem if self._watcher is not None else None
        told = "; ".join(problems[:_FEW]) or None
        return SourceHealth(behind, told, deaf=self._deaf(), unwatched=unwatched)

    def _deaf(self) -> dict[str, str]:
        """Detect files that were deleted or replaced outside of a mount, unseen by this process."""
        unlinked = [show_path(path) for path, log in self._logs.items() if log.unlinked]
        if not unlinked:
            return {}
        told = (
            f"{', '.join(unlinked[:_FEW])}: the open file was deleted or rotated outside of "
            "this mount (0 links); mount its directory, not the file"
        )
        return {"unlinked": told}

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
        for log in self._logs.values():
            log.close()

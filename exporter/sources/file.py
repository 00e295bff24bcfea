"""Log files: globs, each match a log of its own, read through every rotation."""

import glob
import threading
import time as clock
from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path
from typing import Final

import msgspec

from exporter.parsers.header import Clock, HeaderParser
from exporter.record import Origin
from exporter.sources import Batch, Gap, SourceHealth
from exporter.sources.log import Log
from exporter.sources.segment import Position
from exporter.sources.watch import Watch

_MOST_FILES: Final = 1000
_FEW: Final = 5


class LogState(msgspec.Struct):
    """What the next line of one log depends on; ``lineage`` counts its bytes over all files."""

    positions: list[Position]
    last_time: int | None
    lineage: int


class FileSource:
    """The log files that match ``globs``.

    ``zone`` is the zone of stamps without one; ``max_line`` bytes is the longest line that is
    read. ``now`` gives the time in nanoseconds, for tests.
    """

    def __init__(
        self,
        name: str,
        globs: list[str],
        zone: tzinfo,
        max_line: int = 16_384,
        now: Callable[[], int] = clock.time_ns,
    ) -> None:
        self.name = name
        self._globs = globs
        self._zone = zone
        self._max_line = max_line
        self._now = now
        self._logs: dict[str, Log] = {}
        self._headers: dict[str, HeaderParser] = {}
        self._lineage: dict[str, int] = {}
        self._watch: Watch | None = None

    def restore(self, state: bytes | None) -> None:
        """See Source.restore."""
        known = msgspec.json.decode(state, type=dict[str, LogState]) if state else {}
        for path, log_state in known.items():
            self._add(path, log_state)

    def _add(self, path: str, state: LogState | None = None) -> None:
        log = Log(Path(path), self._max_line, self._now)
        if state is not None:
            log.restore(state.positions)
        self._logs[path] = log
        last = state.last_time if state else None
        self._headers[path] = HeaderParser(Clock(self._zone, last), Origin(path))
        self._lineage[path] = state.lineage if state else 0

    def start(self, wake: threading.Event) -> None:
        """See Source.start."""
        self._watch = Watch(self._globs, wake)

    def read(self) -> Batch | None:
        """See Source.read: the next lines of the first log that has any."""
        self._find_new()
        for path, log in self._logs.items():
            log.follow()
            found = log.read()
            if found is None:
                continue
            # the next call begins with another log: a busy one must not starve the rest
            self._logs[path] = self._logs.pop(path)
            self._lineage[path] += found.read_bytes
            batch = self._batch(self._headers[path], found.lines)
            batch.oversized = found.oversized
            batch.read_bytes = found.read_bytes
            return batch
        gaps = self._take_gaps()
        return Batch([], self._state(), gaps) if gaps else None

    def _find_new(self) -> None:
        if self._watch is not None:
            self._watch.renew()
        for pattern in self._globs:
            matches = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
            for path in matches:
                if path not in self._logs and len(self._logs) < _MOST_FILES:
                    self._add(path)

    def _batch(self, header: HeaderParser, lines: list[str]) -> Batch:
        header.clock.reference = self._now()
        records, strange = header.parse_lines(lines)
        batch = Batch(records, self._state(), self._take_gaps(), len(lines), len(strange))
        batch.strange = strange[:_FEW]
        return batch

    def _state(self) -> bytes:
        return msgspec.json.encode(
            {
                path: LogState(log.positions(), self._headers[path].clock.last, self._lineage[path])
                for path, log in self._logs.items()
            }
        )

    def _take_gaps(self) -> list[Gap]:
        gaps = [gap for log in self._logs.values() for gap in log.gaps]
        for log in self._logs.values():
            log.gaps.clear()
        return gaps

    def health(self) -> SourceHealth:
        """See Source.health."""
        problems = [f"{path}: {log.problem}" for path, log in self._logs.items() if log.problem]
        if not self._logs:
            problems = [f"no file matches {', '.join(self._globs)}"]
        behind = sum(log.behind() for log in self._logs.values())
        return SourceHealth(behind, "; ".join(problems[:_FEW]) or None)

    def close(self) -> None:
        """See Source.close."""
        if self._watch is not None:
            self._watch.close()
        for log in self._logs.values():
            log.close()

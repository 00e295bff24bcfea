"""Rotation against a model: whatever happens to a log, every line is read exactly once."""

import gzip
import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

import msgspec
import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heptad.exporter.sources.file import log_file
from heptad.exporter.sources.file.source import FileSource
from tests.support.effort import tries

SECOND: Final = 10**9
MAX_LINE: Final = 512
EPOCH: Final = datetime(2026, 3, 1, tzinfo=UTC)


class Content(msgspec.Struct, eq=False):
    """What was written to one file, wherever it is now; ``numbers`` of the lines in it."""

    path: Path
    numbers: list[int] = []


class RotatedLog(RuleBasedStateMachine):
    """A writer, a rotation like logrotate's, and a reader that may crash at any step."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(log_file, "CHUNK", 700)  # so that files have more than one
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "auth.log"
        self.now = int(EPOCH.timestamp()) * SECOND
        self.count = self.oversized = self.oversized_seen = 0
        self.rest = b""
        self.lagging = False
        self.state: bytes | None = None
        self.seen: list[int] = []

    @initialize(dated=st.booleans(), empty=st.booleans())
    def begin(self, dated: bool, empty: bool) -> None:
        """The exporter first starts when there is a file, empty or not."""
        self.dated = dated
        self.rotated: list[Content] = []  # newest first
        self.current = Content(self.path, [])
        self.writer = self.open_writer()
        self.touch(self.path)
        self.source = self.make_source()
        if not empty:
            self.append(1, "\n")
        self.read_and_commit()

    # the writer

    def open_writer(self) -> IO[bytes]:
        return self.path.open("ab", buffering=0)

    def touch(self, path: Path) -> None:
        """What the kernel does by the real clock is done by the model's."""
        self.now += 10**7
        os.utime(path, ns=(self.now, self.now))

    def target(self) -> Content:
        return self.rotated[0] if self.lagging else self.current

    def write(self, data: bytes) -> None:
        self.writer.write(data)
        self.touch(self.target().path)

    def make_line(self, end: str, pad: int = 0) -> bytes:
        self.count += 1
        stamp = (EPOCH + timedelta(seconds=self.count)).isoformat()
        return f"{stamp} host sshd[{self.count}]: Connection closed{' x' * pad}{end}".encode()

    @rule(lines=st.integers(1, 12), end=st.sampled_from(["\n", "\r\n"]))
    def append(self, lines: int, end: str) -> None:
        """Whole lines, in one write."""
        self.finish_line()
        written = [self.make_line(end) for _ in range(lines)]
        self.target().numbers += range(self.count - lines + 1, self.count + 1)
        self.write(b"".join(written))

    @rule(cut=st.integers(1, 60))
    def append_part(self, cut: int) -> None:
        """A line that is written in two parts."""
        self.finish_line()
        line = self.make_line("\n")
        self.target().numbers.append(self.count)
        self.write(line[:cut])
        self.rest = line[cut:]

    @rule(pad=st.sampled_from([240, 400, 2000]), cut=st.integers(0, 3000))
    def append_oversized(self, pad: int, cut: int) -> None:
        """A line above the maximum, whole or in two parts."""
        self.finish_line()
        line = self.make_line("\n", pad)
        self.oversized += 1
        self.write(line[:cut] or line)
        self.rest = line[cut:] if cut else b""

    @rule()
    def append_invalid(self) -> None:
        """Bytes that are no UTF-8 belong to a line as all others do."""
        self.finish_line()
        line = self.make_line("\xff\n").decode().encode("latin-1")
        self.target().numbers.append(self.count)
        self.write(line)

    @rule()
    def finish_line(self) -> None:
        """The rest of what was begun."""
        if self.rest:
            rest, self.rest = self.rest, b""
            self.write(rest)

    # the rotation

    def shift(self, packed: str = "") -> Path:
        """Make room for the newest rotated file, and say where."""
        if self.dated:
            stamp = EPOCH + timedelta(days=self.count + len(self.rotated))
            days = [c.path.name for c in self.rotated]
            while any(f"-{stamp:%Y%m%d}" in name for name in days):
                stamp += timedelta(days=1)
            return self.folder / f"auth.log-{stamp:%Y%m%d}{packed}"
        for number, content in reversed(list(enumerate(self.rotated, 1))):
            suffix = ".gz" if content.path.suffix == ".gz" else ""
            content.path = content.path.rename(self.folder / f"auth.log.{number + 1}{suffix}")
        return self.folder / f"auth.log.1{packed}"

    def start_new(self, rotated: Path) -> None:
        self.current.path = rotated
        self.rotated.insert(0, self.current)
        self.current = Content(self.path, [])

    @rule(create=st.booleans())
    def rotate_by_rename(self, create: bool) -> None:
        """Renamed; the writer is told later."""
        self.reopen()
        rotated = self.shift()
        self.path.rename(rotated)
        self.start_new(rotated)
        self.lagging = True
        if create:
            self.path.touch()
            self.touch(self.path)

    @rule()
    def rotate_without_newline(self) -> None:
        """A file whose last line has no end is rotated, and goes on in the new one."""
        self.reopen()
        self.write(self.make_line(""))
        self.current.numbers.append(self.count)
        self.rotate_by_rename(create=True)
        self.reopen()

    @rule()
    def reopen(self) -> None:
        """The writer opens its file anew."""
        self.finish_line()
        if self.lagging:
            self.writer.close()
            self.writer = self.open_writer()
            self.touch(self.path)
            self.lagging = False

    @rule(read_between=st.booleans())
    def rotate_by_copytruncate(self, read_between: bool) -> None:
        """Copied, then truncated; the reader may read on in between."""
        self.reopen()
        rotated = self.shift()
        shutil.copyfile(self.path, rotated)
        self.touch(rotated)
        if read_between:
            self.read_and_commit()
        self.writer.truncate(0)
        self.touch(self.path)
        self.start_new(rotated)

    @rule()
    def rotate_by_packing(self) -> None:
        """Renamed and compressed at once."""
        self.rotate_by_rename(create=True)
        self.reopen()
        self.pack(0)

    @precondition(lambda self: self.rotated)
    @rule(data=st.data())
    def pack_later(self, data: st.DataObject) -> None:
        """Compressed some time after it was renamed, as of delaycompress."""
        number = data.draw(st.integers(0, len(self.rotated) - 1))
        if number == 0:
            self.reopen()
        self.pack(number)

    def pack(self, number: int) -> None:
        content = self.rotated[number]
        if content.path.suffix == ".gz":
            return
        packed = content.path.with_name(content.path.name + ".gz")
        status = content.path.stat()
        packed.write_bytes(gzip.compress(content.path.read_bytes(), 1))
        os.utime(packed, ns=(status.st_mtime_ns, status.st_mtime_ns))
        content.path.unlink()
        content.path = packed

    @precondition(lambda self: self.rotated)
    @rule()
    def delete_oldest(self) -> None:
        """What was read and is quiet may go."""
        oldest = self.rotated[-1]
        assume(set(oldest.numbers) <= set(self.seen))
        self.drain()
        self.rotated.pop().path.unlink()

    # the reader

    def make_source(self) -> FileSource:
        source = FileSource("auth", [str(self.path)], UTC, MAX_LINE, lambda: self.now)
        source.restore(self.state)
        return source

    @rule()
    def read_and_commit(self) -> None:
        """One batch, committed."""
        self.take_batch()

    def take_batch(self) -> bool:
        """Read a batch and commit it; whether there was one."""
        batch = self.source.read()
        if batch is None:
            return False
        assert not batch.gaps, batch.gaps
        assert batch.headless == 0
        self.seen += [int(record.pid or 0) for record in batch.records]
        self.oversized_seen += batch.oversized
        self.state = batch.state
        return True

    @rule(batches=st.integers(0, 3))
    def crash(self, batches: int) -> None:
        """What was read and not committed was never read."""
        for _ in range(batches):
            self.source.read()
        self.source.close()
        self.source = self.make_source()

    @rule(seconds=st.sampled_from([1, 59, 3600, 3 * 86_400, -30, -7200]))
    def pass_time(self, seconds: int) -> None:
        """Time passes, or the clock is set back; a daemon is told of a rotation in good time."""
        if abs(seconds) > 30:
            self.reopen()
        # where nothing was read yet, the time alone tells what was written since the first start
        assume(seconds > 0 or self.seen)
        self.now += seconds * SECOND

    def drain(self) -> None:
        """All that was written is read once rotated files are quiet and the log goes on."""
        self.append(1, "\n")
        self.reopen()
        self.append(1, "\n")
        # the clock may have been set back behind the last change of a file
        changed = [c.path.stat().st_mtime_ns for c in (*self.rotated, self.current)]
        self.now = max(self.now, *changed) + 120 * SECOND
        while self.take_batch():
            pass
        self.append(1, "\n")
        while self.take_batch():
            pass
        written = {n for content in (*self.rotated, self.current) for n in content.numbers}
        assert written <= set(self.seen)

    @invariant()
    def nothing_is_read_twice(self) -> None:
        assert len(self.seen) == len(set(self.seen))

    def teardown(self) -> None:
        try:
            if hasattr(self, "writer"):
                self.finish()
        finally:
            if hasattr(self, "writer"):
                self.writer.close()
                self.source.close()
            self.patch.undo()
            shutil.rmtree(self.folder)

    def finish(self) -> None:
        """Everything exactly once, no gap, and in order within a file."""
        self.drain()
        self.nothing_is_read_twice()
        assert self.oversized_seen == self.oversized
        place = {number: place for place, number in enumerate(self.seen)}
        for content in (*self.rotated, self.current):
            places = [place[number] for number in content.numbers]
            assert places == sorted(places)


TestRotatedLog = RotatedLog.TestCase
TestRotatedLog.settings = settings(
    max_examples=tries(300),
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
)

"""What programs do to a log, in steps, and a way to run a step before a given system call.

Each operation is a generator: the code between two ``yield`` is one step.
"""

import gzip
import lzma
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

from heptad.exporter.sources.file.source import FileSource

SECOND: Final = 10**9
EPOCH: Final = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
_NO_LOOK: Final = frozenset({"fspath", "close", "_path_normpath"})
"""Calls that do not stat, list, open or read a file."""

Steps = Iterator[None]


class Strikes:
    """Runs ``steps[n]`` right before the n-th system call on a file (from 1) within the block.

    It covers the functions of `os`, and the methods of Python's file objects.
    """

    def __init__(self, steps: Mapping[int, Callable[[], object]]) -> None:
        self.kinds: list[str] = []
        self.struck: list[str] = []
        self._steps = steps

    def __enter__(self) -> Self:
        sys.setprofile(self._before)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _before(self, _: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        kind = kind_of(function)
        if kind is None:
            return
        self.kinds.append(kind)
        step = self._steps.get(len(self.kinds))
        if step is not None:
            self.struck.append(kind)
            step()


def kind_of(function: Any) -> str | None:
    """Return the name of a builtin that accesses files; None for any other."""
    if getattr(function, "__module__", None) == "posix":
        return None if function.__name__ in _NO_LOOK else str(function.__name__)
    owner = type(getattr(function, "__self__", None))
    if owner.__module__ == "_io" and function.__name__ not in ("close", "fileno", "seek", "tell"):
        return f"{owner.__name__}.{function.__name__}"
    return None


class World:
    """A log in a directory, what was written to it, and a source that reads it and may crash.

    ``destroyed`` are lines that were deleted, possibly unread. ``doubtful``: since the last
    ``wait`` lines may have been lost, so a gap is correct. ``untraced`` lines cannot be known to
    anyone: they were deleted from a file while the source was down. ``alike`` consecutive lines
    differ only in their timestamps, and twice as many are in one second.
    """

    def __init__(self, folder: Path, alike: int = 1) -> None:
        self.folder = folder / "log"
        self.folder.mkdir()
        self.path = self.folder / "auth.log"
        self.now = EPOCH * SECOND
        self.rotations = 0
        self.alike = alike
        self.written: list[str] = []
        self.destroyed = set[str]()
        self.untraced = set[str]()
        self.told = Counter[str]()
        self.doubtful = False
        self.was_up = True
        self.seen = Counter[str]()
        self.gaps: list[str] = []
        self.state: bytes | None = None
        self.writer = self.path.open("ab", buffering=0)
        self.touch()
        self.source = self.make_source()
        self.read()

    def make_source(self) -> FileSource:
        """Create a source that continues from the last commit."""
        source = FileSource("auth", [str(self.path)], UTC, 512, lambda: self.now)
        source.restore(self.state)
        return source

    def restart(self) -> None:
        """Continue from the last commit."""
        self.source.close()
        self.source = self.make_source()

    def read_batch(self) -> bool:
        """Read one batch, and commit it; return whether there was one."""
        batch = self.source.read()
        if batch is None:
            return False
        self.seen.update(record.raw for record in batch.records)
        self.gaps += [f"{gap.reason}: {gap.detail}" for gap in batch.gaps]
        self.state = batch.state
        return True

    def read(self) -> None:
        """Read everything."""
        while self.read_batch():
            pass

    # the writer

    @property
    def file(self) -> Path:
        """The file to rotate: the log or, if that is a link, its target."""
        return Path(os.path.realpath(self.path))

    def touch(self, path: Path | None = None) -> None:
        """Set the file's time, which the kernel takes from the real clock, to that of the model."""
        self.now += 10**7
        os.utime(path or self.writer.fileno(), ns=(self.now, self.now))

    def append(self, lines: int = 5) -> Steps:
        """Append lines in one write."""
        first = len(self.written)
        for number in range(first + 1, first + lines + 1):
            second = number // (self.alike * 2) if self.alike > 1 else number
            stamp = datetime.fromtimestamp(EPOCH + second, UTC).isoformat()
            self.written.append(f"{stamp} host sshd[{number // self.alike}]: Connection closed")
        self.writer.write("".join(f"{line}\n" for line in self.written[first:]).encode())
        self.touch()
        yield

    def append_to_old(self) -> Steps:
        """Append to a file without a name, because the daemon has not reopened its log yet."""
        # lines that appear and disappear with such a file while nobody has it open cannot be known
        if self.was_up:
            yield from self.append()

    def reopen(self) -> None:
        """Reopen the log, as the daemon does."""
        self.writer.close()
        self.writer = self.path.open("ab", buffering=0)

    def write_file(self, path: Path, data: bytes) -> None:
        """Write a file with this content."""
        path.write_bytes(data)
        self.touch(path)

    def next_name(self) -> Path:
        """Return the name to which the log is rotated."""
        self.rotations += 1
        return self.file.with_name(f"auth.log-{20260301 + self.rotations}")

    # operations on the log

    def rename(self) -> Steps:
        """logrotate's `create`: the daemon writes to the old file until it is signalled."""
        self.file.rename(self.next_name())
        yield
        yield from self.append()
        self.file.touch()
        self.touch(self.file)
        yield
        yield from self.append()
        self.reopen()
        yield from self.append()

    def truncate(self) -> Steps:
        """The end of a `copytruncate`."""
        self.writer.truncate(0)
        self.touch()
        yield

    def copytruncate(self) -> Steps:
        """logrotate's `copytruncate`."""
        copy, data = self.next_name(), self.file.read_bytes()
        for part in (b"", data[: len(data) // 2], data):
            self.write_file(copy, part)
            yield
        yield from self.truncate()
        yield from self.append()

    def compress(self) -> Steps:
        """logrotate's `create` with `compress`."""
        plain = self.next_name()
        self.file.rename(plain)
        yield
        self.reopen()
        self.touch()
        yield
        packed, data = plain.with_name(plain.name + ".gz"), gzip.compress(plain.read_bytes())
        for part in (b"", data[: len(data) // 2], data):
            self.write_file(packed, part)
            yield
        plain.unlink()
        yield
        yield from self.append()

    def link(self) -> Steps:
        """savelog(8): a second name for the old file, then the new one replaces it."""
        os.link(self.file, self.next_name())
        yield
        new = self.file.with_name("new")
        self.write_file(new, b"")
        new.rename(self.file)
        yield
        self.reopen()
        yield from self.append()

    def replace(self, change: Callable[[bytes], bytes] = bytes) -> Steps:
        """An editor, `sed -i` or rsync: another file replaces it."""
        other = self.folder / "other"
        self.write_file(other, change(self.path.read_bytes()))
        yield
        # lines that are written after copying are not in the copy
        self.write_file(other, change(self.path.read_bytes()))
        other.rename(self.path)
        yield
        yield from self.append_to_old()
        self.reopen()
        yield from self.append()

    def delete_first_line(self) -> Steps:
        """`sed -i 1d`."""
        return self.replace(lambda data: self.destroy(data, 0, 1))

    def delete_last_line(self) -> Steps:
        """`sed -i '$d'`."""
        return self.replace(lambda data: self.destroy(data, data.count(b"\n") - 1, 1))

    def restore(self) -> Steps:
        """An older copy replaces it."""
        return self.replace(lambda data: self.destroy(data, data.count(b"\n") // 2, 1000))

    def destroy(self, data: bytes, first: int, number: int) -> bytes:
        """Return the content without some lines, which are lost if nobody has read them."""
        lines = data.splitlines(keepends=True)
        gone = [line.decode().strip("\0\n") for line in lines[first : first + number]]
        self.destroyed.update(gone)
        if not self.was_up:
            self.untraced.update(gone)
        self.doubtful = True
        return b"".join(lines[:first] + lines[first + number :])

    def rewrite(self) -> Steps:
        """An editor that writes in place, `rsync --inplace`, a restore with cp."""
        data = self.path.read_bytes()
        for part in (b"", data[: len(data) // 3], data[: len(data) // 2], data):
            with self.path.open("r+b") as file:
                file.truncate(0)
                file.write(part)
            self.touch(self.path)
            yield
        yield from self.append()

    def copy_back(self) -> Steps:
        """The log is moved, and a copy of it is created in its place."""
        away, data = self.folder / "away", self.path.read_bytes()
        self.path.rename(away)
        yield
        yield from self.append_to_old()
        data = away.read_bytes()
        for part in (b"", data[: len(data) // 3], data[: len(data) // 2], data):
            self.write_file(self.path, part)
            yield
        self.reopen()
        yield from self.append()

    def mount_over(self) -> Steps:
        """Another directory with copies of all files replaces this one (log2ram)."""
        under = self.folder.with_name(f"under-{len(self.written)}")
        copied = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        new = self.folder.with_name("new")
        new.mkdir()
        for name, data in copied.items():
            self.write_file(new / name, data)
        self.folder.rename(under)
        new.rename(self.folder)
        yield
        yield from self.append_to_old()
        self.reopen()
        yield from self.append()

    def copytruncate_and_compress(self) -> Steps:
        """logrotate's `copytruncate` with `compress`: the copy exists only briefly."""
        copy, data = self.next_name(), self.file.read_bytes()
        self.write_file(copy, data)
        yield
        yield from self.truncate()
        yield from self.append()
        packed = copy.with_name(copy.name + ".xz")
        for part in (lzma.compress(data)[:40], lzma.compress(data)):
            self.write_file(packed, part)
            yield
        copy.unlink()
        yield

    def copytruncate_with_hole(self) -> Steps:
        """`copytruncate` with a daemon that does not append: NUL bytes up to its old offset."""
        copy, data = self.next_name(), self.file.read_bytes()
        self.write_file(copy, data)
        yield
        yield from self.truncate()
        self.writer.truncate(len(data))
        yield from self.append()

    def copytruncate_keeping_time(self) -> Steps:
        """`cp --preserve` or `rsync --times`, then truncated: the copy looks as old as the log."""
        copy, data, then = self.next_name(), self.file.read_bytes(), self.file.stat().st_mtime_ns
        self.write_file(copy, data)
        yield
        os.utime(copy, ns=(then, then))
        yield
        yield from self.truncate()
        yield from self.append()

    def rename_by_numbers(self) -> Steps:
        """`auth.log.1` becomes `auth.log.2`, over the oldest, and the log `auth.log.1`."""
        oldest = self.file.with_name("auth.log.3")
        if oldest.exists():
            self.destroy(oldest.read_bytes(), 0, 1000)
        for number in (2, 1, 0):
            old = self.file.with_name(f"auth.log.{number}") if number else self.file
            if old.exists():
                old.rename(self.file.with_name(f"auth.log.{number + 1}"))
                yield
        yield from self.append()
        self.reopen()
        self.touch()
        yield
        yield from self.append()

    def mount_and_unmount(self) -> Steps:
        """Another directory with a copy of the log replaces this one, and is removed later."""
        under, over = self.folder.with_name("under"), self.folder.with_name("over")
        over.mkdir()
        self.write_file(over / self.path.name, self.path.read_bytes())
        self.folder.rename(under)
        over.rename(self.folder)
        yield
        yield from self.append_to_old()
        self.reopen()
        yield from self.append()
        data = self.path.read_bytes()
        self.destroy(data, 0, 1000)
        # lines that appeared and disappeared between two reads were seen by nobody
        self.untraced |= set(data.decode().splitlines())
        self.folder.rename(self.folder.with_name(f"over-{len(self.written)}"))
        under.rename(self.folder)
        yield
        self.reopen()
        yield from self.append()

    def turn_into_folder(self) -> Steps:
        """A directory replaces the log for a while."""
        away = self.folder / "away"
        self.path.rename(away)
        yield
        yield from self.append_to_old()
        self.path.mkdir()
        yield
        self.path.rmdir()
        yield
        away.rename(self.path)
        yield from self.append()

    def move_behind_link(self) -> Steps:
        """The log is moved elsewhere, and a link to it replaces it."""
        elsewhere = self.folder.with_name(f"elsewhere-{len(self.written)}")
        elsewhere.mkdir()
        self.path.rename(elsewhere / self.path.name)
        yield
        link = self.folder / "link"
        link.symlink_to(elsewhere / self.path.name)
        link.rename(self.path)
        yield
        yield from self.append()

    def unlink(self) -> Steps:
        """The log is deleted, and recreated by the daemon."""
        self.destroy(self.path.read_bytes(), 0, 1000)
        self.path.unlink()
        yield
        self.reopen()
        yield from self.append()

    # the end

    def wait(self) -> Steps:
        """Do nothing for so long that all earlier operations are complete."""
        self.settle()
        yield

    def settle(self) -> None:
        """Read everything after enough time has passed, and check the result."""
        self.reopen()
        for _ in self.append(1):
            self.read()
        self.now += 3 * SECOND
        self.read()
        self.now += 120 * SECOND
        for _ in self.append(1):
            self.read()
        written = Counter(self.written)
        doubled, lost = self.seen - written, written - self.seen - self.told
        assert not doubled, f"doubled {sorted(doubled.items())}"
        undue = {line: number for line, number in lost.items() if line not in self.destroyed}
        assert not undue, f"lost {sorted(undue.items())}"
        assert self.gaps or lost.keys() <= self.untraced, f"lost without a gap {sorted(lost)}"
        assert self.doubtful or not self.gaps, self.gaps
        self.told |= lost
        self.doubtful = False
        self.gaps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
        self.writer.close()


OPERATIONS: Final = {
    operation.__name__: operation
    for operation in (
        World.append,
        World.rename,
        World.copytruncate,
        World.compress,
        World.link,
        World.replace,
        World.delete_first_line,
        World.delete_last_line,
        World.restore,
        World.rewrite,
        World.copy_back,
        World.mount_over,
        World.copytruncate_and_compress,
        World.copytruncate_with_hole,
        World.copytruncate_keeping_time,
        World.rename_by_numbers,
        World.mount_and_unmount,
        World.turn_into_folder,
        World.move_behind_link,
        World.unlink,
    )
}

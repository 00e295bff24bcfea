"""What programs do to a log, step by step, and a way to do a step before a given system call.

Each operation is a generator: what stands between two of its ``yield`` is one step.
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
"""Calls that neither look at a file nor list, open or read one."""

Steps = Iterator[None]


class Strikes:
    """Runs ``steps[n]`` right before the n-th system call of the block (from 1) on a file.

    Whatever function makes it: those of `os`, and the methods of Python's file objects.
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
    """The name of a builtin that looks at files; None for any other."""
    if getattr(function, "__module__", None) == "posix":
        return None if function.__name__ in _NO_LOOK else str(function.__name__)
    owner = type(getattr(function, "__self__", None))
    if owner.__module__ == "_io" and function.__name__ not in ("close", "fileno", "seek", "tell"):
        return f"{owner.__name__}.{function.__name__}"
    return None


class World:
    """A log in a folder, what was written to it, and a source that reads it and may crash.

    ``destroyed`` are lines that were deleted where nobody may have read them. Until time enough
    has passed (``wait``) it is ``doubtful`` what came in between, so that a gap is right. Of
    ``untraced`` lines nobody can know: they were deleted from a file while the source was down.

    ``alike`` lines in a row are the same but for their stamps, and twice as many are of one second.
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
        """A source that goes on from what was committed last."""
        source = FileSource("auth", [str(self.path)], UTC, 512, lambda: self.now)
        source.restore(self.state)
        return source

    def restart(self) -> None:
        """Go on from what was committed."""
        self.source.close()
        self.source = self.make_source()

    def read_batch(self) -> bool:
        """One batch, committed; whether there was one."""
        batch = self.source.read()
        if batch is None:
            return False
        self.seen.update(record.raw for record in batch.records)
        self.gaps += [f"{gap.reason}: {gap.detail}" for gap in batch.gaps]
        self.state = batch.state
        return True

    def read(self) -> None:
        """All that is there."""
        while self.read_batch():
            pass

    # the writer

    @property
    def file(self) -> Path:
        """What is rotated: the log or, if that is a link, where it leads."""
        return Path(os.path.realpath(self.path))

    def touch(self, path: Path | None = None) -> None:
        """What the kernel does by the real clock is done by the model's."""
        self.now += 10**7
        os.utime(path or self.writer.fileno(), ns=(self.now, self.now))

    def append(self, lines: int = 5) -> Steps:
        """Lines, in one write."""
        first = len(self.written)
        for number in range(first + 1, first + lines + 1):
            second = number // (self.alike * 2) if self.alike > 1 else number
            stamp = datetime.fromtimestamp(EPOCH + second, UTC).isoformat()
            self.written.append(f"{stamp} host sshd[{number // self.alike}]: Connection closed")
        self.writer.write("".join(f"{line}\n" for line in self.written[first:]).encode())
        self.touch()
        yield

    def append_to_old(self) -> Steps:
        """The daemon does not know yet that its file has no name any more."""
        # nobody can know of lines that come and go with such a file while nobody has it open
        if self.was_up:
            yield from self.append()

    def reopen(self) -> None:
        """The daemon opens its log anew."""
        self.writer.close()
        self.writer = self.path.open("ab", buffering=0)

    def write_file(self, path: Path, data: bytes) -> None:
        """A file with this content."""
        path.write_bytes(data)
        self.touch(path)

    def next_name(self) -> Path:
        """Where the log is rotated to."""
        self.rotations += 1
        return self.file.with_name(f"auth.log-{20260301 + self.rotations}")

    # what is done to the log

    def rename(self) -> Steps:
        """logrotate's `create`: the daemon writes on in the old file until it is told."""
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
        """savelog(8): a second name for the old file, then the new one in its place."""
        os.link(self.file, self.next_name())
        yield
        new = self.file.with_name("new")
        self.write_file(new, b"")
        new.rename(self.file)
        yield
        self.reopen()
        yield from self.append()

    def replace(self, change: Callable[[bytes], bytes] = bytes) -> Steps:
        """An editor, `sed -i` or rsync: another file in its place."""
        other = self.folder / "other"
        self.write_file(other, change(self.path.read_bytes()))
        yield
        # what is written after it was copied is not in the copy
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
        """An older copy in its place."""
        return self.replace(lambda data: self.destroy(data, data.count(b"\n") // 2, 1000))

    def destroy(self, data: bytes, first: int, number: int) -> bytes:
        """The lines without some, which are lost where nobody has read them."""
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
        """Moved away, and a copy made in its place."""
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
        """Another folder in its place, with copies of all that was there (log2ram)."""
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
        """logrotate's `copytruncate` with `compress`: the copy is gone soon."""
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
        """`copytruncate` under a daemon that does not append: NUL bytes up to where it was."""
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
        """Another folder in its place, with a copy of the log, which is gone again later."""
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
        # what came and went between two looks was seen by nobody
        self.untraced |= set(data.decode().splitlines())
        self.folder.rename(self.folder.with_name(f"over-{len(self.written)}"))
        under.rename(self.folder)
        yield
        self.reopen()
        yield from self.append()

    def turn_into_folder(self) -> Steps:
        """A folder in its place for a while."""
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
        """The log is moved elsewhere, and a link to it takes its place."""
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
        """Deleted, and made anew by the daemon."""
        self.destroy(self.path.read_bytes(), 0, 1000)
        self.path.unlink()
        yield
        self.reopen()
        yield from self.append()

    # the end

    def wait(self) -> Steps:
        """Nothing happens for so long that all that was done to the log before is over."""
        self.settle()
        yield

    def settle(self) -> None:
        """Time enough for everything: read what is there, and check what was read."""
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

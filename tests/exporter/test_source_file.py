"""What is defined for every state a log file may be in: see docs/sources.md."""

import bz2
import errno
import gzip
import lzma
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import pytest
from watchdog.utils import BaseThread

from heptad.exporter.sources.file.log_file import CHUNK, FINGERPRINT_SIZE
from heptad.exporter.sources.file.source import FileSource
from tests.support import needs

SECOND: Final = 10**9
MINUTE: Final = 60 * SECOND
MAX_LINE: Final = 400
PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def line(number: int, text: str = "x", end: str = "\n") -> str:
    """A line with a number; its stamp lets no two lines begin alike."""
    stamp = f"2026-03-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return f"{stamp} host sshd[{number}]: {text}{end}"


def lines(*numbers: int) -> str:
    """A line for each number."""
    return "".join(map(line, numbers))


class Reader:
    """A source whose batches are committed, and what came of them."""

    def __init__(self, *globs: Path | str) -> None:
        self.globs = [str(pattern) for pattern in globs]
        self.state: bytes | None = None
        self.late = 0
        self.gaps: list[str] = []
        self.oversized = 0
        self.source = self._make()

    def _make(self) -> FileSource:
        source = FileSource("auth", self.globs, UTC, MAX_LINE, self.now)
        source.restore(self.state)
        return source

    def now(self) -> int:
        """The time; ``late`` ns after what the machine says."""
        return max(path.lstat().st_ctime_ns for path in self._folder().iterdir()) + self.late

    def _folder(self) -> Path:
        folder = Path(self.globs[0]).parent
        return folder if folder.is_dir() and any(folder.iterdir()) else Path("/")

    def read(self) -> list[int]:
        """The numbers of all lines that are there now, committed batch by batch."""
        found: list[int] = []
        while (batch := self.source.read()) is not None:
            found += [int(record.pid or 0) for record in batch.records]
            self.gaps += [gap.reason for gap in batch.gaps]
            self.oversized += batch.oversized
            self.state = batch.state
        return found

    def wait(self) -> list[int]:
        """What is there when a file that was cut has had the time to come back."""
        self.late += 3 * SECOND
        return self.read()

    def restart(self) -> None:
        """Go on from what was committed last; after a crash it is the same."""
        self.source.close()
        self.source = self._make()

    def problem(self) -> str:
        """What the source says is wrong."""
        return self.source.health().problem or ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with two lines."""
    path = tmp_path / "auth.log"
    path.write_text(lines(1, 2))
    return path


@pytest.fixture
def make_reader() -> Iterator[Callable[..., Reader]]:
    """Make readers, which are closed at the end."""
    made: list[Reader] = []

    def make(*globs: Path | str) -> Reader:
        made.append(Reader(*globs))
        return made[-1]

    yield make
    for reader in made:
        reader.source.close()


MakeReader = Callable[..., Reader]


@pytest.fixture
def reader(path: Path, make_reader: MakeReader) -> Reader:
    """A reader that has read these two."""
    reader = make_reader(path)
    assert reader.read() == [1, 2]
    return reader


def append(path: Path, text: str | bytes) -> None:
    """Add to a file."""
    with path.open("ab") as file:
        file.write(text if isinstance(text, bytes) else text.encode())


@pytest.mark.parametrize("down", [False, True])
def test_rename_while_the_daemon_writes_on(path: Path, reader: Reader, down: bool) -> None:
    """After a rename, the lines that the daemon still writes to the old file are read too."""
    append(path, line(3))
    rotated = path.rename(path.with_name("auth.log.1"))
    append(rotated, line(4))
    append(path, line(5))
    if down:
        reader.restart()
    assert reader.read() == [3, 4, 5]
    append(rotated, line(6))
    append(path, line(7))
    assert reader.read() == [6, 7]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
def test_copytruncate(path: Path, reader: Reader, down: bool) -> None:
    """What was written between the last read and the truncation is read from the copy."""
    append(path, line(3))
    shutil.copyfile(path, path.with_name("auth.log.1"))
    os.truncate(path, 0)
    append(path, line(4))
    if down:
        reader.restart()
    assert reader.read() == [3, 4]
    assert not reader.gaps


def test_copytruncate_of_what_was_read_after_the_copy(path: Path, reader: Reader) -> None:
    """Lines read between copying and truncating are no lost tail of the copy."""
    shutil.copyfile(path, path.with_name("auth.log.1"))
    append(path, line(3))
    assert reader.read() == [3]
    os.truncate(path, 0)
    append(path, line(4))
    assert reader.read() == [4]
    assert not reader.gaps


def test_copytruncate_of_a_file_that_was_seen_empty(path: Path, reader: Reader) -> None:
    """Lines that came and were rotated away between two looks at an empty file are read."""
    path.rename(path.with_name("auth.log.2"))
    path.touch()
    assert reader.read() == []
    append(path, line(3))
    shutil.copyfile(path, path.with_name("auth.log.1"))
    os.truncate(path, 0)
    append(path, line(4))
    assert reader.read() == [3, 4]


def test_copytruncate_and_compress_of_a_file_that_was_seen_empty(
    tmp_path: Path, make_reader: MakeReader
) -> None:
    """The copy is read though the file that it was made of is gone by then."""
    path = tmp_path / "auth.log"
    path.touch()
    reader = make_reader(path)
    assert reader.read() == []
    append(path, line(3))
    shutil.copyfile(path, path.with_name("auth.log.2"))
    later = path.with_name("auth.log.2").stat().st_mtime_ns + 10**7
    os.truncate(path, 0)
    os.utime(path, ns=(later, later))
    path.with_name("auth.log.1.gz").write_bytes(gzip.compress(b""))
    path.unlink()
    append(path, line(4))
    assert reader.read() == [3, 4]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("suffix", PACKERS)
def test_rename_and_compress(path: Path, reader: Reader, suffix: str, down: bool) -> None:
    """A compressed file is read on where the plain one was left, and read once."""
    append(path, line(3))
    path.with_name(f"auth.log.1{suffix}").write_bytes(PACKERS[suffix](path.read_bytes()))
    path.unlink()
    append(path, line(4))
    if down:
        reader.restart()
    assert reader.read() == [3, 4]
    reader.restart()
    assert reader.read() == []
    assert not reader.gaps


@pytest.mark.parametrize(
    "names",
    [
        ("auth.log.3.gz", "auth.log.2", "auth.log.1"),
        ("auth.log-20260301.gz", "auth.log-20260302", "auth.log-20260303"),
        ("auth-2026-03-01.log.gz", "auth-2026-03-02.log", "auth-2026-03-03.log"),
    ],
)
def test_several_rotations_while_down(path: Path, reader: Reader, names: tuple[str, ...]) -> None:
    """All unread rotated files are read in the order of their names, whatever their times say."""
    append(path, line(3))
    reader.source.close()
    for age, (name, text) in enumerate(
        zip(names, (path.read_text(), line(4), line(5)), strict=True)
    ):
        target = path.with_name(name)
        data = text.encode()
        target.write_bytes(gzip.compress(data) if target.suffix == ".gz" else data)
        os.utime(target, (10**9 - age, 10**9 - age))
    path.write_text(line(6))
    reader.restart()
    assert reader.read() == [3, 4, 5, 6]
    assert not reader.gaps


def test_first_start(tmp_path: Path, make_reader: MakeReader) -> None:
    """At the first start the file is read from its beginning, and none that was rotated before."""
    (tmp_path / "auth.log.1").write_text(line(1))
    (tmp_path / "auth.log").write_text(line(2))
    assert make_reader(tmp_path / "auth.log").read() == [2]


def test_first_start_with_an_empty_file(tmp_path: Path, make_reader: MakeReader) -> None:
    """From the first start on rotated files are read, though no line was there yet."""
    path = tmp_path / "auth.log"
    path.touch()
    reader = make_reader(path)
    assert reader.read() == []
    append(path, line(1))
    path.rename(path.with_name("auth.log.1"))
    append(path, line(2))
    reader.restart()
    assert reader.read() == [1, 2]


def test_reused_inode(path: Path, reader: Reader) -> None:
    """A new file with the old one's inode is a new file; the old content is found elsewhere."""
    append(path, line(3))
    reader.source.close()
    shutil.copyfile(path, path.with_name("auth.log.1"))
    os.truncate(path, 0)
    append(path, lines(4, 5, 6, 7))
    reader.restart()
    assert reader.read() == [3, 4, 5, 6, 7]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
def test_truncated_without_a_copy(path: Path, reader: Reader, down: bool) -> None:
    """Cut below the position and written anew: a gap, and the new lines from the beginning."""
    os.truncate(path, 0)
    append(path, line(3))
    if down:
        reader.restart()
    assert reader.read() == [3]
    assert reader.gaps == ["truncated"]


@pytest.mark.parametrize("down", [False, True])
def test_rotated_away(path: Path, reader: Reader, down: bool) -> None:
    """A file that is replaced and gone: a gap while down; while open it is read to its end."""
    append(path, line(3))
    if down:
        reader.source.close()
    other = path.with_name("other")
    append(other, line(4))
    other.rename(path)
    if down:
        reader.restart()
    assert reader.read() == ([4] if down else [3, 4])
    assert reader.gaps == (["rotated_away"] if down else [])


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("compress", ["", "compress"])
@pytest.mark.parametrize("place", ["old", "../old"])
@pytest.mark.parametrize("down", [False, True])
def test_copytruncate_with_olddir(
    tmp_path: Path, make_reader: MakeReader, place: str, compress: str, unread: bool, down: bool
) -> None:
    """The real logrotate: no gap where all was read before the cut; what was not read is a gap."""
    needs.program("logrotate")
    path = tmp_path / "log" / "auth.log"
    (tmp_path / "log" / place).mkdir(parents=True, exist_ok=True)
    path.write_text(lines(1, 2))
    reader = make_reader(path)
    assert reader.read() == [1, 2]
    if unread:
        append(path, line(3))
    rotate(path, f"copytruncate\nolddir {tmp_path}/log/{place}\n{compress}")
    if down:
        reader.restart()
    append(path, line(4))
    assert reader.read() == [4]
    assert reader.gaps == ["truncated"] * unread


@pytest.mark.parametrize("olddir", ["old", "../old", "{}/far/away"])
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("mode", ["copytruncate", "create", "copytruncate\ncompress"])
def test_olddir(tmp_path: Path, olddir: str, mode: str, down: bool) -> None:
    """With the key `olddir` what was not read before a rotation is read from that folder."""
    needs.program("logrotate")
    (tmp_path / "log").mkdir()
    folder = tmp_path / "log" / olddir.format(tmp_path)
    folder.mkdir(parents=True)
    path = tmp_path / "log" / "auth.log"
    path.write_text(lines(1, 2))

    def make(state: bytes | None) -> FileSource:
        source = FileSource("auth", [str(path)], UTC, olddir=olddir.format(tmp_path))
        source.restore(state)
        return source

    source = make(None)
    batch = source.read()
    assert batch is not None
    append(path, line(3))
    rotate(path, f"{mode}\nolddir {folder}")
    append(path, line(4))
    if down:
        source.close()
        source = make(batch.state)
    seen = []
    while (batch := source.read()) is not None:
        seen += [int(record.pid or 0) for record in batch.records]
        assert not batch.gaps
    source.close()
    assert seen == [3, 4]


def rotate(path: Path, directives: str) -> None:
    """Let the real logrotate rotate a log."""
    config = path.parent.parent / "rotate.conf"
    config.write_text(f"{path} {{\nrotate 9\n{directives}\n}}\n")
    config.chmod(0o644)
    run = ["logrotate", "--force", "--state", f"{path.parent.parent}/status", str(config)]
    subprocess.run(run, check=True, capture_output=True)


def test_emptied_without_a_copy(path: Path, reader: Reader) -> None:
    """Emptied: a gap, once it is not about to be written anew by an editor."""
    os.truncate(path, 0)
    assert (reader.read(), reader.gaps) == ([], [])
    assert reader.wait() == []
    assert reader.gaps == ["truncated"]


def replace(path: Path, text: str) -> None:
    """Put another file in its place, as editors, `sed -i` and rsync do."""
    other = path.with_name("other")
    other.write_text(text)
    shutil.copystat(path, other)
    other.rename(path)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("length", [2, 100])
def test_replaced_by_a_copy_of_itself(path: Path, reader: Reader, length: int, down: bool) -> None:
    """Reading goes on in the copy, through what was not read yet and what comes after it."""
    append(path, lines(*range(3, length + 1)))
    reader.read()
    append(path, line(200))
    replace(path, path.read_text())
    if down:
        reader.restart()
    append(path, line(201))
    assert reader.read() == [200, 201]
    reader.late = 2 * MINUTE
    append(path, line(202))
    assert reader.read() == [202]
    path.rename(path.with_name("auth.log.1"))
    append(path, line(203))
    reader.restart()
    assert reader.read() == [203]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("gone", [1, 2, 50, 99])
def test_replaced_by_a_copy_without_a_line(
    path: Path, reader: Reader, gone: int, down: bool
) -> None:
    """Wherever `sed -i` deletes a line, the others are not read again."""
    append(path, lines(*range(3, 101)))
    reader.read()
    replace(path, path.read_text().replace(line(gone), ""))
    append(path, line(101))
    if down:
        reader.restart()
    assert reader.read() == [101]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("kept", [1, 10, 90])
def test_replaced_by_an_older_copy(path: Path, reader: Reader, kept: int, down: bool) -> None:
    """A restored copy that lacks lines: none is read again, and after a stop there is a gap."""
    append(path, lines(*range(3, 101)))
    reader.read()
    replace(path, lines(*range(1, kept + 1)))
    if down:
        reader.restart()
        reader.wait()
    append(path, line(101))
    assert reader.read() == [101]
    # while it was open, all of the old file was read
    assert len(reader.gaps) == down


def test_replaced_by_a_copy_that_is_written_on_both_sides(path: Path, reader: Reader) -> None:
    """What a daemon writes to the old file, which has no name any more, is read too."""
    with path.open("a") as daemon:
        replace(path, path.read_text())
        daemon.write(line(3))
    append(path, line(4))
    assert sorted(reader.read()) == [3, 4]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("way", ["create", "copytruncate", "create compress", "truncate"])
def test_lines_that_say_the_same(
    tmp_path: Path, make_reader: MakeReader, way: str, down: bool
) -> None:
    """A new file that begins with the very lines of the one before it has them once more."""
    path = tmp_path / "log" / "auth.log"
    path.parent.mkdir()
    path.write_text(lines(5, 5, 5))
    reader = make_reader(path)
    assert reader.read() == [5, 5, 5]
    if down:
        reader.source.close()
    if way == "truncate":
        os.truncate(path, 0)
    else:
        rotate(path, way.replace(" ", "\n"))
    append(path, lines(5, 5))
    if down:
        reader.restart()
    assert reader.read() + reader.wait() == [5, 5]
    append(path, lines(5, 6))
    assert reader.read() == [5, 6]
    assert reader.gaps == ["lost_tail"] * (way == "truncate")


def test_written_anew_in_place(path: Path, reader: Reader) -> None:
    """An editor that empties the file and writes it again, in two parts, doubles nothing."""
    append(path, lines(*range(3, 101)))
    reader.read()
    text = path.read_text()
    path.write_text("")
    assert reader.read() == []
    path.write_text(text[:500])
    assert reader.read() == []
    path.write_text(text + line(101))
    assert reader.read() == [101]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("length", [3, FINGERPRINT_SIZE])
def test_lost_tail(path: Path, reader: Reader, length: int, down: bool) -> None:
    """The same head but shorter: one gap, and on at the end; nothing is read again."""
    more = range(3, 3 + length)
    append(path, lines(*more))
    assert reader.read() == [*more]
    os.truncate(path, len(lines(1, *more[: length // 2]).encode()))
    if down:
        reader.restart()
    assert reader.read() == []
    assert reader.wait() == []
    append(path, line(9000))
    assert reader.read() == [9000]
    reader.restart()
    assert reader.read() == []
    assert reader.gaps == ["lost_tail"]


def test_partial_last_line(path: Path, reader: Reader) -> None:
    """A line without its end waits for it, over a restart too."""
    append(path, line(3)[:20])
    assert reader.read() == []
    reader.restart()
    append(path, line(3)[20:])
    assert reader.read() == [3]


def test_last_line_without_end_in_a_rotated_file(path: Path, reader: Reader) -> None:
    """It is a line when the rotated file is quiet for a minute and the log goes on."""
    append(path, line(3, end=""))
    path.rename(path.with_name("auth.log.1"))
    append(path, line(4))
    assert reader.read() == [4]
    reader.late = 2 * MINUTE
    assert reader.read() == [3]
    reader.restart()
    assert reader.read() == []


def test_clock_set_back(path: Path, reader: Reader) -> None:
    """A rotated file whose time lies in the future is let go like one whose lies in the past."""
    append(path, line(3, end=""))
    rotated = path.rename(path.with_name("auth.log.1"))
    append(path, line(4))
    reader.late = -86_400 * SECOND
    assert reader.read() == [3, 4]
    assert rotated.exists()


@pytest.mark.parametrize("suffix", [b"", b"\xff", "é".encode()])
def test_maximum_is_in_bytes(path: Path, reader: Reader, suffix: bytes) -> None:
    """A line of exactly the maximum is read, one byte more is passed over and counted."""
    begin = line(3, end="").encode()
    fits = begin.ljust(MAX_LINE - len(suffix), b"x") + suffix + b"\n"
    above = line(4, end="").encode().ljust(MAX_LINE + 1, b"x") + b"\n"
    append(path, fits + above + line(5).encode())
    assert reader.read() == [3, 5]
    assert reader.oversized == 1


@pytest.mark.parametrize("size", [MAX_LINE + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("down", [False, True])
def test_oversized_line_in_parts(path: Path, reader: Reader, size: int, down: bool) -> None:
    """However long and in however many parts, it counts once, and the next line is read."""
    for text in (line(3, "x" * size, end=""), "y" * size, "z\n" + line(4)):
        assert reader.read() == []
        append(path, text)
        if down:
            reader.restart()
    assert reader.read() == [4]
    assert reader.oversized == 1


def test_many_lines(path: Path, reader: Reader) -> None:
    """A file of many chunks is read whole and in order, with a line that spans two of them."""
    numbers = range(3, 40_000)
    append(path, lines(*numbers))
    assert reader.read() == [*numbers]
    assert reader.oversized == 0


def test_carriage_returns_and_invalid_utf8(path: Path, reader: Reader) -> None:
    """CRLF ends a line as LF does; bytes that are no UTF-8 are shown as escapes."""
    append(path, line(3, end="\r\n").encode() + line(4, "\udcff").encode(errors="surrogateescape"))
    batch = reader.source.read()
    assert batch is not None
    assert [record.raw[-2:] for record in batch.records] == [" x", "ff"]


def test_hole_after_copytruncate(path: Path, reader: Reader) -> None:
    """NUL bytes where a writer that does not append left a hole are passed over."""
    shutil.copyfile(path, path.with_name("auth.log.1"))
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size + 3 * CHUNK)
    append(path, line(3))
    assert reader.read() == [3]
    assert (reader.oversized, reader.gaps) == (0, [])


def test_hole_where_lines_were(path: Path, reader: Reader) -> None:
    """NUL bytes behind what was read are a gap: after a power cut, or a second copytruncate."""
    append(path, b"\0" * 1000 + line(3).encode())
    assert reader.read() == [3]
    assert reader.gaps == ["truncated"]


def test_head_changed_between_read_and_commit(path: Path, reader: Reader) -> None:
    """What was read before a truncation and not committed is read again, from the copy."""
    append(path, line(3))
    assert reader.source.read() is not None  # not committed
    shutil.copyfile(path, path.with_name("auth.log.1"))
    os.truncate(path, 0)
    append(path, line(4))
    reader.restart()
    assert reader.read() == [3, 4]
    assert not reader.gaps


def test_two_renames_between_two_looks(path: Path, reader: Reader) -> None:
    """A file that came and went unseen is read, between the one before and the one after."""
    append(path, line(3))
    path.rename(path.with_name("auth.log.2"))
    path.write_text(line(4))
    path.rename(path.with_name("auth.log.1"))
    path.write_text(line(5))
    assert reader.read() == [3, 4, 5]


def test_appears_later_and_vanishes(tmp_path: Path, make_reader: MakeReader) -> None:
    """What is not there is a problem that is told, until it is; and again when it vanishes."""
    path = tmp_path / "later" / "auth.log"
    reader = make_reader(path)
    assert reader.read() == []
    assert "does not exist" in reader.problem()
    path.parent.mkdir()
    path.write_text(line(1))
    assert reader.read() == [1]
    assert not reader.problem()
    path.unlink()
    reader.restart()
    assert reader.read() == []
    assert "does not exist" in reader.problem()
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
def test_absent_for_days(path: Path, reader: Reader, down: bool) -> None:
    """`nocreate` and a program that logs nothing for days: the old file to its end, then the new."""
    append(path, line(3))
    path.rename(path.with_name("auth.log.1"))
    append(path.with_name("auth.log.1"), line(4))
    seen = [] if down else reader.read()
    for _ in range(3):
        reader.late += 24 * 60 * MINUTE
        reader.restart()
        seen += reader.read()
    assert seen == [3, 4]
    append(path, line(5))
    assert reader.read() == [5]
    assert not reader.gaps


def test_a_line_that_is_completed_later(path: Path, reader: Reader) -> None:
    """On a full disk half a line is written; it is read once it is whole, rotated or not."""
    text = line(3)
    append(path, text[:20])
    reader.restart()
    assert reader.read() == []
    path.rename(path.with_name("auth.log.1"))
    append(path, line(4))
    assert reader.read() == [4]
    append(path.with_name("auth.log.1"), text[20:])
    assert reader.read() == [3]
    assert not reader.gaps


def test_absent_at_a_restart(path: Path, reader: Reader) -> None:
    """A file that is away for a while, as on a late mount, goes on where it was read."""
    away = path.rename(path.with_name("elsewhere"))
    reader.restart()
    assert reader.read() == []
    reader.restart()
    away.rename(path)
    append(path, line(3))
    assert reader.read() == [3]
    assert not reader.gaps


@pytest.mark.parametrize("down", [False, True])
def test_may_not_be_read(
    path: Path, reader: Reader, down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is not readable is told, and read on from its place as soon as it may."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    append(path, line(3))
    path.rename(path.with_name("auth.log.1"))
    append(path, line(4))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        if down:
            reader.restart()
        assert reader.read() == ([] if down else [3])
        assert "Permission denied" in reader.problem()
        reader.restart()
    assert reader.read() == ([3, 4] if down else [4])
    assert not reader.problem()
    assert not reader.gaps


def test_stale_handle(path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open file that fails, as on a file server that was away, is opened anew and read on."""

    def fail(*_: object) -> os.stat_result:
        raise OSError(116, "Stale file handle")

    append(path, line(3))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        assert reader.read() == []
        assert "Stale file handle" in reader.problem()
    assert reader.read() == [3]
    assert not reader.problem()
    assert not reader.gaps


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_no_regular_file(
    tmp_path: Path, make: Callable[[Path], Any], make_reader: MakeReader
) -> None:
    """A folder, a FIFO or a dangling link is a problem that is told, and holds nothing up."""
    path = tmp_path / "auth.log"
    make(path)
    reader = make_reader(path)
    assert reader.read() == []
    assert reader.problem()


def test_link(path: Path, tmp_path: Path, make_reader: MakeReader) -> None:
    """A link is followed, through a rotation where it leads to and when it is laid anew."""
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "current.log"
    link.symlink_to(path)
    reader = make_reader(link)
    assert reader.read() == [1, 2]
    append(path, line(3))
    path.rename(path.with_name("auth.log.1"))
    append(path, line(4))
    reader.restart()
    assert reader.read() == [3, 4]
    append(path, line(5))
    (tmp_path / "other.log").write_text(line(6))
    link.unlink()
    link.symlink_to(tmp_path / "other.log")
    reader.restart()
    assert reader.read() == [5, 6]
    assert not reader.gaps


def test_broken_compressed_file(path: Path, reader: Reader) -> None:
    """A compressed file that cannot be read to its end is a gap, and the log goes on."""
    reader.source.close()
    text = lines(1, 2, *range(3, 30_000))
    packed = gzip.compress(text.encode())
    path.with_name("auth.log.1.gz").write_bytes(packed[: len(packed) // 2])
    path.write_text(line(30_000))
    reader.restart()
    assert reader.read()[-1] == 30_000
    assert reader.gaps == ["unreadable"]


def test_glob(tmp_path: Path, make_reader: MakeReader) -> None:
    """Each match is a log of its own; what is rotated of one is read as a part of it only."""
    for number in range(1, 40):
        (tmp_path / f"host-{number}.log").write_text(line(number))
    (tmp_path / "host-1.log.1").write_text(line(90))
    (tmp_path / "host-1.log.2.gz").write_bytes(gzip.compress(line(91).encode()))
    (tmp_path / "link.log").symlink_to("host-1.log")
    reader = make_reader(tmp_path / "*.log*")
    assert sorted(reader.read()) == [*range(1, 40)]
    append(tmp_path / "host-7.log", line(40))
    (tmp_path / "host-7.log").rename(tmp_path / "host-7.log.1")
    (tmp_path / "host-41.log").write_text(line(41))
    reader.restart()
    assert sorted(reader.read()) == [40, 41]
    assert not reader.problem()
    assert not reader.gaps


def test_glob_with_too_many_matches(tmp_path: Path, make_reader: MakeReader) -> None:
    """Beyond the number of files that can be kept open the rest is told, not passed in silence."""
    for number in range(501):
        (tmp_path / f"{number:03}.log").touch()
    reader = make_reader(tmp_path / "*.log")
    reader.read()
    assert "500" in reader.problem()


def test_glob_forgets_what_is_deleted(tmp_path: Path, make_reader: MakeReader) -> None:
    """A match that was read and is gone for a day leaves nothing behind."""
    for number in (1, 2):
        (tmp_path / f"app-2026030{number}").write_text(line(number))
    reader = make_reader(tmp_path / "app-*")
    reader.read()
    (tmp_path / "app-20260301").unlink()
    reader.late = 2 * 86_400 * SECOND
    append(tmp_path / "app-20260302", line(3))
    reader.read()
    append(tmp_path / "app-20260302", line(4))
    reader.read()
    assert b"app-20260301" not in (reader.state or b"")


def test_place_of_a_file_that_is_not_configured_any_more(path: Path, reader: Reader) -> None:
    """It is not read, and goes on where it was when it is configured again."""
    other = path.with_name("other.log")
    other.write_text(line(8))
    append(path, line(3))
    reader.globs = [str(other)]
    reader.restart()
    assert reader.read() == [8]
    reader.globs = [str(path)]
    reader.restart()
    assert reader.read() == [3]


def test_a_busy_log_does_not_starve_another(tmp_path: Path) -> None:
    """Two logs take turns, batch by batch."""
    (tmp_path / "a.log").write_text(lines(*range(40_000)))
    (tmp_path / "b.log").write_text(lines(1))
    source = FileSource("auth", [str(tmp_path / "*.log")], UTC)
    batches = [source.read() for _ in range(2)]
    assert sum(len(batch.records) == 1 for batch in batches if batch) == 1
    source.close()


@pytest.mark.parametrize("pattern", ["auth.log", "*/auth.log", "later/auth.log"])
def test_wakes(tmp_path: Path, pattern: str) -> None:
    """A line that is written wakes the loop; in a folder that comes later too."""
    name = pattern.replace("*", "some")
    if "*" in pattern:
        (tmp_path / "some").mkdir()
    wake = threading.Event()
    source = FileSource("auth", [str(tmp_path / pattern)], UTC)
    source.start(wake)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    source.read()
    append(tmp_path / name, line(1))
    assert wake.wait(10)
    source.close()


@pytest.mark.parametrize(
    "number, limit", [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances")]
)
def test_no_watch_is_granted(
    path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch, number: int, limit: str
) -> None:
    """Where a limit of fs.inotify is used up, that is told, looks read on, and it is tried again."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("heptad.exporter.sources.file.notify._AGAIN", 0.0)
    wake = threading.Event()
    with monkeypatch.context() as full:
        full.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
        reader.source.start(wake)
        append(path, line(3))
        assert reader.read() == [3]
        health = reader.source.health()
        assert (health.problem, health.deaf) == (None, {})
        assert f"raise the sysctl fs.inotify.{limit}" in str(health.unwatched)
    reader.read()
    assert reader.source.health().unwatched is None
    append(path, line(4))
    assert wake.wait(10)


@pytest.mark.parametrize("ended", ["InotifyObserver", "InotifyEmitter", "InotifyFD"])
def test_a_thread_that_watches_ends(
    path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """It is told, looks read on, and another takes its place."""
    monkeypatch.setattr("watchdog.observers.inotify_c.InotifyFD._instance", None)
    every = threading.enumerate
    before = set(every())
    # those of other tests are not to be seen
    monkeypatch.setattr("threading.enumerate", lambda: [*{*every()} - before])
    wake = threading.Event()
    reader.source.start(wake)
    for thread in threading.enumerate():
        if isinstance(thread, BaseThread) and type(thread).__name__ == ended:
            thread.stop()
            thread.join(10)
    append(path, line(3))
    assert reader.read() == [3]
    assert "the watching thread has stopped" in str(reader.source.health().unwatched)
    monkeypatch.setattr("heptad.exporter.sources.file.notify.time.monotonic", lambda: float("inf"))
    assert reader.read() == []
    assert reader.source.health().unwatched is None
    wake.clear()
    append(path, line(4))
    assert wake.wait(10)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        "create",
        "nocreate",
        "copytruncate",
        "create compress",
        "copytruncate compress",
        "create compress delaycompress",
        "create dateext",
        "copytruncate dateext compress",
        "create dateext extension .log",
        "create dateext dateformat -%Y-%m-%d-%s",
        "create dateext dateformat -%s",
        "copytruncate dateext dateformat .%Y%m%d%H",
        "create compress compresscmd /usr/bin/xz compressext .xz",
    ],
)
def test_logrotate(path: Path, reader: Reader, options: str, down: bool) -> None:
    """The real logrotate, thrice, with lines before and after: all of them once, and no gap."""
    needs.program("logrotate")
    config = path.with_name("rotate.conf")
    directives = "\n".join(_directives(options))
    config.write_text(f"{path} {{\nrotate 9\nmissingok\n{directives}\n}}\n")
    config.chmod(0o644)
    expected, seen = [], []
    for number in range(10, 40, 10):
        append(path, line(number))
        if "dateext" not in options or number == 10:
            run = ["logrotate", "--force", "--state", f"{path.parent}/status", str(config)]
            subprocess.run(run, check=True, capture_output=True)
        append(path, line(number + 1))
        expected += [number, number + 1]
        if not down:
            seen += reader.read()
    if down:
        reader.restart()
        seen = reader.read()
    assert seen == expected
    assert not reader.gaps


def _directives(options: str) -> Iterator[str]:
    """One directive a line, with its argument."""
    words = iter(options.split())
    for word in words:
        takes_one = word in ("dateformat", "extension", "compresscmd", "compressext")
        yield f"{word} {next(words)}" if takes_one else word


@pytest.mark.parametrize("words", ["", "syslogd: ", "sshd[99]: "])
@pytest.mark.parametrize("down", [False, True])
def test_a_repetition_that_is_read_by_itself(
    path: Path, reader: Reader, down: bool, words: str
) -> None:
    """`last message repeated` is the line before, also after a stop between the two lines."""
    append(path, lines(*range(1, 100)))
    assert reader.read() == list(range(1, 100))
    for _ in range(2):
        if down:
            reader.restart()
        append(path, f"2026-03-01T00:02:00Z host {words}last message repeated 3 times\n")
        assert reader.read() == [99]


def test_a_months_name_that_means_two(tmp_path: Path) -> None:
    """It is a problem of the source that names the remedy, and none once the locale is set."""
    path = tmp_path / "auth.log"
    path.write_text("lip  3 10:00:00 host sshd[7]: x\n")
    for locale, read in ((None, 0), ("pl_PL", 1)):
        source = FileSource("auth", [str(path)], UTC, locale=locale)
        source.restore(None)
        batch = source.read()
        assert batch is not None
        assert (len(batch.records), batch.headless) == (read, 1 - read)
        problem = source.health().problem or ""
        assert ("lip" in problem and "set `locale`" in problem) is (locale is None)
        source.close()


def test_a_mounted_file_that_is_rotated_outside(tmp_path: Path) -> None:
    """A single file that is mounted and has no name any more is deaf, also after a restart."""
    needs.mount_namespace()
    script = """
import gzip, os, subprocess, sys
from datetime import UTC
from pathlib import Path
from heptad.exporter.sources.file.source import FileSource
folder = Path(sys.argv[1])
outside, inside = folder / "outside.log", folder / "auth.log"
for path in (outside, inside):
    path.touch()
subprocess.run(["mount", "--bind", outside, inside], check=True)
source = FileSource("auth", [str(inside)], UTC)
state = source.read().state
print(sorted(source.health().deaf))
outside.rename(folder / "outside.log.1")
(folder / "outside.log.1.gz").write_bytes(gzip.compress(b""))
(folder / "outside.log.1").unlink()
source.read()
print(sorted(source.health().deaf))
source.close()
source = FileSource("auth", [str(inside)], UTC)
source.restore(state)
source.read()
print(sorted(source.health().deaf))
source.close()
"""
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [*command, str(tmp_path)], check=True, capture_output=True, text=True, cwd=root
    )
    assert ran.stdout.splitlines() == ["[]", "['unlinked']", "['unlinked']"]

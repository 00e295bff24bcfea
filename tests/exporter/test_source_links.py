"""Links, special files and strange names among the logs: none is believed, none holds up the rest."""

import os
import socket
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.exporter.sources.file.paths import key_of, path_of
from heptad.exporter.sources.file.source import FileSource
from tests.exporter.test_source_file import Reader, append, line, make_reader

__all__ = ["make_reader"]

STRANGE: Final = [
    b"ev\xffil",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"a\nb",
    b"\x1b]0;x\x07",
    b"\\xff",
    b"%F0",
]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A watched folder with one log, beside a file that is not to be read."""
    (tmp_path / "shadow").write_text(line(666))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "auth.log").write_text(line(667))
    logs = tmp_path / "logs"
    (logs / "web-1").mkdir(parents=True)
    (logs / "web-1" / "auth.log").write_text(line(1))
    return logs


def lay(link: Path, target: Path) -> None:
    """A link, in place of what is there."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


@pytest.mark.parametrize(
    ("pattern", "link", "target"),
    [
        ("*/*.log", "web-1/shadow.log", "../../shadow"),
        ("*/auth.log", "evil", "../etc"),
        ("web-?/*.log", "web-1/x.log", "/etc/passwd"),
        ("*/*.log", "web-1/loop.log", "loop.log"),
        ("*/*.log", "web-1/none.log", "../../nothing"),
    ],
)
def test_a_link_that_leads_out_is_refused(
    logs: Path, make_reader: Callable[..., Reader], pattern: str, link: str, target: str
) -> None:
    """What a link leads to that no path of the source matches is not read, and the link is named."""
    (logs / link).symlink_to(target)
    reader = make_reader(logs / pattern)
    assert reader.read() == [1]
    assert link in reader.problem()
    assert "link" in reader.problem()
    append(logs / "web-1" / "auth.log", line(2))
    reader.restart()
    assert reader.read() == [2]


def test_a_link_to_another_match(logs: Path, make_reader: Callable[..., Reader]) -> None:
    """What a link leads to is read once where the source matches it, also in another folder."""
    (logs / "alias").symlink_to("web-1")
    (logs / "web-1" / "more.log").symlink_to("auth.log")
    reader = make_reader(logs / "*" / "*.log")
    assert reader.read() == [1]
    assert not reader.problem()


def test_a_link_that_is_to_be_followed(logs: Path) -> None:
    """With `follow_links` a link is followed wherever it leads."""
    (logs / "web-1" / "shadow.log").symlink_to("../../shadow")
    source = FileSource("auth", [str(logs / "*/*.log")], UTC, follow_links=True)
    numbers = []
    while (batch := source.read()) is not None:
        numbers += [int(record.pid or 0) for record in batch.records]
    source.close()
    assert sorted(numbers) == [1, 666]


def test_a_path_below_a_configured_link(logs: Path, make_reader: Callable[..., Reader]) -> None:
    """Before the wildcards a path may hold links: whoever wrote it chose them."""
    (logs.parent / "current").symlink_to("logs")
    reader = make_reader(logs.parent / "current" / "*" / "*.log")
    assert reader.read() == [1]
    assert not reader.problem()


def test_a_log_that_becomes_a_link(logs: Path, make_reader: Callable[..., Reader]) -> None:
    """A match is not followed when it turns into a link later, nor when its folder does."""
    reader = make_reader(logs / "*" / "auth.log")
    assert reader.read() == [1]
    lay(logs / "web-1" / "auth.log", logs.parent / "shadow")
    assert reader.read() == []
    assert "web-1/auth.log" in reader.problem()
    (logs / "web-1").rename(logs.parent / "away")
    (logs / "web-1").symlink_to(logs.parent / "etc")
    assert reader.read() == []
    assert "web-1/auth.log" in reader.problem()
    reader.restart()
    assert reader.read() == []
    assert not reader.gaps


@pytest.mark.parametrize("pattern", ["web-1/auth.log", "*/auth.log"])
def test_a_rotated_file_that_is_a_link(
    logs: Path, make_reader: Callable[..., Reader], pattern: str
) -> None:
    """A link with the name of a rotated file is never read: nobody configured it."""
    reader = make_reader(logs / pattern)
    assert reader.read() == [1]
    path = logs / "web-1" / "auth.log"
    (logs.parent / "shadow").touch()
    path.rename(logs / "web-1" / "auth.log.2")
    (logs / "web-1" / "auth.log.1").symlink_to(logs.parent / "shadow")
    path.write_text(line(2))
    reader.restart()
    assert reader.read() == [2]
    assert not reader.gaps


@pytest.mark.parametrize("name", ["auth.log", "auth.log.1", "auth.log.1.gz", "new.log.xz"])
@pytest.mark.parametrize(
    "make",
    [
        Path.mkdir,
        os.mkfifo,
        lambda path: os.mknod(path, 0o020600, os.makedev(1, 5)),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("fifo"),
        lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
    ],
    ids=["folder", "fifo", "device", "link_to_device", "link_to_fifo", "socket"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_special_file(
    logs: Path, make_reader: Callable[..., Reader], name: str, make: Callable[[Path], Any]
) -> None:
    """A special file among the logs is not opened, holds up nothing, and the rest is read."""
    os.mkfifo(logs / "web-1" / "fifo")
    reader = make_reader(logs / "*" / "*.log*")
    assert reader.read() == [1]
    if (logs / "web-1" / name).exists():
        (logs / "web-1" / name).unlink()
    make(logs / "web-1" / name)
    (logs / "web-2").mkdir()
    (logs / "web-2" / "auth.log").write_text(line(2))
    assert reader.read() == [2]
    reader.restart()
    assert reader.read() == []
    assert not reader.gaps


@pytest.mark.parametrize("name", STRANGE)
def test_a_name_that_is_not_utf_8(
    logs: Path, make_reader: Callable[..., Reader], name: bytes
) -> None:
    """A log in a folder with any name is read through a rotation and a restart, and named as text."""
    folder = Path(os.fsdecode(os.fsencode(logs) + b"/" + name))
    folder.mkdir()
    (folder / "auth.log").write_text(line(2))
    reader = make_reader(logs / "*" / "auth.log")
    assert sorted(reader.read()) == [1, 2]
    append(folder / "auth.log", line(3))
    (folder / "auth.log").rename(folder / "auth.log.1")
    append(folder / "auth.log", line(4))
    reader.restart()
    batch = reader.source.read()
    assert batch is not None
    assert (
        batch.records[0].provenance.path
        == f"{logs}/{name.decode('utf-8', 'backslashreplace')}/auth.log"
    )
    reader.restart()
    assert reader.read() == [3, 4]
    (folder / "auth.log").unlink()
    (folder / "auth.log").mkdir()
    reader.read()
    assert reader.problem().encode()


@given(st.binary().filter(lambda name: b"\0" not in name))
def test_keys_of_paths(name: bytes) -> None:
    """Whatever bytes a path has, its key is text that leads back to it."""
    key = key_of(os.fsdecode(name))
    key.encode()
    assert os.fsencode(path_of(key)) == name

"""The file of the local store: one writer, newer versions, corruption, full disks, migrations."""

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from heptad.core.store.api import StoreError
from heptad.core.store.outbox import Outbox
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.core.store.sqlite_file import StoreCorrupt
from heptad.core.store.sqlite_schema import MIGRATIONS, SCHEMA_VERSION, migrate
from tests.support.local_store import limit, path, store, times

__all__ = ["path", "store"]  # fixtures

DAY = 86_400
HEAD = "events,host=a"
COUNTER = counter_key("n_total", program="sshd")


def rows(first: int, last: int, host: str = "a", size: int = 10) -> list[Row]:
    """Points at the times from ``first`` up to ``last``, each with a line of ``size`` bytes."""
    return [Row(f"events,host={host}", n, f"n={n}i", "x" * size) for n in range(first, last)]


def test_one_writer(store: LocalStore) -> None:
    """A second writer is refused and told who holds the store; readers are not."""
    with pytest.raises(
        StoreError, match=r"another Heptad \(process \d+\) is using this store; stop"
    ):
        LocalStore(store.path, write=True)
    LocalStore(store.path).close()
    store.append(rows(1, 2))


def test_a_newer_version(path: Path) -> None:
    """A file from a newer version is left alone, for reading and for writing, every time."""
    LocalStore(path, write=True).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreError, match="written by a newer Heptad"):
            LocalStore(path, write=True)
    with pytest.raises(StoreError, match="written by a newer Heptad"):
        LocalStore(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.corrupt-*"))


def test_reading_without_a_store(path: Path) -> None:
    """Reading creates nothing: it says what to start first."""
    with pytest.raises(StoreError, match="the store does not exist yet; start `heptad up`"):
        LocalStore(path)
    assert not path.parent.exists()


def test_places_that_cannot_be(tmp_path: Path) -> None:
    """A folder, or a place below a file, is told with the setting that is to be changed."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for place in ("file/events.db", "folder"):
        with pytest.raises(StoreError, match=str(tmp_path / place)):
            LocalStore(tmp_path / place, write=True)


def flip(path: Path, begin: int, length: int) -> None:
    """Turn every bit of a part of a file."""
    with path.open("r+b") as file:
        file.seek(begin)
        data = file.read(length)
        file.seek(begin)
        file.write(bytes(byte ^ 0xFF for byte in data))


@pytest.mark.parametrize(
    "begin, length", [(0, 100), (16, 84), (4096, 16 * 4096)], ids=["all", "header", "middle"]
)
def test_a_corrupt_file(
    path: Path, caplog: pytest.LogCaptureFixture, begin: int, length: int
) -> None:
    """A corrupt file is set aside, not deleted, and a new one begun, with one line in the log."""
    with LocalStore(path, write=True) as store:
        store.append(rows(0, 3000, size=200), {"k": b"1"})
    flip(path, begin, length)
    damaged = path.read_bytes()
    with LocalStore(path, write=True) as store:
        assert store.set_aside is not None
        assert store.set_aside.read_bytes() == damaged
        assert (times(store), store.recall("k")) == ([], None)
        store.append(rows(1, 2))
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "renamed it" in caplog.text
    with LocalStore(path, write=True) as store:
        assert (times(store), store.set_aside) == ([1], None)


@pytest.mark.parametrize("version", [0, 2, 77])
def test_the_database_of_another_program(path: Path, version: int) -> None:
    """It is refused, also for reading, and nothing in it changes."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE dashboard (id INTEGER)")
        other.execute(f"PRAGMA user_version = {version}")
        other.commit()
    before = path.read_bytes()
    for write in (True, False):
        with pytest.raises(StoreError, match=r"not a Heptad store; choose another store\.path"):
            LocalStore(path, write=write)
    assert path.read_bytes() == before
    assert sorted(found.name for found in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_a_file_that_never_was_a_store(path: Path) -> None:
    """What lies where a store is to be, and is none, stays as it is, and the error says so."""
    path.parent.mkdir()
    path.write_bytes(b"Mar  1 12:00:00 gate su: x\n")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"not a Heptad store; choose another store\.path"):
            LocalStore(path, write=True)
    assert path.read_bytes() == b"Mar  1 12:00:00 gate su: x\n"
    assert list(path.parent.iterdir()) == [path]


def test_closing_leaves_all_in_one_file(path: Path) -> None:
    """Whoever copies the file of a store that was closed has all of it, readers or none."""
    with LocalStore(path, write=True) as store:
        store.append(rows(0, 10))
        with LocalStore(path) as reader:
            store.close()
            assert path.with_name("events.db-wal").stat().st_size == 0
            assert len(times(reader)) == 10


def test_closing_waits_for_no_reader(path: Path) -> None:
    """A reader in the middle of its reading does not hold up the end."""
    with LocalStore(path, write=True) as store:
        store.append(rows(0, 3000))
        with LocalStore(path) as reader:
            points = reader.read("events", 0, 2**62)
            next(points)
            store.append(rows(3000, 3010))
            begun = time.monotonic()
            store.close()
            assert time.monotonic() - begun < 5
            assert len(list(points)) == 2999


def test_corruption_found_while_writing(store: LocalStore) -> None:
    """A file that turns out to be corrupt says so, and may be begun anew; each is kept."""
    logging.getLogger("heptad.store").setLevel(logging.CRITICAL)
    try:
        for number in range(3):
            store.append(rows(0, 10), {"k": b"%d" % number})
            with closing(sqlite3.connect(store.path)) as db:
                db.execute("DROP TABLE counters")
            with pytest.raises(StoreCorrupt):
                store.append(rows(10, 20), {}, {COUNTER: 1})
            store.begin_anew()
            assert times(store) == []
    finally:
        logging.getLogger("heptad.store").setLevel(logging.NOTSET)
    assert len(list(store.path.parent.glob("events.db.corrupt-*"))) >= 3
    store.append(rows(10, 20), {}, {COUNTER: 1})
    assert len(times(store)) == 10


def test_beginning_anew_that_fails_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the new file cannot be begun at once, the next append begins it."""

    def fail_once(call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
        errors = [error]

        def failing(*given: Any) -> Any:
            if errors:
                raise errors.pop()
            return call(*given)

        return failing

    store.append(rows(0, 10), {"k": b"1"}, {COUNTER: 1})
    monkeypatch.setattr(Path, "rename", fail_once(Path.rename, OSError("read-only")))
    full = sqlite3.OperationalError("disk full")
    monkeypatch.setattr("heptad.core.store.sqlite_file.migrate", fail_once(migrate, full))
    with pytest.raises(StoreError, match="cannot be renamed: read-only"):
        store.begin_anew()
    with pytest.raises(StoreError, match="disk full"):
        store.append(rows(0, 1))
    store.append(rows(20, 22), {}, {COUNTER: 5})
    assert (times(store), store.recall("k"), store.counters()) == ([20, 21], None, {COUNTER: 5})
    assert len(list(store.path.parent.glob("events.db.corrupt-*-1"))) == 1


def test_not_for_everyone_to_read(path: Path) -> None:
    """The file and what SQLite puts beside it are for owner and group, whatever the umask."""
    before = os.umask(0)
    try:
        with LocalStore(path, write=True) as store:
            store.append(rows(0, 10))
            modes = {p.name: p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes.keys() >= {"events.db", "events.db-wal", "events.db-shm"}
    assert set(modes.values()) == {0o640}


def test_a_full_disk(store: LocalStore) -> None:
    """What does not fit is not stored in part, and fits when there is room."""
    store.append(rows(0, 100))
    with LocalStore(store.path) as reader:
        pages = reader.size() // 4096
    limit(store, pages + 2)
    with pytest.raises(StoreError, match="full"):
        store.append(rows(100, 5000, size=100), {"k": b"1"}, {COUNTER: 1})
    assert (len(times(store)), store.recall("k"), store.counters()) == (100, None, {})
    limit(store, 10**6)
    store.append(rows(100, 5000, size=100), {"k": b"1"}, {COUNTER: 1})
    assert (len(times(store)), store.counters()) == (5000, {COUNTER: 1})


def test_migrations() -> None:
    """The steps lead from an empty file to the newest schema, from any version in between."""
    assert len(MIGRATIONS) == SCHEMA_VERSION
    for begin in range(SCHEMA_VERSION + 1):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            for version in range(begin):
                db.executescript(MIGRATIONS[version])
            migrate(db, begin)
            assert db.execute("PRAGMA user_version").fetchone()[0] in (SCHEMA_VERSION, 0)
            tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            names = {name for (name,) in tables}
            assert {"series", "points", "counters", "state", "marks"} <= names


def test_a_migration_is_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails leaves the file as it was."""
    broken = "CREATE TABLE extra (x); CREATE TABLE points (x)"
    monkeypatch.setattr("heptad.core.store.sqlite_schema.MIGRATIONS", (*MIGRATIONS, broken))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, 0)
        db.execute("ROLLBACK")
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        assert not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'extra'").fetchall()


@pytest.mark.parametrize("lay", [Path.symlink_to, Path.hardlink_to])
def test_a_lock_that_leads_to_another_file(
    path: Path, tmp_path: Path, lay: Callable[[Path, Path], None]
) -> None:
    """What someone linked to the lock's name is never written to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.parent.mkdir()
    lay(path.with_name("events.db.lock"), victim)
    with pytest.raises(StoreError, match=r"lock file is a (symbolic|hard) link"):
        LocalStore(path, write=True)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["events.db", "events.db.lock"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("write", [True, False])
def test_a_store_that_is_no_file(
    path: Path, name: str, make: Callable[[Path], None], write: bool
) -> None:
    """A FIFO or a folder in the place of the store or its lock is refused, not waited for."""
    path.parent.mkdir()
    make(path.with_name(name))
    with pytest.raises(StoreError):
        LocalStore(path, write=write)


def test_a_store_in_a_folder_that_is_not_utf_8(tmp_path: Path) -> None:
    """The state folder may have any name; messages show it as text."""
    path = tmp_path / os.fsdecode(b"st\xffate") / "events.db"
    with LocalStore(path, write=True) as store:
        store.append(rows(1, 3))
        with pytest.raises(StoreError) as refused:
            LocalStore(path, write=True)
    assert str(refused.value).encode()
    with LocalStore(path) as reader:
        assert times(reader) == [1, 2]


def test_a_folder_that_everyone_may_write(tmp_path: Path) -> None:
    """A store is not kept where everyone can replace it; /tmp keeps others from that."""
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="the directory is world-writable"):
        LocalStore(folder / "events.db", write=True)
    for mode in (0o1777, 0o775, 0o750):
        folder.chmod(mode)
        LocalStore(folder / "events.db", write=True).close()


def delete_file(path: Path) -> None:
    """As `rm` does: what SQLite keeps beside it stays."""
    path.unlink()


def delete_all(path: Path) -> None:
    """The store and what belongs to it."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def delete_folder(path: Path) -> None:
    """The whole folder."""
    shutil.rmtree(path.parent)


def replace_file(path: Path) -> None:
    """By a store of another time, as a restore does."""
    other = path.with_name("other.db")
    with LocalStore(other, write=True) as store:
        store.append([Row(HEAD, 1, "count=1i", "of another time")])
    other.rename(path)


@pytest.mark.parametrize("harm", [delete_file, delete_all, delete_folder, replace_file])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_file_that_is_taken_away(
    path: Path, harm: Callable[[Path], None], checkpointed: bool
) -> None:
    """A store whose file is deleted or replaced while it is open is written anew, and whole."""
    with LocalStore(path, write=True, outbox=True) as store:
        store.append([Row(HEAD, 5, "count=1i", "one")], {"a": b"1"}, {("c", "{}"): 2})
        outbox = Outbox(path)
        outbox.keep({"forwarder": b"x"})
        if checkpointed:
            store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # noqa: SLF001 - no other way
        harm(path)
        assert not outbox.is_current()
        store.append([Row(HEAD, 5, "count=1i", "two")], {"b": b"2"}, {("c", "{}"): 3})
        outbox.close()
        store.append([Row(HEAD, 9, "count=1i", "three")])
        with pytest.raises(StoreError, match="another Heptad"):
            LocalStore(path, write=True)
    with LocalStore(path) as store:
        assert [p.fields["raw"] for p in store.read("events", 0, 99)] == ["one", "two", "three"]
        assert (store.recall("a"), store.recall("b")) == (b"1", b"2")
        assert store.recall("forwarder") == b"x"
        assert store.counters() == {("c", "{}"): 5}

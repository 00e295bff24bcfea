"""The file of a local store: lock it, open it, check it, and rename it if it is corrupt."""

import errno
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from heptad.core.store.api import StoreError
from heptad.core.store.sqlite_schema import OLDEST_READABLE, SCHEMA_VERSION, migrate

_PAGE: Final = 16384
_CHECKPOINT_EVERY: Final = 2000
_CHECKED_SIZE: Final = 64 * 2**20
_TABLES: Final = frozenset(("counters", "marks", "points", "series", "state"))
_MAGIC: Final = b"SQLite format 3\0"
"""The start of an SQLite file: https://www.sqlite.org/fileformat.html, 1.3."""


decode_text: Final = partial(str, encoding="utf-8", errors="surrogateescape")
"""Decode a text column; invalid UTF-8 is left to validation."""


class StoreCorrupt(StoreError):
    """The file is not a valid database."""


class StoreLocked(StoreError):
    """Another process writes to the store."""


def lock_file(path: Path) -> int:
    """Take the writer's lock beside ``path``; return its file descriptor. Raise StoreError."""
    try:
        _refuse_foreign(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _refuse_open_folder(path)
        lock = _open_lock(path.with_name(path.name + ".lock"))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot write the store: {error.strerror}; choose another path with store.path"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise StoreLocked(
            f"{path}: another Heptad (process {holder}) is using this store; stop it, or set "
            "another store.path for this one"
        ) from None
    with suppress(OSError):  # if the disk is full, the lock works without the process id
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    return lock


def renew_lock(path: Path, lock: int | None) -> int | None:
    """Return the descriptor of the lock; if the lock file was deleted, lock a new one."""
    if lock is None or os.fstat(lock).st_nlink:
        return lock
    os.close(lock)
    return lock_file(path)


def _open_lock(path: Path) -> int:
    """Open the lock file, but never through a link: it is written to."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        lock = os.open(path, flags, 0o640)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _unfit_lock(path, "a symbolic link") from None
        raise
    status = os.fstat(lock)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(lock)
        special = not stat.S_ISREG(status.st_mode)
        raise _unfit_lock(path, "not a regular file" if special else "a hard link to another file")
    return lock


def _unfit_lock(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path}: the lock file is {what}; remove it, and check who can write to this directory"
    )


def _refuse_open_folder(path: Path) -> None:
    """Raise StoreError if anyone could replace the store and its key in this directory."""
    mode = path.parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise StoreError(
            f"{path.parent}: the directory is world-writable, so anyone could replace the "
            f"store; run chmod o-w {path.parent}, or choose another store.path"
        )


def _refuse_foreign(path: Path) -> None:
    """Raise StoreError if the file was never a store, so that it is never renamed as corrupt."""
    _refuse_special(path)
    if path.with_name(path.name + ".lock").exists() or not path.exists():
        return
    with path.open("rb") as file:
        begin = file.read(len(_MAGIC))
    if begin not in (b"", _MAGIC):
        raise _foreign(path)


def _refuse_special(path: Path) -> None:
    """Raise StoreError unless it is a regular file: opening a FIFO may block forever."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # opening it reports the cause
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path}: not a regular file; choose another store.path")


def _foreign(path: Path) -> StoreError:
    return StoreError(f"{path}: not a Heptad store; choose another store.path")


def _refuse_others(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Raise StoreError for the database of another program, before anything in it is changed."""
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if names and (version == 0 or not names & _TABLES):
        raise _foreign(path)


def _newer(path: Path, version: int) -> StoreError:
    return StoreError(
        f"{path}: written by a newer Heptad (schema {version}, this version supports "
        f"{SCHEMA_VERSION}); install the newer version, or choose another store.path"
    )


def _connect(target: str, *, uri: bool = False, patience: float = 10) -> sqlite3.Connection:
    db = sqlite3.connect(
        target,
        uri=uri,
        isolation_level=None,
        check_same_thread=False,
        timeout=patience,
        # a statement with hundreds of rows takes 60 kB; the default is 128 statements
        cached_statements=16,
    )
    try:
        db.execute("PRAGMA cache_size = -16000")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _create(path: Path) -> None:
    """Create the file with a restricted mode, which SQLite also uses for its other files."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))


def open_checked(path: Path) -> sqlite3.Connection:
    """Open for writing; raise StoreCorrupt, or StoreError if another path is the remedy."""
    db = None
    try:
        _create(path)
        db = _connect(str(path))
        version = db.execute("PRAGMA user_version").fetchone()[0]
        _refuse_others(db, path, version)
        if version > SCHEMA_VERSION:
            raise _newer(path, version)
        db.execute(f"PRAGMA page_size = {_PAGE}")  # only of a new file
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_EVERY}")
        db.execute(f"PRAGMA journal_size_limit = {2 * _CHECKPOINT_EVERY * _PAGE}")
        db.execute("PRAGMA synchronous = FULL")
        if path.stat().st_size <= _CHECKED_SIZE:
            verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise StoreCorrupt(verdict)
        migrate(db, version)
    except StoreError:
        if db is not None:
            db.close()
        raise
    except (sqlite3.Error, OSError) as error:
        if db is not None:
            db.close()
        if isinstance(error, sqlite3.Error) and is_corrupt(error):
            raise StoreCorrupt(str(error)) from error
        raise StoreError(f"{path}: {error}; check that the directory is writable") from error
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end of the block; on an error, the caller rolls back."""
    db.execute("BEGIN IMMEDIATE")
    yield
    db.execute("COMMIT")


def open_for_reading(path: Path, patience: float = 10) -> sqlite3.Connection:
    """Open for reading only; raise StoreError with the remedy."""
    _refuse_special(path)
    if not path.exists():
        raise StoreError(
            f"{path}: the store does not exist yet; start `heptad up` or `heptad exporter` first"
        )
    db = None
    try:
        db = _connect(path.absolute().as_uri() + "?mode=ro", uri=True, patience=patience)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        _refuse_others(db, path, version)
    except StoreError:
        if db is not None:
            db.close()
        raise
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise StoreError(f"{path}: cannot read the store: {error}") from error
    if not OLDEST_READABLE <= version <= SCHEMA_VERSION:
        db.close()
        if version > SCHEMA_VERSION:
            raise _newer(path, version)
        raise StoreError(
            f"{path}: the store has schema {version}, this version reads {SCHEMA_VERSION}; "
            "start the exporter (or, for reports, the aggregator) once to migrate it"
        )
    return db


def is_corrupt(error: sqlite3.Error) -> bool:
    """Return whether an SQLite error means that the file is corrupt."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (
        code == sqlite3.SQLITE_ERROR and "no such table" in str(error)
    )


def set_aside(path: Path) -> Path:
    """Rename a store and its other files; nothing is deleted. Raise StoreError."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (path.with_name(f"{path.name}.corrupt-{stamp}-{n}") for n in count(1))
    kept = next(name for name in names if not name.exists())
    for suffix in ("", "-wal", "-shm"):
        try:
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"{path}: corrupt, and cannot be renamed: {error}") from error
    return kept


def identify(path: Path) -> str:
    """Return what distinguishes this file from a replacement; empty if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"

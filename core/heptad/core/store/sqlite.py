"""The store on one host: an SQLite file (WAL) that is both event store and outbox.

Rows, counters and state of a batch are committed in one transaction; ``synchronous=FULL``, so that
commits survive a power failure. The single writer of a file holds a lock file beside it.
"""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Final, Self

from heptad.core.event import LATEST
from heptad.core.store import retention
from heptad.core.store.api import Counters, StoreError
from heptad.core.store.identity import Identities, Offset
from heptad.core.store.point import Identity, Row
from heptad.core.store.sqlite_file import (
    StoreCorrupt,
    decode_text,
    identify,
    is_corrupt,
    lock_file,
    open_checked,
    open_for_reading,
    renew_lock,
    set_aside,
    transaction,
)
from heptad.core.store.sqlite_reading import Points
from heptad.core.store.sqlite_schema import ADD_TO_COUNTER
from heptad.core.validation import Intake

log = logging.getLogger("heptad.store")

_BULK: Final = 500
"""Rows per statement.

SQLite parses a statement with a new text, at 7,000 instructions per row; only the last rows of a
transaction, which do not fill a statement, have a text of their own.
"""
_REPLACE: Final = "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_TIME: Final = attrgetter("time")


class LocalStore(Points):
    """A store in the file ``path``; ``max_age`` in seconds since arrival, ``max_size`` in bytes.

    With ``write`` the file is created, checked, locked and, if it is corrupt, renamed and replaced
    by an empty one. Without, it must exist; if it is locked, it is waited for ``patience`` seconds.
    With ``outbox`` it is delivered: what arrived after the position ``held_after`` is never pruned,
    and ``machine`` distinguishes hosts with the same name. ``intake`` may be replaced by one that
    stores share. Raises StoreError with the remedy.
    """

    def __init__(
        self,
        path: Path,
        *,
        write: bool = False,
        max_age: float = 30 * 86_400,
        max_size: int = 2**30,
        patience: float = 10,
        outbox: bool = False,
        machine: str | None = None,
    ) -> None:
        self.path = path
        self.name = str(path)
        self.intake = Intake()
        self.max_age = max_age
        self.max_size = max_size
        self.set_aside: Path | None = None
        self.held_after = 0 if outbox else None
        self._offset = None if machine is None else Offset.of(machine)
        self._lock: int | None = None
        self._series: dict[str, int] = {}
        self._tops: dict[str, int] = {}
        self._unfit = self._closed = False
        self._identity = ""
        if write:
            self._lock = lock_file(path)
            try:
                self._db = self._open_for_writing()
            except BaseException:
                os.close(self._lock)
                raise
        else:
            self._db = open_for_reading(path, patience)
            self._db.text_factory = decode_text
        self._identities = Identities(self._db, floors=self.held_after is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and release the lock."""
        if self._lock is not None:
            # leave a single file; SQLite does not do this while a reader is connected
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA busy_timeout = 0")  # do not wait for readers at the end
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open_for_writing(self) -> sqlite3.Connection:
        try:
            return self._open_checked()
        except StoreCorrupt as error:
            self._put_aside(str(error))
            return self._open_checked()

    def _open_checked(self) -> sqlite3.Connection:
        db = open_checked(self.path)
        db.text_factory = decode_text
        self._identity = identify(self.path)
        return db

    def _put_aside(self, reason: str) -> None:
        self.set_aside = set_aside(self.path)
        log.error(
            "store is corrupt; renamed it and created a new one",
            extra={"store": self.path, "kept_as": self.set_aside, "error": reason},
        )

    def begin_anew(self) -> None:
        """Rename a file that turned out to be corrupt, and create an empty one.

        Raise StoreError; the next append then tries again, and opens an empty file too.
        """
        with suppress(sqlite3.Error):
            self._db.close()
        self._unfit = self._closed = True
        self._reopen()

    def _reopen(self) -> None:
        if self._unfit:
            self._put_aside("detected while writing")
            self._unfit = False
        self._db = self._open_checked()
        self._closed = False
        self._series.clear()
        self._identities = Identities(self._db, floors=self.held_after is not None)
        # points delivered from the corrupt file must not be overwritten
        self._db.executemany("INSERT INTO series (head, floor) VALUES (?, ?)", self._tops.items())
        self._tops.clear()

    def _put_back(self) -> None:
        """Write the store to its path again, because its file was deleted or replaced.

        A deleted file exists as long as it is open. Raise StoreError.
        """
        spare = self.path.with_name(f"{self.path.name}.restored")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            spare.unlink(missing_ok=True)
            self._db.execute("VACUUM INTO ?", (str(spare),))
            spare.chmod(0o640)
            # files that belong to the old one must not be used with the new one
            kept = set_aside(self.path)
            self.set_aside = kept if kept.exists() else self.set_aside
            spare.rename(self.path)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        log.error(
            ("store was deleted or replaced; restored it from the open file"),
            extra={"store": self.path},
        )
        self._db.close()
        self._db = self._open_checked()
        self._series.clear()
        self._identities = Identities(self._db, floors=self.held_after is not None)
        self._lock = renew_lock(self.path, self._lock)

    # writing

    def append(
        self,
        rows: Sequence[Row],
        state: Mapping[str, bytes] | None = None,
        counters: Counters | None = None,
        *,
        move_on: bool = True,
        remove: Sequence[Identity] = (),
    ) -> None:
        """Store rows, state and counters atomically; see EventStore.append.

        Without ``move_on``, a row whose time is taken is skipped. The points of ``remove`` are
        deleted in the same transaction.
        """
        if self._closed:
            self._reopen()
        elif self._lock is not None and identify(self.path) != self._identity:
            self._put_back()
        try:
            with transaction(self._db):
                self._append(rows, state or {}, counters or {}, move_on)
                self._delete(remove)
            tops = self._identities.tops()
            self._tops |= {series: tops[n] for series, n in self._series.items() if n in tops}
        except sqlite3.Error as error:
            self._roll_back()
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
                # the write-ahead log may be what fills the disk
                with suppress(sqlite3.Error):
                    self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raise self._fault(error) from error
        except (OverflowError, UnicodeEncodeError) as error:
            self._roll_back()
            sound = [row for row in rows if _is_storable(row)]
            if len(sound) == len(rows):
                raise
            self.append(sound, state, counters, move_on=move_on, remove=remove)
            told = {"store": self.path, "rows": len(rows) - len(sound), "error": error}
            log.error("skipped rows that cannot be stored", extra=told)
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        self._series.clear()
        self._identities.forget()
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")

    def _append(
        self, rows: Sequence[Row], state: Mapping[str, bytes], counters: Counters, move_on: bool
    ) -> None:
        series_ids = self._series_ids(rows)
        if move_on:
            self._insert_moving_on(self._offset.apply(rows) if self._offset else rows, series_ids)
        else:
            self._insert_points(series_ids, map(_TIME, rows), rows, "OR IGNORE ")
        self._insert("INTO state VALUES", 2, state.items(), _REPLACE)
        added = ((*key, amount) for key, amount in counters.items())
        self._insert("INTO counters VALUES", 3, added, ADD_TO_COUNTER)

    def _delete(self, points: Sequence[Identity]) -> None:
        self._db.executemany(
            "DELETE FROM points WHERE time = ? AND series = (SELECT id FROM series WHERE head = ?)",
            points,
        )

    def _series_ids(self, rows: Sequence[Row]) -> list[int]:
        known = self._series
        for series in {row.series for row in rows} - known.keys():
            self._db.execute("INSERT OR IGNORE INTO series (head) VALUES (?)", (series,))
            found = self._db.execute("SELECT id FROM series WHERE head = ?", (series,)).fetchone()
            known[series] = found[0]
        return [known[row.series] for row in rows]

    def _insert_moving_on(self, rows: Sequence[Row], series_ids: list[int]) -> None:
        times = self._identities.assign(zip(series_ids, map(_TIME, rows), strict=True))
        self._db.execute("SAVEPOINT placed")
        try:
            # for ABORT, the default, SQLite copies each page that a statement changes
            self._insert_points(series_ids, times, rows, "OR FAIL ")
        except sqlite3.IntegrityError:
            # the table decides, not the cache of assigned times
            self._db.execute("ROLLBACK TO placed")
            self._identities.forget()
            for number, row in zip(series_ids, rows, strict=True):
                self._insert_points(
                    [number], [self._identities.first_free(number, row.time)], [row]
                )
        self._db.execute("RELEASE placed")

    def _insert_points(
        self,
        series_ids: Iterable[int],
        times: Iterable[int],
        rows: Sequence[Row],
        conflict: str = "",
    ) -> None:
        body, raw = attrgetter("body"), attrgetter("raw")
        points = zip(series_ids, times, map(body, rows), map(raw, rows), strict=True)
        self._insert(f"{conflict}INTO points (series, time, body, raw) VALUES", 4, points)

    def _insert(
        self, into: str, columns: int, rows: Iterable[Iterable[object]], then: str = ""
    ) -> None:
        """Insert many rows per statement: each one has to reacquire the interpreter lock."""
        row = f"({', '.join('?' * columns)})"
        values = chain.from_iterable(rows)
        while part := list(islice(values, _BULK * columns)):
            marks = ", ".join([row] * (len(part) // columns))
            self._db.execute(f"INSERT {into} {marks} {then}", part)

    # limits

    def size(self) -> int:
        """Return the bytes in use, without pages that SQLite keeps free; raise StoreError."""
        try:
            return retention.measure(self._db)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def excess(self) -> int:
        """Return the bytes in use above ``max_size``; raise StoreError."""
        return max(0, self.size() - self.max_size)

    def prune(self, now: float | None = None) -> int:
        """Delete what exceeds ``max_age`` or ``max_size``; return the number of points.

        The oldest arrivals are deleted first, a few thousand per call, so that readers never wait
        long; call it again until it returns 0. Raise StoreError.
        """
        now = time.time() if now is None else now
        try:
            most = self.held_after
            deleted = retention.prune(self._db, now, self.max_age, self.max_size, most)
        except sqlite3.Error as error:
            self._roll_back()
            raise self._fault(error) from error
        if deleted and most is not None:
            self._identities.forget()  # the floors are higher now
        return deleted

    def held(self) -> float:
        """Return the share of the points that are not delivered, from 0 to 1; raise StoreError."""
        try:
            return 0.0 if self.held_after is None else retention.share(self._db, self.held_after)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def is_full(self) -> bool:
        """Return whether it exceeds ``max_size`` and nothing can be pruned; raise StoreError."""
        return self.held_after is not None and self.excess() > 0 and self.held() == 1

    def _fault(self, error: sqlite3.Error) -> StoreError:
        kind = StoreCorrupt if is_corrupt(error) else StoreError
        return kind(f"{self.path}: {error}")


def _is_storable(row: Row) -> bool:
    """Return whether SQLite can store the row: its integers have 64 bits, its text is UTF-8."""
    try:
        f"{row.series}{row.body}{row.raw}".encode()
    except UnicodeEncodeError:
        return False
    return -(2**63) <= row.time < LATEST


@lru_cache(maxsize=8192)
def counter_key(name: str, **labels: str) -> tuple[str, str]:
    """Return the key of a counter in ``Counters``."""
    return name, json.dumps(labels, sort_keys=True, separators=(",", ":"))

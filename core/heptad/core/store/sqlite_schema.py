"""The tables of the local store, and the migration of older files."""

import sqlite3
from typing import Final

_FIRST: Final = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    head TEXT NOT NULL UNIQUE
);
CREATE TABLE points (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series INTEGER NOT NULL REFERENCES series (id),
    time INTEGER NOT NULL,
    body TEXT NOT NULL,
    raw TEXT NOT NULL,
    UNIQUE (series, time)
);
CREATE TABLE counters (
    name TEXT NOT NULL,
    labels TEXT NOT NULL,
    value NOT NULL,
    PRIMARY KEY (name, labels)
) WITHOUT ROWID;
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE marks (
    at REAL PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;
"""

_OUTBOX: Final = """
ALTER TABLE series ADD COLUMN floor INTEGER;
CREATE TABLE taken (
    head TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (head, since)
) WITHOUT ROWID;
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY REFERENCES points (id),
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
);
"""
"""``floor``: the newest time of a series' deleted points.

``taken``: times that points had in another store of this host. ``rejected``: points that the
destination rejected.
"""

_HELD: Final = """
CREATE TABLE held (
    id INTEGER PRIMARY KEY REFERENCES points (id),
    at INTEGER NOT NULL,
    time INTEGER NOT NULL,
    measurement TEXT NOT NULL,
    field TEXT NOT NULL,
    sent TEXT NOT NULL,
    stored TEXT NOT NULL
);
"""
"""``held``: points that the destination does not accept now, since when, and for which field."""

MIGRATIONS: Final = (_FIRST, _OUTBOX, _HELD)
"""The steps from version N to N + 1, in order; a released step is never changed."""

SCHEMA_VERSION: Final = len(MIGRATIONS)

OLDEST_READABLE: Final = 2
"""Later versions only added a table that only `heptad exporter rejected` reads."""

ADD_TO_COUNTER: Final = "ON CONFLICT (name, labels) DO UPDATE SET value = value + excluded.value"
"""The end of an insert into ``counters``; the inserted value is then added."""


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Migrate a file from ``version`` to ``SCHEMA_VERSION``; each step is atomic."""
    for number, step in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {step}; PRAGMA user_version = {number}; COMMIT;")

"""A local store of a test's own, and what tests do to one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.core.store.sqlite import LocalStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a store may be; its directory does not exist yet."""
    return tmp_path / "state" / "events.db"


@pytest.fixture
def store(path: Path) -> Iterator[LocalStore]:
    """Open an empty store."""
    with LocalStore(path, write=True) as store:
        yield store


def times(store: LocalStore, **tags: str) -> list[int]:
    """Return the times of all events with these tags."""
    return [point.time for point in store.read("events", 0, 2**62, tags)]


def limit(store: LocalStore, pages: int) -> None:
    """Make a write fail that needs more pages in the store's file."""
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # noqa: SLF001 - only the connection can

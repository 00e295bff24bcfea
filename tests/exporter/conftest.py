"""What the tests of the exporter share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.feed import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """An empty store, and no source."""
    bench = Bench(tmp_path / "events.db")
    yield bench
    bench.stop()


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves; `reader` reads by it."""
    return Clock()

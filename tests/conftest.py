"""What all tests share."""

from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests import needs
from tests.influxd_2 import Influxd2
from tests.influxdb import Influxd, running

# How long an example takes says more about the machine than about the code: no timed tests.
settings.register_profile("heptad", deadline=None, print_blob=True)
settings.load_profile("heptad")


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """A real InfluxDB that all tests share: each makes databases with names of its own."""
    with running(Influxd(tmp_path_factory.mktemp("influxd"))) as server:
        yield server


@pytest.fixture(scope="session")
def influxd_2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd2]:
    """A real InfluxDB 2 that all tests share: each makes buckets with names of its own."""
    with running(Influxd2(tmp_path_factory.mktemp("influxd2"))) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Let `tests.needs` know which test asks for something of the machine."""
    needs.running = item
    try:
        return (yield)
    finally:
        needs.running = None

"""What all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.influxdb import Influxd, running

# How long an example takes says more about the machine than about the code: no timed tests.
settings.register_profile("heptad", deadline=None, print_blob=True)
settings.load_profile("heptad")


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """A real InfluxDB that all tests share: each makes databases with names of its own."""
    with running(Influxd(tmp_path_factory.mktemp("influxd"))) as server:
        yield server

"""What the tests of the aggregator share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.aggregator_world import HOUR, MIDNIGHT, World
from tests.support.influxdb import Influxd
from tests.support.page_views import FleetViews, Views


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two empty stores and an aggregator, in the evening."""
    with World(tmp_path) as world:
        world.now = MIDNIGHT + 18 * HOUR
        yield world


@pytest.fixture(params=["files", pytest.param("influxdb", marks=pytest.mark.system)])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Views]:
    """Empty stores of either kind, and the page on them."""
    if request.param == "files":
        views = Views(tmp_path)
    else:
        server: Influxd = request.getfixturevalue("influxd")
        server.drop("events", "reports", "heptad")
        views = FleetViews(tmp_path, server)
    with views.world:
        yield views
    if isinstance(views, FleetViews):
        views.server.drop("events", "reports", "heptad")

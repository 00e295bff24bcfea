"""What all tests share."""

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings

from heptad.core.config import location
from heptad.core.telemetry import masking
from tests.support import left_out, minutes, needs
from tests.support.dashboard_world import DashboardWorld
from tests.support.effort import BRIEF, tries
from tests.support.influxd_2 import Influxd2
from tests.support.influxdb import ClosedInfluxd, Influxd, running
from tests.support.journal import Journal, Reader
from tests.support.site import Site

# a configuration of this machine must not be what a test, or a command that it runs, reads
os.environ[location.VARIABLE] = ""

# How long an example takes says more about the machine than about the code: no timed tests.
settings.register_profile("heptad", deadline=None, print_blob=True, max_examples=tries(100))
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


@pytest.fixture(scope="session")
def closed_influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClosedInfluxd]:
    """A real InfluxDB 1.6 with authentication, which all tests share, as above."""
    with running(ClosedInfluxd(tmp_path_factory.mktemp("closed"))) as server:
        yield server


@pytest.fixture(scope="session")
def nine_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardWorld]:
    """What has happened on nine hosts, as everybody was told it: see tests/support/dashboard_world.py."""
    with DashboardWorld(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(params=[needs.INFLUXDB_1, needs.INFLUXDB_2])
def influxdb_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Three buckets of a test's own, on each real generation of InfluxDB."""
    fixture = {"1": "closed_influxd", "2": "influxd_2"}[request.param[0]]
    site = Site(request.getfixturevalue(fixture), tmp_path / "secrets")
    yield site
    site.clear()


@pytest.fixture
def site(influxdb_site: Site) -> Site:
    """The same; a test of the page has another `site`."""
    return influxdb_site


@pytest.fixture
def site_2(influxd_2: Influxd2, tmp_path: Path) -> Iterator[Site]:
    """Three buckets of a test's own on a real 2.7.12."""
    site = Site(influxd_2, tmp_path / "secrets")
    yield site
    site.clear()


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    """Know no secret of another test: a short one would mask letters of what servers say."""
    # not the fixture: that one must be set up after other fixtures, and undone before them
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "_current", [masking._Masks({}, [])])  # noqa: SLF001
        patch.setattr(masking, "_secrets", {})
        yield


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty folder of journal files."""
    folder = tmp_path / "journal"
    folder.mkdir()
    return Journal(folder)


@pytest.fixture
def reader(request: pytest.FixtureRequest, journal: Journal) -> Iterator[Reader]:
    """A reader of the journal, by the `clock` of the test if it has one."""
    has_clock = "clock" in request.fixturenames
    clock = request.getfixturevalue("clock").monotonic if has_clock else time.monotonic
    reader = Reader(journal, clock)
    yield reader
    reader.source.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out, before `-m` chooses."""
    left_out.mark(items)
    left_out.count(config, items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over from a worker of pytest-xdist what it left out; all of them left out the same."""
    node.config.stash[left_out.LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


_spent: Final[dict[str, float]] = {}
"""The seconds that the tests of each file took."""


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what the tests of a file take, with their fixtures."""
    name = report.location[0]
    _spent[name] = _spent.get(name, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List what `make check` left out, and in CI how long each file took."""
    if os.environ.get("CI") == "true":
        terminalreporter.section("minutes of the slowest files")
        for line in minutes.describe(_spent):
            terminalreporter.line(line)
    left = config.stash.get(left_out.LEFT_OUT, {})
    if left and BRIEF:
        terminalreporter.section("left out")
        for line in left_out.describe(left):
            terminalreporter.line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Let `tests.support.needs` know which test asks for something of the machine."""
    needs.running = item
    try:
        return (yield)
    finally:
        needs.running = None

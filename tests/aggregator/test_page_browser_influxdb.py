"""The page on InfluxDB in a real browser: what it shows, hostile values, what comes meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from heptad.aggregator.web.fleet import FleetStores
from heptad.core.config.influxdb import InfluxConfig
from tests.aggregator.test_page_browser import (
    SIZES,
    Site,
    browser,
    expect_harmless,
    fill_with_hostility,
    visit,
    world,
)
from tests.support.aggregator_world import HOUR, MINUTE, SECOND, World, attack, login
from tests.support.influxdb import Influxd, running
from tests.support.page_views import copy_stores

__all__ = ["browser", "world"]  # fixtures

UNKNOWN = "time of the last check unknown"
"""What stands beside a number where no exporter has sent a heartbeat."""


class FleetSite(Site):
    """The page on the buckets of ``server``, which hold what ``folder`` holds when it is asked."""

    def __init__(self, folder: Path, server: Influxd) -> None:
        super().__init__(folder, FleetStores(InfluxConfig(server.url)))
        self.influxd = server

    def copy(self) -> None:
        """What is in the files of the folder, into the buckets."""
        copy_stores(self.folder, self.influxd)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FleetSite]:
    """A running page and an InfluxDB of its own."""
    with running(Influxd(tmp_path / "influxd")) as server:
        server.create("events", "reports", "heptad")
        site = FleetSite(tmp_path, server)
        yield site
        site.server.close()


@SIZES
def test_it_shows_a_fleet(
    browser: Browser, site: FleetSite, world: World, size: tuple[int, int]
) -> None:
    """Events of every host, charts, rankings, findings with their evidence, and sources."""
    for host in ("web-1", "web-2"):
        world.append(login(e.time, host=host) for e in attack(world.now - 2 * HOUR, 6))
    world.append([login(world.now - MINUTE, host="web-3", outcome="success", user="alice")])
    world.run_cycle(everything=True)
    site.copy()
    seen = visit(browser, site, size)
    page = seen.page
    expect(page.locator("#events-note")).to_have_text("13 shown")
    expect(page.locator("#tile-failures")).to_have_text("12" + UNKNOWN)
    expect(page.locator("#tile-successes")).to_have_text("1" + UNKNOWN)
    expect(page.locator("#chart canvas")).to_have_count(1)
    expect(page.locator("#top-addresses")).to_contain_text("192.0.2.1")
    expect(page.locator("#sources tr")).to_have_count(3)
    expect(page.locator("#health-note")).to_have_text("")
    page.locator("#findings-list summary").first.press("Enter")
    page.get_by_role("button", name="Show the events").first.press("Enter")
    expect(page.locator("#events-note")).to_have_text("12 shown")
    assert seen.overflow() == 0
    assert seen.faults == []
    page.context.close()


def test_hostile_values(browser: Browser, site: FleetSite, world: World) -> None:
    """Whatever stands in a bucket is shown as text."""
    fill_with_hostility(site, world)
    site.copy()
    expect_harmless(visit(browser, site), site)


def test_it_follows(browser: Browser, site: FleetSite, world: World) -> None:
    """What comes appears by itself; of an outage the page tells, and goes on after it."""
    world.append([login(world.now - MINUTE, user="before")])
    site.copy()
    seen = visit(browser, site)
    expect(seen.page.locator("#rows tr")).to_have_count(1)
    world.append([login(time.time_ns() + SECOND, user="fresh")])
    site.copy()
    expect(seen.page.locator("#rows tr")).to_have_count(2)
    site.influxd.kill()
    expect(seen.page.locator("#banner")).to_contain_text("check that the server is running")
    site.influxd.start()
    expect(seen.page.locator("#banner")).to_be_hidden()
    world.append([login(world.now - 2 * MINUTE, user="late")])
    site.copy()
    expect(seen.page.locator("#rows tr")).to_have_count(3, timeout=20_000)
    users = seen.page.locator("#rows tr td:nth-child(5)").all_inner_texts()
    assert users == ["fresh", "before", "late"]
    seen.page.context.close()

"""The range of the page in a real browser: from one time to another, in the address, by dragging."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.aggregator.test_page_browser import Site, Visit, browser, site, world
from tests.support.aggregator_world import SECOND, World, login

__all__ = ["browser", "site", "world"]  # fixtures

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


class Now:
    """When the test began: events are minutes old in it, however long the tests before it took."""

    at: datetime


def at(minutes: float) -> datetime:
    """So many minutes ago."""
    return Now.at - timedelta(minutes=minutes)


def nanoseconds(moment: datetime) -> int:
    """As events have it."""
    return int(moment.timestamp()) * SECOND


@pytest.fixture
def visit(browser: Browser, site: Site, world: World) -> Iterator[type]:
    """Opens the page in a zone; an event every ten minutes of the last five hours."""
    Now.at = datetime.now(UTC).replace(microsecond=0)
    world.append(login(nanoseconds(at(n * 10 + 5)), user=f"u{n}") for n in range(29, -1, -1))
    contexts = []

    class Opened(Visit):
        def __init__(self, query: str = "", zone: str = BERLIN) -> None:
            context = browser.new_context(viewport={"width": 1280, "height": 900}, timezone_id=zone)
            contexts.append(context)
            super().__init__(context, site.server.url, query)

        def users(self) -> list[str]:
            return self.page.locator("#rows tr td:nth-child(5)").all_inner_texts()

        def range(self) -> list[datetime]:
            query = parse_qs(urlsplit(self.page.url).query)
            return [datetime.fromisoformat(query[name][0]) for name in ("since", "until")]

        def shows(self, number: int) -> None:
            expect(self.page.locator("#events-note")).to_have_text(re.compile(f"^{number} shown"))

    yield Opened
    for context in contexts:
        context.close()


def local(moment: datetime, offset: int) -> str:
    """The value of a field for date and time, so many hours ahead of UTC."""
    return (moment + timedelta(hours=offset)).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_range_is_the_same_for_whom_it_is_sent_to(visit: type) -> None:
    """From and To are of the browser's zone, which is shown; the address has absolute times."""
    seen = visit()
    zone = seen.page.locator("#zone")
    seen.page.locator("#since").select_option("custom")
    expect(zone).to_have_text(re.compile(r"Europe/Berlin, UTC\+0[12]:00"))
    offset = int(zone.inner_text()[-4])
    # not 60: the page offers the last hour, and an unchanged field keeps its fraction of a second
    seen.page.locator("#from").fill(local(at(61), offset))
    seen.page.locator("#to").fill(local(at(30), offset))
    seen.page.locator("#to").press("Enter")
    seen.shows(3)
    assert seen.range() == [at(61), at(30)]
    assert seen.users() == ["u3", "u4", "u5"]
    expect(seen.page.locator("#live")).to_be_disabled()
    sent = visit(f"?{urlsplit(seen.page.url).query}", NEW_YORK)
    assert sent.users() == seen.users()
    expect(sent.page.locator("#since option:checked")).to_contain_text("–")
    sent.page.locator("#since").select_option("1h")
    sent.shows(6)
    expect(sent.page.locator("#live")).to_be_enabled()
    assert "until" not in sent.page.url
    assert seen.faults + sent.faults == []


def test_without_an_end_it_is_up_to_now(visit: type, world: World) -> None:
    """A range without To shows what arrives, too."""
    seen = visit(f"?since={quote(at(12).isoformat())}")
    assert seen.users() == ["u0"]
    world.append([login(time.time_ns(), user="new")])
    seen.shows(2)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=yesterday", "since is “yesterday”"),
        ("since=2026-02-03", "since is “2026-02-03”"),
        ("since=2026-13-40T00:00:00Z", "since is"),
        ("since=2026-03-01T12:00:00Z&until=2026-03-01T11:00:00Z", "From is not before To"),
        ("until=2026-03-01T12:00:00Z", "an end but no start"),
        ("since=2200-01-01T00:00:00Z", "From is in the future"),
        ("since=%3Cimg%20src%3Dx%20onerror%3Dwindow.struck%3D1%3E", "since is “<img src=x"),
        ("since=24h&until=" + "9" * 5000, "since is “24h”"),
    ],
)
def test_a_range_in_the_address_that_is_not_valid(visit: type, query: str, words: str) -> None:
    """It is told as text and not used; the page shows what it shows without it."""
    seen = visit(f"?{query}")
    fault = seen.page.locator("#range-fault")
    expect(fault).to_contain_text(words)
    assert len(fault.inner_text()) < 200
    expect(seen.page.locator("#events-note")).to_have_text(re.compile(r"^\d+ shown"))
    assert seen.page.evaluate("window.struck") is None
    assert seen.faults == []


def test_fields_that_make_no_range(visit: type) -> None:
    """A range that ends before it begins, or begins nowhere, is told and changes nothing."""
    seen = visit("?since=24h")
    page = seen.page
    page.locator("#since").select_option("custom")
    page.locator("#from").fill(local(at(10), 0))
    page.locator("#to").fill(local(at(60), 0))
    page.locator("#custom [type=submit]").click()
    expect(page.locator("#range-fault")).to_have_text("From is not before To.")
    page.locator("#from").fill("")
    page.locator("#custom [type=submit]").click()
    expect(page.locator("#range-fault")).to_have_text("Enter a time in From.")
    assert urlsplit(page.url).query == "since=24h"
    page.locator("#from").press("Escape")
    expect(page.locator("#custom")).to_be_hidden()
    expect(page.locator("#since")).to_have_value("24h")


def test_an_hour_that_the_clock_repeats(visit: type) -> None:
    """Two times that look alike in the fields stay the times that they are, unless edited."""
    query = "?since=2025-10-26T00:30:00Z&until=2025-10-26T01:30:00Z"
    seen = visit(query)
    seen.page.locator("#since").dispatch_event("change")
    fields = [seen.page.locator(f"#{name}").input_value() for name in ("from", "to")]
    assert [field[:16] for field in fields] == ["2025-10-26T02:30"] * 2
    seen.page.locator("#custom [type=submit]").click()
    expect(seen.page.locator("#range-fault")).to_be_empty()
    assert [moment.isoformat() for moment in seen.range()] == [
        "2025-10-26T00:30:00+00:00",
        "2025-10-26T01:30:00+00:00",
    ]


def drag(seen: Visit, begin: float, end: float) -> None:
    """Drag over the chart between two shares of its width."""
    box = seen.page.locator("#chart .u-over").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    seen.page.mouse.move(box["x"] + box["width"] * begin, middle)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] * (begin + end) / 2, middle)
    seen.page.mouse.move(box["x"] + box["width"] * end, middle)
    seen.page.mouse.up()


def test_zoom_by_dragging(visit: type) -> None:
    """What is dragged over becomes the range; a double click or a button leads back."""
    seen = visit("?since=6h")
    seen.page.locator("#chart").scroll_into_view_if_needed()
    seen.shows(30)
    drag(seen, 0.5, 0.75)
    expect(seen.page.locator("#zoom-back")).to_be_visible()
    begin, end = seen.range()
    assert timedelta(minutes=85) < end - begin < timedelta(minutes=105)
    assert timedelta(minutes=170) < Now.at - begin < timedelta(minutes=190)
    expect(seen.page.locator("#rows tr")).to_have_count(
        sum(begin <= at(n * 10 + 5) < end for n in range(30))
    )
    drag(seen, 0.25, 0.75)
    expect(seen.page.locator("#rows tr")).not_to_have_count(9)
    inner = seen.range()
    assert begin < inner[0] < inner[1] < end
    box = seen.page.locator("#chart .u-over")
    box.dblclick()
    expect.soft(seen.page.locator("#zoom-back")).to_be_visible()
    assert seen.range() == [begin, end]
    seen.page.locator("#zoom-back").press("Enter")
    seen.shows(30)
    assert urlsplit(seen.page.url).query == "since=6h"
    expect(seen.page.locator("#zoom-back")).to_be_hidden()
    box.dblclick()
    seen.shows(30)
    seen.page.go_back()
    expect(seen.page.locator("#rows tr")).not_to_have_count(30)
    assert seen.range() == [begin, end]
    assert seen.faults == []


def test_a_click_does_not_zoom(visit: type) -> None:
    """Neither a click on the chart nor a drag of a few pixels changes the range."""
    seen = visit("?since=6h")
    seen.page.locator("#chart .u-over").click()
    drag(seen, 0.5, 0.502)
    assert urlsplit(seen.page.url).query == "since=6h"


def test_a_slow_answer_to_an_earlier_range_is_not_shown(visit: type) -> None:
    """When answers come in another order than they were asked for, the range in force is shown."""
    seen = visit("?since=6h")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    seen.page.route("**/api/series?since=30d", hold)
    seen.page.locator("#since").select_option("30d")
    seen.page.locator("#since").select_option("1h")
    expect(seen.page.locator("#tile-failures")).to_contain_text("6")
    until = time.monotonic() + 10
    while not held and time.monotonic() < until:
        seen.page.wait_for_timeout(20)
    for route in held:
        route.continue_()
    seen.page.wait_for_timeout(300)
    assert held
    assert seen.page.locator("#tile-failures").inner_text().startswith("6")


def test_a_drag_survives_new_numbers(visit: type, world: World) -> None:
    """Numbers that come while the pointer is down do not take the choice away."""
    seen = visit("?since=6h")
    seen.page.locator("#chart").scroll_into_view_if_needed()
    box = seen.page.locator("#chart .u-over").bounding_box()
    begin, middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen.page.mouse.move(begin, middle)
    seen.page.mouse.down()
    seen.page.mouse.move(begin + 100, middle)
    world.append([login(time.time_ns(), user="new")])
    seen.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(seen.page.locator("#tile-failures")).to_contain_text("31")
    chosen = seen.page.evaluate("document.querySelector('#chart .u-select').offsetWidth")
    assert chosen > 90
    seen.page.mouse.move(begin + 200, middle)
    seen.page.mouse.up()
    expect(seen.page.locator("#zoom-back")).to_be_visible()
    assert "until=" in seen.page.url
    assert seen.faults == []

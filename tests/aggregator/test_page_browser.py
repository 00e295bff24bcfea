"""The page in a real browser: hostile values, the keyboard, narrow screens, stores that come and go."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from prometheus_client import CollectorRegistry

from heptad.aggregator.detection.rules.session import SessionRule
from heptad.aggregator.web.page import Page as Pages
from heptad.aggregator.web.source import HostStores, PageStores
from heptad.core.config.findings import FindingsConfig
from heptad.core.event import Event
from heptad.core.http.server import Server
from heptad.core.store.api import LOOKED_UNTIL
from tests.support import needs
from tests.support.aggregator_world import HOUR, MINUTE, SECOND, World, attack, login

WIDE = (1280, 900)
NARROW = (390, 844)
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW])
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
HOSTILE = (
    "<script>window.struck = 1</script>",
    "<img src=x onerror=window.struck=1>",
    "\"><svg onload='window.struck=1'>",
    "javascript:window.struck=1",
    "\u202emoc.live\u202c",
    "\u2066a\u2069\u200f",
    "\x07\x1b[31mred\x9b0m",
    "z\u0300" * 200,
    "W" * 65_536,
    "\U0001f600" * 500,
    "'; DROP TABLE points; --",
    "{{7*7}}${7*7}",
    "",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    needs.program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


class Site:
    """Stores in a folder or elsewhere, and a port that serves the page on them."""

    def __init__(self, folder: Path, stores: PageStores | None = None) -> None:
        self.folder = folder
        self.problems: list[str] = []
        stores = stores or HostStores(folder / "events.db", folder / "reports.db")
        pages = Pages(stores, "127.0.0.1", lambda: self.problems, time.time_ns)
        self.server = Server(("127.0.0.1", 0), CollectorRegistry(), list, pages=pages)
        self.server.start()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A running page; its stores are not there yet."""
    site = Site(tmp_path)
    yield site
    site.server.close()


@pytest.fixture
def world(site: Site) -> Iterator[World]:
    """The stores of the page."""
    with World(site.folder) as world:
        world.now = time.time_ns()
        yield world


class Visit:
    """A tab with the page in it, and everything that went wrong there."""

    def __init__(self, context: BrowserContext, url: str, query: str = "") -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.faults: list[str] = []
        self.asked: set[str] = set()
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(f"{url}/{query}")
        self.page.wait_for_selector("body[data-loaded]")

    def overflow(self) -> int:
        """How many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def visit(browser: Browser, site: Site, size: tuple[int, int] = WIDE, query: str = "") -> Visit:
    """Open the page in a tab of its own."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    return Visit(context, site.server.url, query)


def hostile_events(now: int) -> list[Event]:
    """Events whose every free field is hostile."""
    return [
        login(
            now - n * SECOND,
            "192.0.2.66" if n % 2 else None,
            user=value,
            target_user=value,
            source_domain=value,
            object=value,
            tty=value,
            log_host=value,
            raw=f"Failed password for {value} from nowhere",
        )
        for n, value in enumerate(HOSTILE, start=1)
    ]


def fill_with_hostility(site: Site, world: World) -> None:
    """Events, findings and problems that carry hostile values."""
    world.append(hostile_events(world.now))
    for value in HOSTILE:
        attempts = attack(world.now - 10 * MINUTE, 6)
        world.append(login(event.time, "192.0.2.66", user=value) for event in attempts)
    world.run_cycle(everything=True)
    site.problems = [f"source {value[:300]}: cannot be read" for value in HOSTILE]


def expect_harmless(seen: Visit, site: Site) -> None:
    """All of it is shown, as text: nothing runs, acts, or breaks the layout."""
    page = seen.page
    expect(page.locator("#rows tr").first).to_be_visible()
    for button in page.locator("#rows button.link").all()[:13]:
        button.press("Enter")
    for summary in page.locator("#findings-list summary").all():
        summary.press("Enter")
    assert page.locator("#rows tr.more-of").count() == 13
    text = page.locator("body").inner_text()
    assert "<script>window.struck = 1</script>" in text
    assert "\\u202emoc.live\\u202c" in text
    assert "\\x1b[31mred\\x9b0m" in text
    assert not set(text) & set("\u202e\u202c\u2066\u2069\u200f\x00\x07\x1b\x9b")
    assert page.evaluate("window.struck") is None
    assert page.locator("main script, main img, main svg").count() == 0
    assert seen.overflow() == 0
    assert seen.faults == []
    assert {url for url in seen.asked if not url.startswith(site.server.url)} == set()
    page.context.close()


@SIZES
def test_hostile_values(browser: Browser, site: Site, world: World, size: tuple[int, int]) -> None:
    """Whatever stands in a log is shown as text."""
    fill_with_hostility(site, world)
    expect_harmless(visit(browser, site, size), site)


@pytest.mark.parametrize("value", [value for value in HOSTILE if value])
def test_filter_by_hostile_values(browser: Browser, site: Site, world: World, value: str) -> None:
    """A click on a hostile name finds its events, by what is shown of it."""
    world.append(login(world.now - n * SECOND, user=value) for n in range(1, 4))
    world.append([login(world.now - 9 * SECOND, user="another")])
    seen = visit(browser, site)
    seen.page.locator("#top-users button").first.click()
    expect(seen.page.locator("#events-note")).to_have_text("3 shown, 2 filters")
    assert seen.faults == []
    seen.page.context.close()


def test_inline_code_does_not_run(browser: Browser, site: Site, world: World) -> None:
    """The policy stops what would be put in as markup: scripts, handlers, forms, other hosts."""
    seen = visit(browser, site)
    seen.page.evaluate(
        """() => {
        const holder = document.createElement("div");
        holder.innerHTML = "<img src=x onerror='window.struck=1'>";
        document.body.append(holder);
        const script = document.createElement("script");
        script.textContent = "window.struck = 2";
        document.body.append(script);
        return fetch("http://127.0.0.2:9/").catch(() => null);
    }"""
    )
    seen.page.wait_for_timeout(300)
    assert seen.page.evaluate("window.struck") is None
    assert sum("Content Security Policy" in fault for fault in seen.faults) >= 3
    seen.page.context.close()


@SIZES
def test_without_a_mouse(browser: Browser, site: Site, world: World, size: tuple[int, int]) -> None:
    """Skip link, filters, an event's details and older events work by the keyboard alone."""
    world.append(login(world.now - n * SECOND, user=f"user{n % 2}") for n in range(1, 121))
    seen = visit(browser, site, size)
    page = seen.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(5):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "user"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.type("user1")
    page.keyboard.press("Enter")
    expect(page.locator("#events-note")).to_have_text("50 shown, 1 filter")
    assert "user=user1" in page.url
    first = page.locator("#rows button.link").first
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-expanded") == "true"
    expect(page.locator("#rows tr.more-of")).to_contain_text("192.0.2.1")
    page.keyboard.press("Enter")
    assert page.locator("#rows tr.more-of").count() == 0
    page.locator("#more").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#events-note")).to_have_text("60 shown, 1 filter")
    assert page.evaluate("document.activeElement.closest('#rows') !== null")
    page.context.close()


def test_every_field_has_a_label(browser: Browser, site: Site, world: World) -> None:
    """Each control has a name for who does not see it, and each view a heading."""
    seen = visit(browser, site)
    nameless = seen.page.evaluate(
        """[...document.querySelectorAll("input, select, button, [role=img], [role=region]")]
        .filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.id)"""
    )
    assert nameless == []
    assert seen.page.locator("h1").count() == 1
    assert seen.page.locator("[aria-live=polite]").count() == 1
    seen.page.context.close()


def test_live(browser: Browser, site: Site, world: World) -> None:
    """An event that arrives appears by itself, at its place, and is told to a screen reader."""
    world.append([login(world.now - MINUTE, user="before")])
    seen = visit(browser, site)
    expect(seen.page.locator("#rows tr")).to_have_count(1)
    world.append([login(time.time_ns(), user="fresh"), login(world.now - 2 * MINUTE, user="late")])
    expect(seen.page.locator("#rows tr")).to_have_count(3)
    users = seen.page.locator("#rows tr td:nth-child(5)").all_inner_texts()
    assert users == ["fresh", "before", "late"]
    expect(seen.page.locator("#told")).to_have_text("2 new events")
    assert seen.faults == []
    seen.page.context.close()


def test_findings_lead_to_their_evidence(browser: Browser, site: Site, world: World) -> None:
    """A finding opens, names its severity in words, and shows exactly its events."""
    world.append(attack(world.now - 30 * MINUTE, 7))
    world.append([login(world.now - 25 * MINUTE, "192.0.2.200")])
    world.run_cycle(everything=True)
    seen = visit(browser, site)
    finding = seen.page.locator("#findings-list li")
    expect(finding).to_have_count(1)
    expect(finding.locator(".severity")).to_have_text("low")
    expect(finding.locator("summary strong")).to_have_text("Brute force")
    expect(finding.locator(".facts")).to_have_text("7 failed logins within 1 minute")
    chips = finding.locator(".chips .chip").all_inner_texts()
    assert chips == ["from 192.0.2.1", "who root", "host web1", "T1110"]
    link = finding.get_by_role("link", name="T1110")
    expect(link).to_have_attribute("href", "https://attack.mitre.org/techniques/T1110/")
    finding.locator("summary").press("Enter")
    finding.get_by_role("button", name="Show the events").press("Enter")
    expect(seen.page.locator("#events-note")).to_have_text("7 shown")
    seen.page.locator("#scope-clear").press("Enter")
    expect(seen.page.locator("#scope")).to_be_hidden()
    seen.page.locator("#clear").press("Enter")
    expect(seen.page.locator("#events-note")).to_have_text("8 shown")
    seen.page.context.close()


def test_stores_that_come_and_go(browser: Browser, site: Site) -> None:
    """Without a store the page says what to do, with an empty one what to expect; then it shows."""
    context = browser.new_context()
    seen = Visit(context, site.server.url)
    expect(seen.page.locator("#banner")).to_contain_text("start `heptad up`")
    with World(site.folder) as world:
        expect(seen.page.locator("#banner")).to_be_hidden()
        expect(seen.page.locator("#empty")).to_contain_text("No events in this range yet")
        world.append([login(time.time_ns())])
        expect(seen.page.locator("#rows tr")).to_have_count(1)
    site.server.close()
    expect(seen.page.locator("#banner")).to_contain_text("Heptad does not answer.")
    context.close()


def test_health_is_not_good_without_an_answer(browser: Browser, site: Site, world: World) -> None:
    """When the server is gone the Health tile says that nothing is known, and since when."""
    world.append([login(world.now - MINUTE, "192.0.2.1")])
    world.events.append([], {LOOKED_UNTIL: str(world.now).encode()})
    seen = visit(browser, site)
    tile = seen.page.locator("#tile-health")
    expect(tile).to_contain_text("OK")
    site.server.close()
    expect(tile).to_contain_text("unknown", timeout=60_000)
    expect(tile).to_contain_text("as of")
    expect(tile).not_to_contain_text("OK")


@pytest.mark.parametrize(
    "age, word, kind", [(0, "OK", ""), (200, "unknown", "unknown"), (None, "unknown", "unknown")]
)
def test_health_is_good_while_logs_are_looked_at(
    browser: Browser, site: Site, world: World, age: int | None, word: str, kind: str
) -> None:
    """The tile is OK only where an exporter has looked lately; every zero says until when."""
    world.append([login(world.now - 2 * HOUR, "192.0.2.1", outcome="unknown")])
    if age is not None:
        world.events.append([], {LOOKED_UNTIL: str(world.now - age * SECOND).encode()})
    seen = visit(browser, site)
    tile = seen.page.locator("#tile-health")
    expect(tile).to_contain_text(word)
    expect(tile).to_have_class(kind)
    looked = "time of the last check unknown" if age is None else "checked until"
    for zero in ("tile-failures", "tile-successes", "tile-findings", "top-users", "top-addresses"):
        expect(seen.page.locator(f"#{zero}")).to_contain_text(looked)
    for none in ("#findings-list", "#sessions-rows"):
        expect(seen.page.locator(none)).to_contain_text(looked)
    seen.page.locator("[name=user]").fill("nobody")
    seen.page.locator("#filters button[type=submit]").click()
    expect(seen.page.locator("#empty")).to_contain_text(looked)


def test_sessions_fit_a_phone(browser: Browser, site: Site) -> None:
    """Nothing of a session or a source is cut or has to be scrolled to on a narrow screen."""
    with World(site.folder, rules=[SessionRule(FindingsConfig().session)]) as world:
        world.now = time.time_ns()
        known = {"user": "a.long.name@corp.example.com", "outcome": "success", "pid": 7}
        world.append([login(world.now - MINUTE, "2001:db8:1234:5678:9abc:def0:1234:5678", **known)])
        world.append([login(world.now - MINUTE, None, action="session_open", **known)])
        world.append(login(world.now - MINUTE, program=p) for p in ("su", "sudo", "systemd-logind"))
        world.run_cycle(everything=True)
        seen = visit(browser, site, NARROW)
        expect(seen.page.locator("#sessions-rows")).to_contain_text("2001:db8:1234:5678")
        for name in ("sessions", "health"):
            wide = (
                f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('#{name} .scroll'))"
            )
            assert seen.page.evaluate(wide) == 0


@SIZES
@pytest.mark.parametrize("age, chosen", [(5, "1h"), (180, "6h"), (2000, "7d"), (20_000, "30d")])
def test_the_range_fits_the_data(
    browser: Browser, site: Site, world: World, age: int, chosen: str, size: tuple[int, int]
) -> None:
    """The page opens on the shortest range that shows the newest event; a link may name another."""
    world.append([login(world.now - age * MINUTE, "192.0.2.1")])
    seen = visit(browser, site, size)
    expect(seen.page.locator("#since")).to_have_value(chosen)
    expect(seen.page.locator("#rows tr").first).to_be_visible()
    assert seen.overflow() <= 0
    linked = visit(browser, site, size, "?since=24h")
    expect(linked.page.locator("#since")).to_have_value("24h")


def test_the_action_filter(browser: Browser, site: Site, world: World) -> None:
    """Only events of the action are shown, and a word that is none is refused."""
    world.append([login(world.now - MINUTE, "192.0.2.1")])
    seen = visit(browser, site)
    seen.page.locator("[name=action]").fill("disconnect")
    seen.page.locator("#filters button[type=submit]").click()
    expect(seen.page.locator("#empty")).to_be_visible()
    seen.page.locator("[name=action]").fill("login")
    seen.page.locator("#filters button[type=submit]").click()
    expect(seen.page.locator("#rows tr")).to_have_count(1)

"""The pictures of the page: attempts by service over time, and users by hour of the day."""

import json
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, expect

from heptad.aggregator.web.fleet import FleetStores
from heptad.aggregator.web.page import Page
from heptad.core.units import format_time
from tests.aggregator.test_page_browser import HOSTILE, SIZES, Site, browser, site, visit, world
from tests.support.aggregator_world import HOUR, MINUTE, SECOND, World, attack, login
from tests.support.page_views import Views, copy_stores
from tests.support.site import Site as InfluxdbSite

__all__ = ["browser", "site", "world"]  # fixtures


@pytest.mark.parametrize("looks", [False, True])
def test_attempts_by_service(views: Views, *, looks: bool) -> None:
    """The five services with the most attempts, and the others as one, add up to all attempts."""
    programs = ("sshd", "su", "sudo", "login", "vsftpd", "dovecot", "cockpit")
    for place, program in enumerate(programs):
        views.add(
            *(
                login(
                    views.now - n * MINUTE,
                    program=program,
                    outcome="failure" if n % 2 else "success",
                )
                for n in range(1, 10 - place)
            )
        )
    if looks:
        views.world.run_cycle(everything=True)
    data = views.ask("series", since="24h")
    told = [(one["name"], sum(one["attempts"])) for one in data["programs"]]
    assert told == [("sshd", 9), ("su", 8), ("sudo", 7), ("login", 6), ("vsftpd", 5), (None, 7)]
    assert sum(data["failures"]) + sum(data["successes"]) == sum(number for _, number in told)
    for step, attempts in enumerate(
        zip(*(one["attempts"] for one in data["programs"]), strict=True)
    ):
        assert sum(attempts) == data["failures"][step] + data["successes"][step]


def test_services_that_a_stranger_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many programs somebody writes, few are held apart, and none acts on the page."""
    monkeypatch.setattr("heptad.aggregator.web.series._MOST_PROGRAMS", 3)
    views = Views(tmp_path)
    with views.world:
        views.add(*(login(views.now - n * SECOND, program=f"p\u202e{n}") for n in range(20)))
        data = views.ask("series", since="1h")
    assert [one["name"] for one in data["programs"]] == [
        "p\\u202e0",
        "p\\u202e1",
        "p\\u202e2",
        None,
    ]
    assert sum(data["programs"][-1]["attempts"]) == 17


def test_users_by_hour(views: Views) -> None:
    """Each login counts at its hour in the zone that is asked for, by outcome and program."""
    zone = ZoneInfo("Asia/Kolkata")  # half an hour beside the hours of UTC
    times = [views.now - n * 40 * MINUTE for n in range(1, 30)]
    views.add(*(login(time, user="root", count=2) for time in times))
    views.add(
        login(times[0], user="ann", outcome="success"), login(times[0], user="eve", program="su")
    )
    data = views.ask("hours", since="24h", zone="Asia/Kolkata", program="sshd")
    wanted = [0] * 24
    for time in times:
        wanted[datetime.fromtimestamp(time // SECOND, zone).hour] += 2
    assert data["rows"] == [{"name": "root", "hours": wanted}]
    assert (data["outcome"], data["from"], sum(data["others"])) == ("failure", None, 0)
    told = views.ask("top", since="24h", zone="Asia/Kolkata", program="sshd")["hours"]
    assert told == {"rows": data["rows"], "others": data["others"]}
    data = views.ask("hours", since="24h", outcome="success")
    [row] = data["rows"]
    assert (row["name"], sum(row["hours"])) == ("ann", 1)


def test_an_hour_that_is_repeated(tmp_path: Path) -> None:
    """Where the clock is set back, both hours are the same hour of the day."""
    views = Views(tmp_path)
    begin = int(datetime(2025, 10, 26, 0, 30, tzinfo=ZoneInfo("UTC")).timestamp()) * SECOND
    with views.world:
        views.add(login(begin), login(begin + HOUR), login(begin + 2 * HOUR))
        span = {"since": format_time(begin), "until": format_time(begin + 3 * HOUR)}
        [row] = views.ask("hours", zone="Europe/Berlin", **span)["rows"]
    assert (row["hours"][2], row["hours"][3], sum(row["hours"])) == (2, 1, 3)


def test_users_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve rows however many names an attacker tries; the others are one row, none is lost."""
    monkeypatch.setattr("heptad.aggregator.web.hours._MOST", 50)
    views = Views(tmp_path)
    with views.world:
        views.add(*(login(views.now - n * SECOND, user=f"u{n}") for n in range(200)))
        views.add(*(login(views.now - n * SECOND, user="root") for n in range(9)))
        data = views.ask("hours", since="1h")
    assert len(data["rows"]) == 12
    assert data["rows"][0]["name"] == "root"
    assert sum(sum(row["hours"]) for row in data["rows"]) + sum(data["others"]) == 209


def test_users_as_far_as_time_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more logins than can be counted in time, the answer says since when."""
    monkeypatch.setattr("heptad.aggregator.web.hours._SECONDS", 0.0)
    views = Views(tmp_path)
    with views.world:
        views.add(*(login(views.now - n * SECOND) for n in range(600, 0, -1)))
        data = views.ask("hours", since="1h")
    assert data["from"] is not None
    assert 0 < sum(data["rows"][0]["hours"]) < 600


def test_what_a_fleet_is_shown_with_the_rights_of_the_aggregator(
    influxdb_site: InfluxdbSite, tmp_path: Path
) -> None:
    """Pictures and files are the same from either InfluxDB, secured, as from the files of a host."""
    influxdb_site.setup()
    views = Views(tmp_path)
    page = Page(FleetStores(influxdb_site.configure("aggregator")), "127.0.0.1", list)
    names = {place: influxdb_site.bucket(place) for place in ("events", "reports")}
    until = views.now // MINUTE * MINUTE
    with views.world:
        for place, name in enumerate(("root", "=cmd()", "a\u202eb", "")):
            times = (until - n * 7 * MINUTE + place * SECOND for n in range(1, 9))
            views.add(
                *(login(time, user=name, program=("sshd", "su")[place % 2]) for time in times)
            )
        views.add(*attack(until - 20 * MINUTE, 8))
        views.world.run_cycle(everything=True)
        copy_stores(tmp_path, influxdb_site.server, names)
        span = {"since": format_time(until - HOUR), "until": format_time(until)}
        for view in ("series", "top", "hours", "events.csv", "findings.json"):
            environ = {
                "PATH_INFO": f"/api/{view}",
                "HTTP_HOST": "localhost",
                "QUERY_STRING": urlencode(span),
            }
            answer = page(environ)
            assert answer is not None
            assert answer.status == "200 OK", answer.body
            assert answer.body == views.answer(f"/api/{view}", query=urlencode(span)).body, view
            assert len(answer.body) > 200


@pytest.mark.parametrize(
    "zone",
    ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "+99:00", "a" * 300, "Europe", "\x00"],
)
def test_zones_that_are_none(tmp_path: Path, zone: str) -> None:
    """A zone that is none is refused with the remedy, and no other file is read."""
    views = Views(tmp_path)
    with views.world:
        answer = views.answer("/api/hours", query=f"zone={zone}".replace("+", "%2B"))
    assert answer.status == "400 Bad Request"
    assert "`zone`:" in json.loads(answer.body)["error"]


@SIZES
def test_pictures_of_hostile_names(
    browser: Browser, site: Site, world: World, size: tuple[int, int]
) -> None:
    """Names that an attacker chose are text in both pictures, and the page keeps its width."""
    world.append(
        login(world.now - (n + 1) * MINUTE, user=value, count=40 - n, program=f"p{n % 8}")
        for n, value in enumerate(HOSTILE)
    )
    seen = visit(browser, site, size, "?since=6h")
    names = seen.page.locator("#hours-map .name").all_inner_texts()
    assert names[0] == "<script>window.struck = 1</script>"
    assert "\\u202emoc.live\\u202c" in names
    assert "all others" in names
    expect(seen.page.locator("#services-legend .key")).to_have_count(6)
    seen.page.locator("#hours details summary").click()
    seen.page.locator("#services details summary").click()
    assert seen.overflow() == 0
    assert seen.page.evaluate("window.struck") is None
    assert seen.faults == []
    seen.page.context.close()


def test_pictures_without_eyes(browser: Browser, site: Site, world: World) -> None:
    """Each picture has its numbers in words and as a table; a name leads to its events."""
    world.append(login(world.now - n * MINUTE, user="root") for n in range(1, 4))
    world.append([login(world.now - MINUTE, user="ann", program="su", outcome="success")])
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(f"{site.server.url}/?since=1h")
    page.wait_for_selector("body[data-loaded]")
    expect(page.locator("#hours-note")).to_have_text(re.compile("Asia/(Kolkata|Calcutta)"))
    row = page.locator("#hours-map .heat-cells").first
    assert re.match(
        r"root: 3 failed, most from \d\d:00–\d\d:00: [23]", row.get_attribute("aria-label") or ""
    )
    chart = page.locator("#services-chart")
    assert chart.get_attribute("aria-label") == "Login attempts by service over time: sshd 3, su 1"
    heads = page.locator("#services-head th").all_text_contents()
    assert heads == ["From", "sshd", "su"]
    cells = page.locator("#services-rows td:nth-child(2)").all_text_contents()
    assert sum(map(int, cells)) == 3
    table = page.locator("#hours-rows tr").first
    assert table.locator("th").text_content() == "root"
    assert sum(int(text or 0) for text in table.locator("td").all_text_contents()) == 3
    page.locator("#hours-outcome").select_option("success")
    expect(page.locator("#hours-map .name").first).to_have_text("ann")
    page.locator("#hours-map button").first.press("Enter")
    expect(page.locator("#events-note")).to_have_text("1 shown, 3 filters")
    context.close()


def test_a_zone_that_the_server_does_not_know(
    browser: Browser, site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server has no such zone, the browser's offset is taken, and that is said."""
    monkeypatch.setattr("heptad.core.units.ZoneInfo", {}.__getitem__)
    monkeypatch.setattr("heptad.core.units.ZoneInfoNotFoundError", KeyError)
    world.append([login(world.now - MINUTE)])
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(f"{site.server.url}/?since=1h")
    page.wait_for_selector("body[data-loaded]")
    expect(page.locator("#hours-note")).to_have_text("UTC+05:30")
    expect(page.locator("#hours-map .heat-cells")).to_have_count(2)
    context.close()

"""What the page shows as files: CSV that no spreadsheet runs, JSON, bounded, with the filters set."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from heptad.aggregator.web.export import disarm
from tests.aggregator.test_page_browser import Site, browser, site, visit, world
from tests.support.aggregator_world import MINUTE, SECOND, World, attack, login
from tests.support.page_views import Views

__all__ = ["browser", "site", "world"]  # fixtures

ACTIVE = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def read_csv(views: Views, view: str, **parameters: object) -> tuple[str, list[list[str]]]:
    """The name of the file and its lines."""
    answer = views.answer(f"/api/{view}.csv", query=urlencode(parameters))
    assert answer.status == "200 OK", answer.body
    headers = dict(answer.headers)
    assert answer.kind == "text/csv; charset=utf-8"
    [name] = re.findall('attachment; filename="([^"]+)"', headers["Content-Disposition"])
    return name, list(csv.reader(io.StringIO(answer.body.decode(), newline=""), strict=True))


def read_json(views: Views, view: str, **parameters: object) -> dict[str, Any]:
    """The content of the file."""
    answer = views.answer(f"/api/{view}.json", query=urlencode(parameters))
    assert answer.status == "200 OK", answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def test_events_with_the_filters_that_are_set(views: Views) -> None:
    """Both files have the events of the range that fit, newest first, all beyond a page's limit."""
    views.add(*(login(views.now - n * SECOND, user="bob") for n in range(300, 0, -1)))
    views.add(
        login(views.now - 2 * SECOND, user="eve"), login(views.now - 7200 * SECOND, user="bob")
    )
    name, [heading, *rows] = read_csv(views, "events", since="1h", user="bob")
    assert re.fullmatch(r"heptad-events-\d{8}T\d{6}Z-\d{8}T\d{6}Z\.csv", name)
    assert heading[:4] == ["time", "host", "source", "program"]
    assert len(rows) == 300
    assert {row[heading.index("user")] for row in rows} == {"bob"}
    times = [row[0] for row in rows]
    assert times == sorted(times, reverse=True)
    told = read_json(views, "events", since="1h", user="bob")
    assert [event["time"] for event in told["events"]] == times
    assert (told["complete"], told["cut"]) == (True, None)
    assert told["events"][0]["source_ip"] == rows[0][heading.index("source_ip")] == "192.0.2.1"


def test_findings_and_the_events_of_one(views: Views) -> None:
    """Findings come with their names in one cell; the events of a finding are exactly those."""
    views.add(*attack(views.now - 10 * MINUTE, 6), login(views.now - SECOND, user="other"))
    views.world.run_cycle(everything=True)
    _, [heading, row] = read_csv(views, "findings")
    told = dict(zip(heading, row, strict=True))
    assert (told["rule"], told["severity"], told["count"]) == ("brute_force", "low", "6")
    assert (told["addresses"], told["hosts"]) == ("192.0.2.1", "web1")
    [finding] = read_json(views, "findings")["findings"]
    assert finding["id"] == told["id"]
    name, [_, *rows] = read_csv(views, "evidence", finding=told["id"])
    assert (name, len(rows)) == (f"heptad-finding-{told['id']}.csv", 6)
    answer = views.answer("/api/evidence.csv", query="finding=0123456789abcdef")
    assert answer.status == "400 Bad Request"
    assert "no finding has this id" in json.loads(answer.body)["error"]


FORMULAS = [
    "=cmd()",
    "+1+cmd|'/C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1",
    "  =1+1",
    '"=1+1',
    "a;=cmd()",
    'a;"=cmd()',
    "a,=cmd()",
    "\uff1dcmd()",
    "='\u202e",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_name_is_a_formula(tmp_path: Path, formula: str) -> None:
    """No cell begins with what a spreadsheet runs, whichever mark it divides lines at."""
    views = Views(tmp_path)
    with views.world:
        views.add(login(views.now - SECOND, user=formula, raw=formula))
        text = views.answer("/api/events.csv").body.decode()
    assert "\u202e" not in text
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            for cell in row:
                assert not cell.lstrip(" \"'")[:1].startswith(ACTIVE) or "'" in cell[:3], row
                assert not cell.startswith(ACTIVE)
    assert formula.lstrip()[-4:-1] in text


@given(st.text(alphabet="=+-@;,|\t \"'ab\uff1d", max_size=12))
def test_disarming_keeps_the_text(text: str) -> None:
    """What is disarmed begins with nothing active, and is the same text but for apostrophes."""
    disarmed = disarm(text)
    assert not disarmed.startswith(ACTIVE)
    assert not re.search(r"[;,\t|][=+\-@\uff1d]", disarmed)
    assert disarmed.replace("'", "") == text.replace("'", "")
    assert len(disarmed) <= 2 * len(text) + 1


def test_a_file_that_is_cut_says_so(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more rows than a file takes, its last line and the JSON say what is missing."""
    monkeypatch.setattr("heptad.aggregator.web.export.MOST", 5)
    views.add(*(login(views.now - n * SECOND) for n in range(9, 0, -1)))
    _, lines = read_csv(views, "events")
    assert len(lines) == 7
    assert lines[-1][0] == "# cut: only the newest 5 events are in this file"
    assert {len(line) for line in lines} == {len(lines[0])}
    told = read_json(views, "events")
    assert (len(told["events"]), told["complete"]) == (5, False)
    assert told["cut"] == lines[-1][0].removeprefix("# cut: ")
    monkeypatch.setattr("heptad.aggregator.web.export._LARGEST", 1500)
    monkeypatch.setattr("heptad.aggregator.web.export.MOST", 100)
    told = read_json(views, "events")
    assert 0 < len(told["events"]) < 9
    assert "it would be too large" in told["cut"]


def test_a_search_that_is_cut_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where time ends before the range does, the file says how far back it goes."""
    monkeypatch.setattr("heptad.aggregator.web.export._SECONDS", 0.0)
    views = Views(tmp_path)
    with views.world:
        views.add(*(login(views.now - n * SECOND) for n in range(900, 0, -1)))
        told = read_json(views, "events", user="nobody")
    assert (told["events"], told["complete"]) == ([], False)
    assert re.fullmatch(r"events before \S+Z are not in this file", told["cut"])


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/api/events.csv", "since=x", "400"),
        ("/api/events.csv", "format=csv", "400"),
        ("/api/events.xls", "", "404"),
        ("/api/health.csv", "", "404"),
        ("/api/events.csv.json", "", "404"),
        ("/api/events.csv\n", "", "404"),
        ("/api/../events.csv", "", "404"),
        ("/api/evidence.csv", "finding=%0d%0aSet-Cookie:x", "400"),
    ],
)
def test_wrong_questions(tmp_path: Path, path: str, query: str, status: str) -> None:
    """A path or parameter that is none is refused, as JSON with the reason."""
    views = Views(tmp_path)
    with views.world:
        answer = views.answer(path, query=query)
    assert answer.status.startswith(status)
    assert json.loads(answer.body)["error"]


def test_saving_in_the_browser(browser: Browser, site: Site, world: World) -> None:
    """The buttons save the events that are shown, and the findings; a failure is told."""
    world.append(attack(world.now - 30 * MINUTE, 7))
    world.append([login(world.now - MINUTE, user="=cmd()")])
    world.run_cycle(everything=True)
    seen = visit(browser, site, query="?since=24h&user=root")
    with seen.page.expect_download() as saved:
        seen.page.get_by_role("button", name="Save the events as CSV").click()
    assert saved.value.suggested_filename.startswith("heptad-events-")
    lines = Path(saved.value.path()).read_text().splitlines()
    assert len(lines) == 8
    with seen.page.expect_download() as saved:
        seen.page.get_by_role("button", name="Save the findings as JSON").press("Enter")
    assert len(json.loads(Path(saved.value.path()).read_text())["findings"]) == 1
    seen.page.locator("#findings-list summary").click()
    seen.page.get_by_role("button", name="Show the events").click()
    with seen.page.expect_download() as saved:
        seen.page.get_by_role("button", name="Save the events as JSON").click()
    assert saved.value.suggested_filename.startswith("heptad-finding-")
    assert seen.faults == []
    site.server.close()
    seen.page.get_by_role("button", name="Save the events as CSV").click()
    expect(seen.page.locator("#banner")).to_contain_text("Heptad does not answer.")
    seen.page.context.close()

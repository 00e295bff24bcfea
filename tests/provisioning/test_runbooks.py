"""The runbooks on Heptad's page: every alert's link is answered, and nothing in them acts."""

import http.client
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hatchling.builders.wheel import WheelBuilder
from prometheus_client import CollectorRegistry

from heptad.aggregator.web.page import Page
from heptad.aggregator.web.source import HostStores
from heptad.core.http.server import HttpResponse, Server
from provisioning.alerts.rule import Alert, annotations
from provisioning.runbooks import WRITTEN, pages, render
from tests.core.test_web_config import PASSWORD, USERS, basic
from tests.provisioning.test_alerts import ALERTS, SETTINGS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a host without events."""
    folder = tmp_path_factory.mktemp("page")
    return Page(HostStores(folder / "e", folder / "r"), "127.0.0.1", list)


def answer(page: Page, path: str, host: str = "127.0.0.1:9708") -> HttpResponse:
    """The answer to a request for a path of the page."""
    found = page({"PATH_INFO": path, "HTTP_HOST": host, "QUERY_STRING": ""})
    assert found is not None, path
    return found


def test_pages_are_up_to_date() -> None:
    """What the page serves differs from docs/runbooks/ until `make docs` was run."""
    written = {path.name: path.read_text(encoding="utf-8") for path in WRITTEN.iterdir()}
    assert written == pages(), "run `make docs`"


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: alert.name)
def test_the_link_of_an_alert_is_answered(page: Page, alert: Alert) -> None:
    """It leads to a page with a section of that name."""
    url = urlsplit(annotations(alert, SETTINGS)["runbook_url"])
    found = answer(page, url.path)
    assert found.status == "200 OK"
    assert found.kind.startswith("text/html")
    assert f'<h2 id="{url.fragment}">'.encode() in found.body


def test_links_of_runbooks_lead_somewhere(page: Page) -> None:
    """Each link in a runbook is relative, and its page has the anchor that it names."""
    for name in ("", "logins", "exporter", "aggregator", "host"):
        body = answer(page, f"/runbooks/{name}").body.decode()
        for link in re.findall(r'(?:href|src)="([^"]+)"', body):
            path, _, anchor = link.partition("#")
            place = {"./": "/runbooks/", "../": "/"}.get(path, f"/runbooks/{path}")
            place = place.replace("/runbooks/../", "/")
            target = answer(page, place).body.decode()
            assert not anchor or f'id="{anchor}"' in target, link


def test_the_page_leads_to_them(page: Page) -> None:
    """The list of runbooks is linked on the page and names every alert."""
    assert b'href="runbooks/"' in answer(page, "/").body
    found = answer(page, "/runbooks/").body.decode()
    assert all(f"#{name.lower()}" in found for name in ALERTS)


def test_they_have_the_headers_of_the_page(page: Page) -> None:
    """The same policy; no other name of the host leads there; other paths are not served."""
    assert answer(page, "/runbooks/logins").headers[0] == answer(page, "/").headers[0]
    assert answer(page, "/runbooks/logins", "evil.example").status.startswith("421")
    for path in ("/runbooks/index", "/runbooks/logins.md", "/runbooks/../page.py", "/runbooks/x"):
        assert page({"PATH_INFO": path, "HTTP_HOST": "localhost"}) is None


def test_they_are_guarded_like_the_page(page: Page, tmp_path: Path) -> None:
    """Where the port has basic auth, a runbook is not read without it."""
    web = tmp_path / "web.yml"
    web.write_text(USERS)
    server = Server(("127.0.0.1", 0), CollectorRegistry(), list, web_config=str(web), pages=page)
    server.start()
    statuses = []
    for headers in ({}, {"Authorization": basic("scraper", PASSWORD)}):
        with closing(http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port)) as client:
            client.request("GET", "/runbooks/logins", headers=headers)
            statuses.append(client.getresponse().status)
    server.close()
    assert statuses == [401, 200]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "HeptadBruteForce<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1)) [b](data:text/html,x) [c](https://evil.example/)",
        '[a](logins.md"onclick="x#y"z) ![a](https://evil.example/x.png)',
        "# <b>h</b>\n\n`<i>` <!-- x -->\n\n|<u>|\n|-|\n|<s>|",
    ],
)
def test_html_in_a_runbook_is_text(text: str) -> None:
    """Nothing that stands in the text acts, or is loaded from elsewhere."""
    body = render(f"# Title\n\n{text}").partition("<main")[2]
    tags = set(re.findall(r"<(\w+)", body))
    assert tags <= {"h1", "p", "code", "a", "table", "thead", "tbody", "tr", "th", "td"}
    links = re.findall(r"<a ([^>]*)>", body)
    assert all(re.fullmatch(r'href="[\w-]+(#[\w-]+)?"', link) for link in links)


def test_a_wheel_comes_with_them() -> None:
    """A wheel contains every page of the runbooks."""
    included = {ROOT / file.path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert set(WRITTEN.iterdir()) <= included

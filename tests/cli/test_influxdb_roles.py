"""What each role may do to each bucket, tried on each real generation; the docs say the same."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from heptad.cli.influxdb_admin.roles import PLACES, ROLES
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.statement import execute
from heptad.core.store.api import StoreError
from tests.support.influxd_2 import ORGANIZATION
from tests.support.influxdb import Nginx, connect, running
from tests.support.site import Site

DOCS: Final = Path(__file__).parents[2] / "docs" / "influxdb.md"
POINT: Final = "tried,host=web value=1i"


def send(
    connection: InfluxConnection, method: str, path: str, body: str = "", **query: str
) -> None:
    """A request; AssertionError where it is refused."""
    headers = {"Content-Type": "application/json"} if body.startswith("{") else {}
    answer = connection.request(method, path, query, body.encode(), headers)
    assert answer.status < 300, answer.text


def read(site: Site, thief: InfluxConnection, bucket: str) -> None:
    """See the point that is there."""
    rows = execute(thief, "SELECT value FROM tried", bucket)
    assert [row["value"] for row in rows] == [1]


def write(site: Site, thief: InfluxConnection, bucket: str) -> None:
    """Write a point."""
    line = POINT.replace("web", "forged")
    if site.generation == 1:
        send(thief, "POST", "/write", line, db=bucket)
    else:
        send(thief, "POST", "/api/v2/write", line, org=ORGANIZATION, bucket=bucket)
    assert site.server.count(bucket, "tried", "value") == 2


def delete(site: Site, thief: InfluxConnection, bucket: str) -> None:
    """Delete points, in whichever way one of them goes."""
    everything = '{"start": "2020-01-01T00:00:00Z", "stop": "2030-01-01T00:00:00Z"}'
    ways: list[Callable[[], Any]] = [
        lambda: execute(thief, "DELETE FROM tried", bucket),
        lambda: execute(thief, "DROP SERIES FROM tried", bucket),
        lambda: execute(thief, "DROP MEASUREMENT tried", bucket),
        lambda: send(thief, "POST", "/api/v2/delete", everything, org=ORGANIZATION, bucket=bucket),
    ]
    for way in ways:
        try:
            way()
        except (AssertionError, StoreError):
            continue
    assert site.server.count(bucket, "tried", "value") == 0


def drop(site: Site, thief: InfluxConnection, bucket: str) -> None:
    """Delete the bucket."""
    if site.generation == 1:
        execute(thief, f'DROP DATABASE "{bucket}"')
        return
    # a token may not see the id of a bucket that it may only write to; an id is no secret
    found = site.server.call("GET", f"/api/v2/buckets?name={bucket}")  # type: ignore[attr-defined]
    send(thief, "DELETE", f"/api/v2/buckets/{found['buckets'][0]['id']}")


def try_all(site: Site, role: str, place: str) -> str:
    """What succeeds at the site's URL, as a cell of the table."""
    done = []
    bucket = site.bucket(place)
    for name, attempt in {"read": read, "write": write, "delete": delete, "drop": drop}.items():
        with suppress(AssertionError, IndexError):  # the first time there is none
            site.server.drop(bucket)
        site.setup(url=site.server.url)
        site.server.write(bucket, [POINT])
        keys = site.keys(role) | ({"org": ORGANIZATION} if site.generation == 2 else {})
        with connect(site.url, **keys) as thief:
            try:
                attempt(site, thief, bucket)
            except (AssertionError, StoreError):
                continue
        done.append(name)
    return ", ".join(done) or "nothing"


def read_table() -> dict[tuple[str, str], tuple[str, str]]:
    """(role, bucket) → what the docs say of 1.x and 2.x."""
    _, _, rest = DOCS.read_text().partition("| role | bucket | 1.x | 2.x |\n")
    table = {}
    for line in rest.splitlines()[1:]:
        if not line.startswith("|"):
            break
        role, bucket, *told = (cell.strip(" `") for cell in line.strip("|").split("|"))
        table[role, bucket] = (told[0], told[1])
    return table


def test_the_docs_have_each_cell() -> None:
    """The table has each role and each bucket, and nothing else."""
    assert set(read_table()) == {(role, place) for role in ROLES for place in PLACES}


class DocumentedProxy(Nginx):
    """The nginx of the docs."""

    def __init__(self, folder: Path, upstream: str) -> None:
        super().__init__(folder, upstream)
        (part,) = re.findall(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
        path = folder / "nginx.conf"
        before, _, _ = path.read_text().partition("        location")
        path.write_text(before + part.replace("http://127.0.0.1:8086", upstream) + "}}")


def test_no_event_is_deleted_through_the_proxy(site_2: Site, tmp_path: Path) -> None:
    """Through the proxy of the docs an exporter can do its work, and delete no event."""
    with running(DocumentedProxy(tmp_path / "nginx", site_2.server.url)) as proxy:
        site_2.url = proxy.url
        tried = {place: try_all(site_2, "exporter", place) for place in PLACES}
        assert tried == {"events": "write", "reports": "nothing", "heptad": "read, write, delete"}
        told = site_2.check("exporter", "exporter")
        assert (told["fault"], told["note"]) == ([], [])


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_docs_say(site: Site, role: str) -> None:
    """Reading, writing, deleting and dropping succeed just where the table says so."""
    table = read_table()
    tried = {place: try_all(site, role, place) for place in PLACES}
    assert tried == {place: table[role, place][site.generation - 1] for place in PLACES}

"""`heptad influxdb check` says ok only of what it tried, with each real generation of InfluxDB."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.cli.influxdb_admin.check import CheckResult, check
from heptad.cli.influxdb_admin.roles import PLACES, ROLES
from tests.support import needs
from tests.support.influxd_2 import Influxd2
from tests.support.influxdb import connect, running
from tests.support.serving import serving
from tests.support.site import Site, map_elsewhere


class Page(BaseHTTPRequestHandler):
    """A proxy's page for every request, without a Date."""

    def do_GET(self) -> None:
        """Send the page."""
        body = b"<html>Please log in</html>"
        self.send_response_only(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy() -> Iterator[HTTPServer]:
    """A proxy before no InfluxDB."""
    server = HTTPServer(("127.0.0.1", 0), Page)
    with serving(server):
        yield server


def results(port: int, version: str) -> list[CheckResult]:
    """What a check says of the server at this port."""
    url = f"http://127.0.0.1:{port}"
    with connect(url, version=version, org="o", token="t", timeout=2.0) as connection:
        return list(check(connection, BUCKETS))


@pytest.mark.parametrize("version", ["1", "2", "3", "auto"])
def test_no_server(proxy: HTTPServer, version: str) -> None:
    """Where nothing answers there is one fault, and nothing is ok."""
    proxy.socket.close()
    states = [result.state for result in results(proxy.server_port, version)]
    assert states == ["fault"]


@pytest.mark.parametrize("version", ["1", "2", "3", "auto"])
def test_page_of_a_proxy(proxy: HTTPServer, version: str) -> None:
    """A page with status 200 is no InfluxDB, and without a Date no clock was compared."""
    found = results(proxy.server_port, version)
    assert "ok" not in [result.state for result in found]
    assert found[-1].state == "fault"


def fill(site: Site, *places: str) -> None:
    """What a fleet has in its buckets, of this moment."""
    now = time.time_ns()
    lines = {
        "events": f'events,host=a\\ b,action=login count=1i,user="x" {now}',
        "reports": f'findings,rule=session count=1i,id="f" {now}',
        "heptad": f"heartbeat,host=web,machine_id=m sequence=7i {now}",
    }
    for place in places or PLACES:
        site.server.write(site.bucket(place), [lines[place]])


@pytest.mark.parametrize("filled", [True, False])
def test_each_role_may_do_its_work_and_no_more(site: Site, *, filled: bool) -> None:
    """Every right is tried, so is what the role must not do, and everything is as it was."""
    site.setup()
    if filled:
        fill(site)
    before = site.dump()
    for role, others in {
        "exporter": "read {0}; read and write {1}",
        "aggregator": "write {0}",
        "grafana": "write {0}; write {1}; write {2}",
    }.items():
        told = site.check(role, role)
        assert (told["fault"], told["note"]) == ([], [])
        assert told["ok"][3] == (
            f"{role}: may not {others.format(*site.buckets.names())}, as intended"
        )
    assert site.check()["fault"] == []
    assert site.dump() == before


def test_what_a_role_lacks_is_told(site: Site) -> None:
    """Whose work the rights suffice for, and with a role each right that is missing."""
    site.setup()
    told = site.check("exporter")
    assert told["fault"] == []
    events, reports, _ = site.buckets.names()
    assert f"aggregator: may not read {events}, read {reports}, write {reports}" in told["note"]
    told = site.check("exporter", "aggregator")
    assert [text.split(" (")[0] for text in told["fault"]] == [
        f"{events}: cannot be read",
        f"{reports}: cannot be read",
        f"{reports}: cannot be written",
    ]
    assert told["ok"] == site.check("exporter")["ok"][:2]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_who_may_only_write_may_not_read(site: Site, role: str) -> None:
    """A right to read is not told of somebody who has none."""
    site.setup()
    told = site.check(of=role, **site.grant(events="write", reports="write", heptad="write"))
    lacking = [place for place in PLACES if "read" in ROLES[role].get(place, ())]
    assert [text.split(" (")[0] for text in told["fault"]] == [
        f"{site.bucket(place)}: cannot be read" for place in lacking
    ]


@pytest.mark.parametrize("role", sorted(ROLES))
def test_who_may_do_too_much_is_told(site: Site, role: str) -> None:
    """An administrator's token on a host is a fault, and names what it must not do."""
    site.setup()
    (fault,) = site.check(of=role)["fault"]
    assert fault.startswith(f"{role}: may also ")
    assert "anyone who steals the credentials" in fault
    (fault,) = site.check(of="exporter", **site.grant(events="both", heptad="both"))["fault"]
    assert f"exporter: may also read {site.buckets.events}, " in fault


def test_a_missing_bucket_is_told(site: Site) -> None:
    """A bucket that is not there is told once, with what makes it; and no other is."""
    site.setup()
    site.server.drop(site.buckets.reports)
    for told in (site.check()["fault"], site.check("aggregator", "aggregator")["fault"]):
        assert [text.split(" (")[0] for text in told] == [f"{site.buckets.reports}: does not exist"]
        assert "`heptad influxdb setup`" in told[0]


def test_another_retention_is_told(site: Site) -> None:
    """A bucket that keeps points for another time than configured is told."""
    site.server.create(*site.buckets.names())
    faults = site.check()["fault"]
    name = site.buckets.events
    assert faults[0].startswith(
        f"{name}: the retention is infinite, but `influxdb.retention.events` is 90d; `heptad influxdb setup`"
    )
    assert len(faults) == 3


def test_another_type_is_told(site: Site) -> None:
    """A field that has another type than Heptad writes is a fault, with what its remedies cost."""
    site.setup()
    site.server.write(site.buckets.events, ["events,host=web pid=3.5"])
    (fault,) = site.check("aggregator", "aggregator")["fault"]
    assert "the field `pid` of `events` has the type 'float'" in fault
    assert "and its history" in fault


@pytest.mark.parametrize("wrong", [True, False])
def test_who_is_not_known_is_told_once(site: Site, *, wrong: bool) -> None:
    """A wrong secret, or none, is one fault, whatever else could not be tried."""
    site.setup()
    name = "password" if site.generation == 1 else "token"
    keys = {name: "a-wrong-secret"} if wrong else {"username": "", "password": "", "token": ""}
    (fault,) = site.check(**keys)["fault"]
    assert "rejects the credentials of this host" in fault
    assert "a-wrong-secret" not in fault


def test_an_unknown_organization_is_told(site_2: Site) -> None:
    """A misspelt `influxdb.org` is told to each role, though InfluxQL does not look at it."""
    site_2.setup()
    for role in ROLES:
        (fault,) = site_2.check(role, role, org="zzz")["fault"]
        assert "the organization `zzz` does not exist; check `influxdb.org`" in fault


def test_the_tokens_organization_is_compared(site_2: Site, influxd_2: Influxd2) -> None:
    """An operator's token of another organization writes to one, and reads the other: a fault."""
    other = influxd_2.call("POST", "/api/v2/orgs", {"name": f"of {site_2.buckets.events}"})
    try:
        site_2.setup(org=other["name"])
        site_2.setup()
        fault = site_2.check(org=other["name"])["fault"][0]
        assert (
            f"`influxdb.org` is `{other['name']}`, but the token belongs to the organization"
            in fault
        )
        assert "`heptad`" in fault
        assert site_2.check()["fault"] == []
    finally:
        influxd_2.call("DELETE", f"/api/v2/orgs/{other['id']}")


@pytest.mark.parametrize("role", ["", "exporter"])
def test_a_database_that_is_mapped_elsewhere_is_told(
    site_2: Site, influxd_2: Influxd2, role: str
) -> None:
    """Where InfluxQL reads another bucket than is written to, check says so."""
    site_2.setup()
    map_elsewhere(site_2, influxd_2, "heptad")
    (fault,) = site_2.check(role, role or None)["fault"]
    assert "is mapped to" in fault


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    needs.mount_namespace()
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told(small_disk: Path, tmp_path: Path) -> None:
    """A server whose disk is full takes an empty write; check and delivery name the remedy."""
    with running(Influxd2(small_disk)) as server:
        site = Site(server, tmp_path / "secrets")
        site.setup()
        fill(site)
        for role in ("exporter", "aggregator"):
            assert site.check(role, role)["fault"] == []
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1024))
        for place in PLACES:
            with suppress(AssertionError):  # what the server says
                while True:
                    fill(site, place)
        for role in ("exporter", "aggregator"):
            faults = site.check(role, role)["fault"]
            assert faults
            assert [f for f in faults if "InfluxDB's disk" not in f] == []

"""heptad influxdb setup with 2.x: organizations, databases and tokens, which 1.x has not.

On a real 2.7.12; what only other versions do, on a server that answers as they do.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.cli.influxdb_admin.check import check
from heptad.cli.influxdb_admin.roles import PLACES, ROLES, SetupError
from heptad.cli.influxdb_admin.setup import prepare
from heptad.core.config.influxdb import BucketsConfig, InfluxTlsConfig
from heptad.core.store.api import StoreError
from tests.exporter.test_delivery_tls import listens
from tests.support import needs
from tests.support.influxd_2 import ORGANIZATION, TOKEN, Influxd2
from tests.support.influxdb import Daemon, Influxd, Nginx, connect, running
from tests.support.influxdb_2 import ADMIN, InfluxDB2
from tests.support.scripted_server import ScriptedServer
from tests.support.site import Site, map_elsewhere

SHOWS_TOKENS = [int(n) for n in needs.INFLUXDB_2.split(".")[:2]] < [2, 8]
"""From 2.8 on the server keeps only a hash of each token."""


def make_all_access_token(server: Influxd2, organization: str) -> str:
    """What `influx auth create --all-access` makes."""
    kinds = ("authorizations", "buckets", "dashboards", "dbrp", "sources", "tasks", "telegrafs")
    resources = [{"type": kind, "orgID": organization} for kind in kinds]
    resources += [
        {"type": "orgs", "id": organization},
        {"type": "users", "id": server.call("GET", "/api/v2/me")["id"]},
    ]
    rights = [
        {"action": action, "resource": resource}
        for resource in resources
        for action in ("read", "write")
    ]
    body = {"orgID": organization, "description": "all", "permissions": rights}
    return str(server.call("POST", "/api/v2/authorizations", body)["token"])


def identify(server: Influxd2, organization: str = ORGANIZATION) -> str:
    """The id of an organization."""
    return str(server.call("GET", f"/api/v2/orgs?org={organization}")["orgs"][0]["id"])


def test_an_all_access_token_suffices(site_2: Site, influxd_2: Influxd2) -> None:
    """What the `influx` command line calls an all-access token prepares its organization."""
    token = make_all_access_token(influxd_2, identify(influxd_2))
    told = site_2.setup(token=token)
    assert [": created, " in line for line in told] == [True] * 6


def test_an_organization_goes_by_its_id_too(site_2: Site, influxd_2: Influxd2) -> None:
    """Where `influxdb.org` is an id, setup and check take it, as a write does."""
    organization = identify(influxd_2)
    site_2.setup(org=organization)
    for role in ROLES:
        told = site_2.check(role, role, org=organization)
        assert (told["fault"], told["note"]) == ([], [])
    assert len(site_2.check(org=organization)["ok"]) == 5


@pytest.mark.parametrize("name", ["zzz", "40e14f90ff5e2d26"])
def test_an_unknown_organization_is_told(site_2: Site, name: str) -> None:
    """A name or id that nobody has is told, with what the token sees."""
    with pytest.raises(
        StoreError, match=f"organization `{name}` does not exist.*`influxdb.org`.*`heptad`"
    ):
        site_2.setup(org=name)


def test_a_missing_organization_is_told(site_2: Site) -> None:
    """Without `influxdb.org` setup tells which there are."""
    with pytest.raises(
        StoreError,
        match=r"influxdb\.org is not set; organizations that the token may read: 'heptad'",
    ):
        site_2.setup(org="")


def places_of(site: Site, server: Influxd2) -> dict[str, str]:
    """The id of each bucket, and what it is for."""
    ids = {}
    for place in PLACES:
        found = server.call("GET", f"/api/v2/buckets?name={site.bucket(place)}")["buckets"]
        ids[found[0]["id"]] = place
    return ids


def token_of(site: Site, server: Influxd2, role: str) -> dict[str, Any]:
    """What the server has of a role's token; newer versions do not show its text."""
    ids = places_of(site, server)
    (found,) = (
        token
        for token in server.call("GET", "/api/v2/authorizations")["authorizations"]
        if token["description"].startswith(f"Heptad {role}:")
        and any(one["resource"].get("id") in ids for one in token["permissions"])
    )
    return dict(found)


def test_tokens_have_least_rights(site_2: Site, influxd_2: Influxd2) -> None:
    """Each role's token may do what the role does and no more."""
    site_2.setup()
    ids = places_of(site_2, influxd_2)
    for role, rights in ROLES.items():
        permissions = token_of(site_2, influxd_2, role)["permissions"]
        may = {(p["action"], ids[p["resource"]["id"]]) for p in permissions}
        assert may == {(right, place) for place in rights for right in rights[place]}


def test_a_lost_text_is_written_again(site_2: Site) -> None:
    """A server that shows a token's text gives it to a second folder; one that does not is named."""
    site_2.setup()
    before = site_2.secret("grafana").read_text()
    site_2.secret("grafana").unlink()
    told = site_2.setup()[-1]
    assert before.strip() not in told
    if SHOWS_TOKENS:
        assert "now stored in" in told
        assert site_2.secret("grafana").read_text() == before
    else:
        assert "the server does not show it again; if it is lost, --renew creates a new" in told
        assert not site_2.secret("grafana").exists()


def test_a_token_that_is_not_active_is_made_anew(site_2: Site, influxd_2: Influxd2) -> None:
    """One run replaces it, and the one before is gone."""
    site_2.setup()
    mine = token_of(site_2, influxd_2, "exporter")
    influxd_2.call("PATCH", f"/api/v2/authorizations/{mine['id']}", {"status": "inactive"})
    assert "replaced (the old one was not active)" in site_2.setup()[3]
    assert site_2.check("exporter", "exporter")["fault"] == []
    tokens = influxd_2.call("GET", "/api/v2/authorizations")["authorizations"]
    assert mine["id"] not in {t["id"] for t in tokens}


def test_a_system_bucket_is_left_alone(site_2: Site, influxd_2: Influxd2) -> None:
    """A bucket of InfluxDB's own is refused, and keeps its retention."""
    before = influxd_2.call("GET", "/api/v2/buckets?name=_monitoring")["buckets"][0]
    with pytest.raises(
        SetupError, match=r"a system bucket of InfluxDB.*`influxdb\.buckets.reports`"
    ):
        site_2.setup(buckets=BucketsConfig(site_2.buckets.events, "_monitoring"))
    assert influxd_2.call("GET", "/api/v2/buckets?name=_monitoring")["buckets"][0] == before


def test_a_database_that_is_mapped_elsewhere_is_told(site_2: Site, influxd_2: Influxd2) -> None:
    """Setup and check tell that InfluxQL would read another bucket."""
    site_2.setup()
    map_elsewhere(site_2, influxd_2, "events")
    with pytest.raises(SetupError, match="mapped to another bucket"):
        site_2.setup()


class TlsInfluxd2(Influxd2):
    """influxd 2 with TLS of its own, and not set up."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / "server.key")
        certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        files = ("--tls-cert", f"{folder}/server.pem", "--tls-key", f"{folder}/server.key")
        super().__init__(folder / "data", *files)
        self.url = f"https://localhost:{self.port}"

    def start(self, path: str = "") -> None:
        """Wait until it takes connections."""
        Daemon.start(self, path)

    def _answers(self, path: str) -> bool:
        del path
        return listens(self)


def test_tls_is_as_configured(tmp_path: Path) -> None:
    """Setup and check know a server by its authority, or not at all, as the configuration says."""
    with running(TlsInfluxd2(tmp_path)) as server:
        site = Site(server, tmp_path / "secrets")
        (fault,) = site.check()["fault"]
        assert "TLS error: " in fault
        with pytest.raises(StoreError, match=r"TLS error: .*`influxdb\.tls\.ca_file`"):
            site.setup()
        first = {"username": "admin", "password": "of-the-tests", "bucket": "first"}
        body = json.dumps(first | {"org": ORGANIZATION, "token": TOKEN}).encode()
        known = InfluxTlsConfig(ca_file=f"{tmp_path}/ca.pem")
        with connect(server.url, tls=known) as connection:
            connection.request("POST", "/api/v2/setup", body=body)
        for tls in (known, InfluxTlsConfig(insecure_skip_verify=True)):
            assert len(site.setup(tls=tls)) == 6
            assert site.check(tls=tls)["fault"] == []


# --- Versions that are not there ------------------------------------------------------------------


def setup(influxdb: InfluxDB2, secrets_to: Path | None = None, **keys: Any) -> list[str]:
    """What is told; the answers bear no secret."""
    renew = keys.pop("renew", False)
    with connect(influxdb.server.url, org="example", token=ADMIN, **keys) as connection:
        told = list(prepare(connection, secrets_to, renew=renew))
    assert not any(secret in line for line in told for secret in ("the-secret-of", ADMIN))
    return told


def test_a_database_is_mapped_where_the_server_does_not() -> None:
    """A version without virtual mappings gets one, once; one that leads elsewhere is a fault."""
    influxdb = InfluxDB2(virtual=False)
    with influxdb.server.serving():
        assert any("mapped to the database of its name" in line for line in setup(influxdb))
        assert not any("mapped" in line for line in setup(influxdb))
        assert len(influxdb.mappings) == 3
        influxdb.mappings[1]["bucketID"] = "e" * 16
        with pytest.raises(SetupError, match="dbrp delete"):
            setup(influxdb)


def test_a_text_that_is_not_shown_again(tmp_path: Path) -> None:
    """Where the server keeps a hash alone nothing is made that was not asked for."""
    influxdb = InfluxDB2(hashes=True)
    with influxdb.server.serving():
        setup(influxdb, tmp_path)
        (tmp_path / "grafana.token").unlink()
        told = setup(influxdb, tmp_path)
        assert len(influxdb.tokens) == 3
        assert told[3] == "token exporter: unchanged"
        assert "--renew creates a new token" in told[-1]
        setup(influxdb, tmp_path, renew=True)
        assert [t["secret"] for t in influxdb.tokens] == [
            (tmp_path / f"{role}.token").read_text().strip() for role in ROLES
        ]


def test_no_token_goes_where_a_server_sends_it() -> None:
    """A redirect is not followed: it could lead the token astray."""
    other = ScriptedServer(lambda _: (200, {"orgs": []}))
    headers = {"Location": f"{other.url}/api/v2/orgs", "X-Influxdb-Version": "v2.7.0"}
    astray = ScriptedServer(lambda asked: (204 if asked.path == "/ping" else 307, None), headers)
    with other.serving(), astray.serving(), connect(astray.url, org="o", token=ADMIN) as connection:
        with pytest.raises(StoreError, match="307"):
            list(prepare(connection))
        assert other.asked == []


def test_check_of_a_real_engine_by_the_paths_of_2(tmp_path: Path) -> None:
    """What /api/v2/write leads into is found writable, and nothing is written to it."""
    with running(Influxd(tmp_path / "influxd")) as influxd:
        influxd.create("events", "reports", "heptad")
        influxd.write("events", ["events,host=web pid=true"])
        with (
            running(Nginx(tmp_path / "nginx", influxd.url)) as nginx,
            connect(nginx.url, version="2", org="o") as connection,
        ):
            results = list(check(connection, BUCKETS))
        assert [r.text for r in results if r.state == "ok"][2] == (
            "exporter: may write events; read and write heptad"
        )
        assert ["the field `pid`" in r.text for r in results if r.state == "fault"] == [True]
        assert influxd.query("SHOW SERIES", "heptad") == []

"""heptad influxdb setup|check with a 2.x: a server that answers as its OpenAPI file says."""

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heptad.commands.schema_page import BUCKETS
from heptad.influxdb.checkup import check
from heptad.influxdb.roles import ROLES, SetupError
from heptad.influxdb.setup import prepare
from heptad.influxdb_config import RetentionConfig
from heptad.store import StoreError
from tests.influxdb import Influxd, Nginx, connect, running
from tests.influxdb_2 import ADMIN, InfluxDB2
from tests.scripted_server import ScriptedServer


@pytest.fixture
def influxdb() -> Iterator[InfluxDB2]:
    """The server, with nothing in it."""
    influxdb = InfluxDB2()
    with influxdb.server.serving():
        yield influxdb


def setup(influxdb: InfluxDB2, secrets_to: Path | None = None, **keys: Any) -> list[str]:
    """What is told; the answers bear no secret."""
    with connect(influxdb.server.url, **{"org": "example", "token": ADMIN, **keys}) as connection:
        told = list(prepare(connection, secrets_to))
    assert not any(secret in line for line in told for secret in ("the-secret-of", ADMIN))
    return told


def checked(influxdb: InfluxDB2, role: str | None = None, **keys: str) -> dict[str, list[str]]:
    """The results' texts by state."""
    with connect(influxdb.server.url, **{"org": "example", **keys}) as connection:
        results = list(check(connection, BUCKETS, role))
    return {s: [r.text for r in results if r.state == s] for s in ("ok", "note", "fault")}


def test_buckets_are_made_once(influxdb: InfluxDB2) -> None:
    """The first run makes the buckets with their retention, the second changes nothing."""
    first = setup(influxdb)
    assert [line.split(";")[0] for line in first[:3]] == [
        "bucket events: created, retention 90d",
        "bucket reports: created, retention 365d",
        "bucket heptad: created, retention 30d",
    ]
    rules = [bucket["retentionRules"][0] for bucket in influxdb.buckets]
    assert [rule["everySeconds"] for rule in rules] == [n * 86_400 for n in (90, 365, 30)]
    done = len(influxdb.server.changes())
    assert "bucket events: there already, retention 90d" in setup(influxdb)
    assert len(influxdb.server.changes()) == done


def test_changed_retention_is_told_and_set(influxdb: InfluxDB2) -> None:
    """Another retention in the configuration changes the bucket's, and both are told."""
    setup(influxdb)
    told = setup(influxdb, retention=RetentionConfig(events="36h"))
    assert "bucket events: retention changed from 90d to 36h" in told
    assert influxdb.buckets[0]["retentionRules"][0]["everySeconds"] == 36 * 3600


def test_tokens_have_least_rights(influxdb: InfluxDB2, tmp_path: Path) -> None:
    """Each role's token may do what the role does and no more; its file is its owner's alone."""
    setup(influxdb, tmp_path / "secrets")
    names = {bucket["id"]: bucket["name"] for bucket in influxdb.buckets}
    for token, (role, rights) in zip(influxdb.tokens, ROLES.items(), strict=True):
        may = {(p["action"], names[p["resource"]["id"]]) for p in token["permissions"]}
        assert may == {(right, place) for place in rights for right in rights[place]}
        path = tmp_path / "secrets" / f"{role}.token"
        assert path.read_text() == token["secret"] + "\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert checked(influxdb, role, token_file=str(path))["fault"] == []


def test_no_token_is_made_twice(influxdb: InfluxDB2, tmp_path: Path) -> None:
    """A second run finds the tokens; where a file is lost, it tells what helps."""
    setup(influxdb, tmp_path)
    (tmp_path / "grafana.token").unlink()
    told = setup(influxdb, tmp_path)
    assert len(influxdb.tokens) == 3
    assert "token exporter: there already" in told
    assert "influx auth delete --id" in told[-1]


def test_a_token_that_cannot_be_kept_is_not_made(influxdb: InfluxDB2, tmp_path: Path) -> None:
    """A file that is in the way is not written over, and nothing is made for it."""
    (tmp_path / "exporter.token").write_text("another server's")
    with pytest.raises(SetupError, match="move it away"):
        setup(influxdb, tmp_path)
    assert influxdb.tokens == []
    assert (tmp_path / "exporter.token").read_text() == "another server's"


@pytest.mark.parametrize("fault", ["inactive", "anew"])
def test_a_token_that_is_no_good_is_told(influxdb: InfluxDB2, tmp_path: Path, fault: str) -> None:
    """A token that is not active, or whose bucket was made anew, is named with the remedy."""
    setup(influxdb, tmp_path)
    if fault == "inactive":
        influxdb.tokens[0]["status"] = "inactive"
    else:
        influxdb.buckets.clear()
        influxdb.mappings.clear()
        influxdb.buckets.append({"id": "f" * 16, "name": "other"})
    with pytest.raises(SetupError, match=r"token exporter: there, but.*influx auth delete --id"):
        setup(influxdb, tmp_path)


def test_a_database_is_mapped_where_the_server_does_not(tmp_path: Path) -> None:
    """A version without virtual mappings gets one, once; one that leads elsewhere is a fault."""
    influxdb = InfluxDB2(virtual=False)
    with influxdb.server.serving():
        assert any("mapped to the database of its name" in line for line in setup(influxdb))
        assert not any("mapped" in line for line in setup(influxdb))
        assert len(influxdb.mappings) == 3
        influxdb.mappings[1]["bucketID"] = "e" * 16
        with pytest.raises(SetupError, match="dbrp delete"):
            setup(influxdb)


@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        ({"org": ""}, "influxdb.org is missing; the token sees 'example'"),
        ({"org": "other"}, "no organization `other`"),
        ({"token": "a-wrong-token"}, "see `influxdb.token`"),
        ({"token": "", "token_file": "/nowhere/token"}, "/nowhere/token"),
    ],
)
def test_setup_names_the_remedy(influxdb: InfluxDB2, keys: dict[str, Any], remedy: str) -> None:
    """What is wrong in the configuration is an error with its remedy, without the token."""
    with pytest.raises(StoreError) as caught:
        setup(influxdb, **keys)
    assert remedy in str(caught.value)
    assert "a-wrong-token" not in str(caught.value)


def test_check_tells_what_a_token_may(influxdb: InfluxDB2, tmp_path: Path) -> None:
    """Without a role it says whose work the rights suffice for; with one, what is lacking."""
    setup(influxdb, tmp_path)
    path = str(tmp_path / "exporter.token")
    told = checked(influxdb, token_file=path)
    assert told["fault"] == []
    assert "exporter: may write events; read and write heptad" in told["ok"]
    told = checked(influxdb, "aggregator", token_file=path)
    assert [text.split(" (")[0] for text in told["fault"]] == [
        "events: cannot be read",
        "reports: cannot be read",
        "reports: cannot be written",
    ]


def test_check_writes_nothing(influxdb: InfluxDB2) -> None:
    """Rights are tried with empty writes only."""
    setup(influxdb)
    done = len(influxdb.server.changes())
    assert checked(influxdb, token=ADMIN)["fault"] == []
    writes = influxdb.server.changes()[done:]
    assert {(write.path, write.body) for write in writes} == {("/api/v2/write", None)}


def test_check_tells_a_wrong_token_once(influxdb: InfluxDB2) -> None:
    """A token that the server does not know is one fault, whatever else could not be tried."""
    assert len(checked(influxdb, token="wrong")["fault"]) == 1
    assert "deleted: see `influxdb.token`" in checked(influxdb, token="wrong")["fault"][0]
    assert "it wants a token" in checked(influxdb)["fault"][0]


def test_check_tells_what_is_missing(influxdb: InfluxDB2) -> None:
    """A bucket or organization that is not there is told once, with what makes or names it."""
    told = checked(influxdb, token=ADMIN)["fault"]
    assert [text.split(" (")[0] for text in told] == [
        "events: is not there",
        "reports: is not there",
        "heptad: is not there",
    ]
    assert "`heptad influxdb setup`" in told[0]
    assert checked(influxdb, token=ADMIN, org="")["fault"] == [
        "influxdb.org is missing; 2.x writes to an organization's bucket"
    ]


def test_no_token_goes_where_a_server_sends_it(influxdb: InfluxDB2) -> None:
    """A redirect is not followed: it could lead the token astray."""
    other = ScriptedServer(lambda _: (200, {"orgs": []}))
    headers = {"Location": f"{other.url}/api/v2/orgs", "X-Influxdb-Version": "v2.7.0"}
    astray = ScriptedServer(lambda asked: (204 if asked.path == "/ping" else 307, None), headers)
    with other.serving(), astray.serving(), connect(astray.url, org="o", token=ADMIN) as connection:
        with pytest.raises(StoreError, match="307"):
            list(prepare(connection))
        assert other.asked == []


def test_influxdb_client_is_loaded_by_setup_alone() -> None:
    """It takes 20 MB, which an exporter does not have to spare."""
    code = "import heptad.__main__, sys; sys.exit('influxdb_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_check_of_a_real_engine_by_the_paths_of_2(tmp_path: Path) -> None:
    """What /api/v2/write leads into is found writable, and nothing is written to it."""
    with running(Influxd(tmp_path / "influxd")) as influxd:
        influxd.create("events", "reports", "heptad")
        influxd.write("events", ["events,host=web pid=true"])
        with (
            running(Nginx(tmp_path / "nginx", influxd.url)) as nginx,
            connect(nginx.url, version="2", org="o") as connection,
        ):
            results = list(check(connection, BUCKETS, "exporter"))
        assert [r.text for r in results if r.state == "ok"][2:] == [
            "exporter: may write events; read and write heptad"
        ]
        assert ["the field `pid`" in r.text for r in results if r.state == "fault"] == [True]
        assert influxd.query("SHOW SERIES", "heptad") == []


def test_check_tells_another_retention(influxdb: InfluxDB2) -> None:
    """A bucket that keeps points for another time than configured is told."""
    setup(influxdb)
    influxdb.buckets[0]["retentionRules"] = []
    (fault,) = checked(influxdb, token=ADMIN)["fault"]
    assert fault.startswith("events: kept for ever, and `influxdb.retention.events` is 90d")

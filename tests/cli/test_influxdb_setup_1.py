"""heptad influxdb setup|check with a real 1.x, with and without authentication."""

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.cli.influxdb_admin.check import check
from heptad.cli.influxdb_admin.roles import ROLES
from heptad.cli.influxdb_admin.setup import prepare
from heptad.core.influxdb.influxql import quote_text
from heptad.core.influxdb.statement import StatementError, execute
from heptad.core.store.api import StoreError
from heptad.core.telemetry.masking import remember_secret
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.influxdb import Influxd, connect, running
from tests.support.ports import reserve_port
from tests.support.scripted_server import ScriptedServer

Run = Callable[..., tuple[int, str]]
PASSWORD = "it's the \\admin\\'s"
ADMIN = {"username": "admin", "password": PASSWORD}


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Influxd]:
    """influxd as Debian configures it: whoever comes may do everything."""
    with running(Influxd(tmp_path / "influxd")) as influxd:
        yield influxd


@pytest.fixture
def closed_server(tmp_path: Path) -> Iterator[Influxd]:
    """influxd with authentication and an administrator."""
    with running(Influxd(tmp_path / "influxd", http="auth-enabled = true")) as influxd:
        text = f"CREATE USER admin WITH PASSWORD {quote_text(PASSWORD)} WITH ALL PRIVILEGES"
        with connect(influxd.url) as connection:
            execute(connection, text)
        yield influxd


@pytest.fixture
def heptad(tmp_path: Path) -> Run:
    """heptad influxdb, a process of its own; gives its status and all that it printed."""

    def run(url: str, *arguments: str | Path, **keys: Any) -> tuple[int, str]:
        config = tmp_path / "heptad.yaml"
        store = {"path": str(tmp_path / "events.db")}
        config.write_text(yaml.safe_dump({"store": store, "influxdb": {"url": url, **keys}}))
        command = [sys.executable, "-m", "heptad", "influxdb", *map(str, arguments)]
        done = subprocess.run(
            [*command, "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            env=os.environ | {"TZ": "UTC"},
            check=False,
        )
        assert "Traceback" not in done.stdout
        assert PASSWORD not in done.stdout
        return done.returncode, done.stdout

    return run


def test_databases_are_made_once(open_server: Influxd, heptad: Run) -> None:
    """Made with their retention, found again, and changed where the configuration was."""
    status, told = heptad(open_server.url, "setup")
    assert status == 0
    assert "database events: created, retention 90d\n" in told
    assert "database events: unchanged, retention 90d\n" in heptad(open_server.url, "setup")[1]
    for keep in ("12h", "400d"):  # shorter than a shard of before, and longer
        told = heptad(open_server.url, "setup", retention={"events": keep})[1]
        assert f"to {keep}\n" in told
        assert "retention changed from" in told
        rows = open_server.rows("SHOW RETENTION POLICIES", "events")
        hours = 12 if keep == "12h" else 9600
        assert [(r["duration"], r["default"]) for r in rows] == [(f"{hours}h0m0s", True)]
    status, told = heptad(open_server.url, "check", retention={"events": "400d"})
    assert (status, told.count("ok ")) == (0, 5)


def test_a_foreign_policy_is_kept(open_server: Influxd, heptad: Run) -> None:
    """A database whose default policy has another name gets its retention there."""
    open_server.query('CREATE DATABASE "events" WITH DURATION INF NAME "main \\"one\\""')
    told = heptad(open_server.url, "setup")[1]
    assert "database events: retention changed from infinite to 90d\n" in told
    rows = open_server.rows("SHOW RETENTION POLICIES", "events")
    assert [(r["name"], r["duration"]) for r in rows] == [('main "one"', "2160h0m0s")]


def test_users_have_least_rights(closed_server: Influxd, heptad: Run, tmp_path: Path) -> None:
    """Each role's user may do what the role does and no more; a second run makes none twice."""
    secrets = tmp_path / "secrets"
    status, told = heptad(closed_server.url, "setup", "--secrets-to", secrets, **ADMIN)
    assert (status, told.count("created")) == (0, 6)
    again = heptad(closed_server.url, "setup", "--secrets-to", secrets, **ADMIN)[1]
    assert again.count("unchanged") == 6
    for role, rights in ROLES.items():
        path = secrets / f"{role}.password"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() not in told + again
        user = {"username": f"heptad_{role}", "password_file": str(path)}
        status, result = heptad(closed_server.url, "check", "--role", role, **user)
        assert (status, "fault" in result) == (0, False), result
        with connect(closed_server.url, **ADMIN) as connection:
            rows = execute(connection, f"SHOW GRANTS FOR heptad_{role}")
        short = {("read", "write"): "ALL PRIVILEGES", ("read",): "READ", ("write",): "WRITE"}
        assert {r["database"]: r["privilege"] for r in rows} == {
            place: short[needed] for place, needed in rights.items()
        }


def test_check_tells_what_a_user_may_not(
    closed_server: Influxd, heptad: Run, tmp_path: Path
) -> None:
    """The exporter's user is told whose work it cannot do, and each right that it lacks."""
    heptad(closed_server.url, "setup", "--secrets-to", tmp_path, **ADMIN)
    user = {"username": "heptad_exporter", "password_file": str(tmp_path / "exporter.password")}
    status, told = heptad(closed_server.url, "check", **user)
    assert status == 0
    assert "note   aggregator: may not read events, read reports, write reports" in told
    status, told = heptad(closed_server.url, "check", "--role", "aggregator", **user)
    assert status == 1
    assert told.count("fault") == 3
    status, told = heptad(closed_server.url, "setup", **user)
    assert status == 1
    assert "administrator" in told


@pytest.mark.parametrize("keys", [{}, {"username": "admin", "password": "wrong-one"}])
def test_a_wrong_user_is_told_once(closed_server: Influxd, heptad: Run, keys: Any) -> None:
    """Whom the server does not know gets one fault, with the keys to look at."""
    status, told = heptad(closed_server.url, "check", **keys)
    assert (status, told.count("fault")) == (1, 1)
    assert "`influxdb.username` and `influxdb.password`" in told
    assert "wrong-one" not in told
    assert heptad(closed_server.url, "setup", **keys)[0] == 1


def test_no_administrator_yet(tmp_path: Path, heptad: Run) -> None:
    """With authentication and no user, 1.x takes nothing but the first administrator."""
    with running(Influxd(tmp_path / "influxd", http="auth-enabled = true")) as influxd:
        for verb in ("setup", "check"):
            status, told = heptad(influxd.url, verb)
            assert status == 1
            assert "WITH ALL PRIVILEGES" in told


def test_check_leaves_nothing(open_server: Influxd, heptad: Run) -> None:
    """It makes no database, no measurement and no series."""
    assert heptad(open_server.url, "check")[0] == 1
    assert open_server.query("SHOW DATABASES")[0].get("values") is None
    heptad(open_server.url, "setup")
    assert heptad(open_server.url, "check")[0] == 0
    for name in ("events", "reports", "heptad"):
        assert open_server.query("SHOW SERIES", name) == []


def test_another_type_is_told(open_server: Influxd, heptad: Run) -> None:
    """A field that has another type than Heptad writes is a fault with the remedy."""
    heptad(open_server.url, "setup")
    open_server.write("events", ["events,host=web pid=3.5,other=1", 'mine pid="x"'])
    status, told = heptad(open_server.url, "check")
    assert (status, told.count("fault")) == (1, 1)
    assert "the field `pid` of `events` has the type 'float', but Heptad writes integer" in told
    assert "`influxdb.buckets.events`" in told


def test_server_is_down(heptad: Run) -> None:
    """Without a server there is one message with the remedy."""
    for verb in ("setup", "check"):
        status, told = heptad(f"http://127.0.0.1:{reserve_port()}", verb)
        assert (status, told.count("\n")) == (1, 1)
        assert "check that the server is running and `influxdb.url` is correct" in told


def test_no_server_is_configured(tmp_path: Path) -> None:
    """Without the section `influxdb:` the command says what to write."""
    command = [sys.executable, "-m", "heptad", "influxdb", "check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "add `influxdb:` with its `url:`" in done.stderr


def test_a_page_of_a_proxy_is_told(heptad: Run) -> None:
    """A server that is no InfluxDB is told, also where the version is named."""
    with ScriptedServer(lambda _: (200, "<html>")).serving() as server:
        for keys in ({}, {"version": "1"}):
            for verb in ("check", "setup"):
                status, told = heptad(server.url, verb, **keys)
                assert status == 1
                assert "check that `influxdb.url` is the URL of" in told


def test_a_page_in_answer_to_writes_is_told(open_server: Influxd, heptad: Run) -> None:
    """A proxy that lets questions through and answers writes with a page has taken no write."""
    open_server.create("events", "reports", "heptad")
    page = Fault(status=400, headers={"Content-Type": "text/html"}, body=b"<html>Bad</html>")
    with FaultyProxy(open_server.url) as proxy:
        proxy.plan = lambda path, _: page if "write" in path else None
        status, told = heptad(proxy.url, "check")
    assert status == 1
    assert "events: cannot be written (status 400: <html>Bad</html>)" in told


def test_a_name_that_is_not_known_is_told(heptad: Run) -> None:
    """The host is told as a person wrote it, without the client's own objects."""
    status, told = heptad("http://nowhere.invalid:8086", "check")
    assert status == 1
    assert "nowhere.invalid:8086/ping: Failed to resolve 'nowhere.invalid'" in told


def test_a_clock_that_is_off_is_told(heptad: Run) -> None:
    """A host whose clock is more than a minute off is not waited for: that is a fault."""
    headers = {"X-Influxdb-Version": "1.8.10", "Date": "Mon, 02 Mar 2026 10:00:00 GMT"}
    with ScriptedServer(lambda _: (204, None), headers).serving() as server:
        status, told = heptad(server.url, "check")
    assert status == 1
    assert "s ahead of the server's" in told
    assert "timedatectl" in told


BODIES: list[Any] = [
    None,
    7,
    "<html>",
    [None],
    {"orgs": None},
    {"orgs": [{"id": 1, "name": []}]},
    {"orgs": [{"id": "a", "name": "o"}], "buckets": [None]},
    {"orgs": [{"id": "a", "name": "o"}], "buckets": 5},
    {"results": [{"series": [{"columns": ["default", "duration"], "values": [[True, 7]]}]}]},
    {"results": [{"series": [{"name": "events", "columns": [], "values": [[1]]}]}]},
    [{"iox::database": "events", "database_name": "events", "retention_period_ns": "x"}],
]


@pytest.mark.parametrize("version", ["1", "2", "3"])
@pytest.mark.parametrize("body", BODIES, ids=str)
def test_no_body_is_a_traceback(version: str, body: Any) -> None:
    """Whatever a server answers, setup ends with an error of its own, check with results."""
    with (
        ScriptedServer(lambda _: (200, body)).serving() as server,
        connect(server.url, version=version, org="o", token="t") as connection,
    ):
        with contextlib.suppress(StoreError):
            assert all(isinstance(line, str) for line in prepare(connection))
        assert any(result.state == "fault" for result in check(connection, BUCKETS))


def test_a_secret_is_hidden() -> None:
    """A server that repeats a statement with a secret does not get it into a message."""

    def repeat(asked: Any) -> tuple[int, Any]:
        return (400 if "bad" in asked.body["q"] else 200), {
            "error": asked.body["q"],
            "results": [{"error": asked.body["q"]}],
        }

    remember_secret("hush")
    with ScriptedServer(repeat).serving() as server, connect(server.url, version="1") as connection:
        for statement in ("bad hush", "good hush\x1b[31m"):
            with pytest.raises(StatementError) as caught:
                execute(connection, statement)
            assert "hush" not in str(caught.value)
            assert "\x1b" not in str(caught.value)

"""heptad influxdb setup|check with a 3.x: a server that answers as its documentation says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.cli.influxdb_admin.check import check
from heptad.cli.influxdb_admin.setup import prepare
from heptad.core.store.api import StoreError
from tests.support.influxdb import connect
from tests.support.influxdb_3 import ADMIN, InfluxDB3


@pytest.fixture
def influxdb() -> Iterator[InfluxDB3]:
    """The server, with nothing in it."""
    influxdb = InfluxDB3()
    with influxdb.server.serving():
        yield influxdb


def setup(influxdb: InfluxDB3, secrets_to: Path | None = None, token: str = ADMIN) -> list[str]:
    """What is told."""
    with connect(influxdb.server.url, token=token) as connection:
        return list(prepare(connection, secrets_to))


def faults(influxdb: InfluxDB3, token: str = ADMIN) -> list[str]:
    """What check finds wrong."""
    with connect(influxdb.server.url, token=token) as connection:
        return [r.text for r in check(connection, BUCKETS) if r.state == "fault"]


def test_databases_are_made_once(influxdb: InfluxDB3) -> None:
    """The first run makes them with their retention, the second changes nothing."""
    assert setup(influxdb)[0] == "database events: created, retention 90d"
    made = {name: n * 86_400 for name, n in (("events", 90), ("reports", 365), ("heptad", 30))}
    assert influxdb.databases == made
    done = len(influxdb.server.changes())
    assert "database heptad: unchanged, retention 30d" in setup(influxdb)
    assert len(influxdb.server.changes()) == done


def test_another_retention_is_told(influxdb: InfluxDB3) -> None:
    """3 Core cannot change it: setup and check say so, and what can be done."""
    influxdb.databases["events"] = 7 * 86_400
    told = setup(influxdb)[0]
    assert told.startswith("database events: unchanged, retention 7d instead of 90d; 3 Core can")
    (fault,) = faults(influxdb)
    assert "influxdb3 update database --retention-period" in fault


def test_one_that_is_made_meanwhile_is_there(influxdb: InfluxDB3) -> None:
    """Where two prepare the server at once, the second finds 409 no error."""
    influxdb.databases["events"] = None
    influxdb.hidden = True
    told = setup(influxdb)[0]
    assert told == "database events: unchanged, retention unknown (the server does not show it)"


def test_tokens_are_not_promised(influxdb: InfluxDB3, tmp_path: Path) -> None:
    """Core has no tokens with least rights: that is said, and nothing is made."""
    told = "\n".join(setup(influxdb, tmp_path))
    assert "3 Core has only administrator tokens" in told
    assert '--permission "db:events:write" --permission "db:heptad:read,write"' in told
    assert list(tmp_path.iterdir()) == []


def test_the_limit_of_databases_is_told(influxdb: InfluxDB3) -> None:
    """Core's limit of five databases is an error in the server's own words."""
    influxdb.databases = dict.fromkeys("abc")
    with pytest.raises(StoreError, match="limit of 5 databases"):
        setup(influxdb)


def test_check_makes_no_database(influxdb: InfluxDB3) -> None:
    """A database that is not there is told, and not made by trying to write to it."""
    assert [text.split(";")[0] for text in faults(influxdb)] == [
        f"{name}: does not exist (the server has no such database)"
        for name in ("events", "reports", "heptad")
    ]
    assert influxdb.written == []
    setup(influxdb)
    assert faults(influxdb) == []


def test_a_wrong_token_is_told_once(influxdb: InfluxDB3) -> None:
    """Without a right to anything there is one fault, with the remedy and without the token."""
    (fault,) = faults(influxdb, "a-wrong-token")
    assert "influxdb.token" in fault
    assert "a-wrong-token" not in fault
    with pytest.raises(StoreError, match=r"influxdb\.token|influxdb\.version"):
        setup(influxdb, token="a-wrong-token")

"""heptad influxdb setup with each real generation of InfluxDB, which knows whom it talks to.

What only some versions do is in test_influxdb_setup_1.py, _2.py and _3.py.
"""

import stat
from pathlib import Path
from typing import Any

import pytest

from heptad.cli.commands import influxdb
from heptad.cli.influxdb_admin.roles import PLACES, ROLES
from heptad.core.config.influxdb import RetentionConfig
from heptad.core.config.types import Duration
from heptad.core.store.api import StoreError
from tests.support.site import Site


def test_a_fresh_server_is_prepared(site: Site) -> None:
    """The first run makes buckets and what each role shows; a second one changes nothing."""
    told = site.setup()
    assert [line.split(": ", 1)[1] for line in told[:3]] == [
        "created, retention 90d",
        "created, retention 365d",
        "created, retention 30d",
    ]
    assert [": created, " in line for line in told[3:]] == [True] * 3
    assert [line.split(": ", 1)[1] for line in site.setup()] == [
        "unchanged, retention 90d",
        "unchanged, retention 365d",
        "unchanged, retention 30d",
        *["unchanged"] * 3,
    ]


def test_what_is_there_is_kept(site: Site) -> None:
    """Buckets that a person or the image's own set-up made get their retention, and keep all."""
    site.server.create(*site.buckets.names())
    site.server.write(site.buckets.events, ["events,host=web count=1i"])
    assert f"{site.buckets.events}: retention changed from infinite to 90d" in site.setup()[0]
    assert site.server.count(site.buckets.events) == 1


def test_another_retention_is_set(site: Site) -> None:
    """Another retention in the configuration changes the bucket's, and both are told."""
    site.setup()
    for before, after in (("90d", "36h"), ("36h", "400d")):  # shorter than a shard, and longer
        told = site.setup(retention=RetentionConfig(events=Duration(after)))[0]
        assert told.endswith(f"{site.buckets.events}: retention changed from {before} to {after}")
    assert site.check(retention=RetentionConfig(events=Duration("400d")))["fault"] == []


def test_secrets_are_for_their_owner_alone(site: Site) -> None:
    """Each role's secret is in a file of its own, and in nothing that is told."""
    told = site.setup()
    for role in ROLES:
        path = site.secret(role)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_text().strip()) > 20
        assert path.read_text().strip() not in "".join(told)
        assert site.check(role, role)["fault"] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_deleted_bucket_comes_back_in_one_run(site: Site, place: str) -> None:
    """A bucket that was deleted is there again after one run, and every role can do its work."""
    site.setup()
    site.server.drop(site.bucket(place))
    told = site.setup()
    assert sum(": created, retention" in line for line in told) == 1
    for role in ROLES:
        assert site.check(role, role)["fault"] == []
    assert not any("created" in line or "anew" in line for line in site.setup())


def test_a_lost_server_comes_back_in_one_run(site: Site) -> None:
    """Where all is gone but the files, one run restores it; what was in the files is kept."""
    site.setup()
    before = {role: site.secret(role).read_text() for role in ROLES}
    site.clear()
    told = site.setup()
    for role in ROLES:
        assert site.check(role, role)["fault"] == []
        old = site.secret(role).with_name(site.secret(role).name + ".old")
        assert old.read_text() == before[role]
        assert str(old) in "".join(told)


def test_secrets_are_renewed(site: Site) -> None:
    """With --renew each role shows something else, and what was stolen is good no longer."""
    site.setup()
    stolen = site.secret("exporter").rename(site.secrets / "stolen")
    site.setup(renew=True)
    key = "password_file" if site.generation == 1 else "token_file"
    assert site.check("exporter", "exporter")["fault"] == []
    (fault,) = site.check("exporter", **{key: str(stolen)})["fault"]
    assert "rejects the credentials of this host" in fault


def test_a_secret_that_cannot_be_kept_is_not_made(site: Site) -> None:
    """Where its file cannot be written nothing is made that nobody could use."""
    site.secrets.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="choose another directory"):
        site.setup()
    site.secrets.unlink()
    assert [": created, " in line for line in site.setup()[3:]] == [True] * 3


@pytest.mark.parametrize("role", ROLES)
def test_setup_is_for_an_administrator(site: Site, role: str) -> None:
    """Whoever may do less is told so, and not that the token or password is wrong."""
    site.setup()
    site.server.drop(site.buckets.reports)
    with pytest.raises(StoreError, match="use an administrator's token"):
        site.setup(role)


def test_who_is_not_known_is_told_the_key(site: Site) -> None:
    """A wrong token or password is told with the key to look at, and is in no message."""
    wrong: dict[str, Any] = {"password" if site.generation == 1 else "token": "a-wrong-secret"}
    with pytest.raises(StoreError, match=r"check `influxdb\.token`.*`password`") as caught:
        site.setup(**wrong)
    assert "a-wrong-secret" not in str(caught.value)


def test_renew_needs_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--renew without --secrets-to changes nothing, and says what is missing."""
    import argparse  # noqa: PLC0415

    config = tmp_path / "heptad.yaml"
    config.write_text("influxdb: {url: 'http://127.0.0.1:9'}\n")
    args = argparse.Namespace(config=config, secrets_to=None, renew=True)
    assert influxdb.run_setup(args) == 2
    assert "--secrets-to DIR" in capsys.readouterr().err

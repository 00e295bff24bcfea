"""heptad influxdb setup with each real generation of InfluxDB, which knows whom it talks to."""

import stat

from heptad.influxdb.roles import ROLES
from tests.site import Site


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
        "there already, retention 90d",
        "there already, retention 365d",
        "there already, retention 30d",
        *["there already"] * 3,
    ]


def test_secrets_are_for_their_owner_alone(site: Site) -> None:
    """Each role's secret is in a file of its own, and in nothing that is told."""
    told = site.setup()
    for role in ROLES:
        (path,) = site.secrets.glob(f"{role}.*")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_text().strip()) > 20
        assert path.read_text().strip() not in "".join(told)
        assert site.check(role, role)["fault"] == []

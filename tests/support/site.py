"""A fleet's three buckets on an InfluxDB, and the credentials of each role."""

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.cli.influxdb_admin.check import check
from heptad.cli.influxdb_admin.roles import PLACES, ROLES
from heptad.cli.influxdb_admin.setup import prepare
from heptad.core.config.influxdb import BucketsConfig, InfluxConfig
from tests.support.influxd_2 import Influxd2
from tests.support.influxdb import Influxd, connect

_numbers: Final = itertools.count()


class Site:
    """Buckets with names that no other test uses; ``secrets`` is the directory of --secrets-to."""

    def __init__(self, server: Influxd, secrets: Path) -> None:
        self.server = server
        self.url = server.url
        self.secrets = secrets
        number = next(_numbers)
        self.buckets = BucketsConfig(*(f"{place}{number}" for place in PLACES))
        self.generation = 2 if isinstance(server, Influxd2) else 1

    def bucket(self, place: str) -> str:
        """Return the name of a bucket."""
        return str(getattr(self.buckets, place))

    def keys(self, role: str = "") -> dict[str, str]:
        """Return the keys of ``role`` for `influxdb:`, without the URL; default: administrator."""
        if not role:
            return dict(self.server.keys)
        file = str(self.secret(role))
        if self.generation == 1:
            return {"username": f"heptad_{role}", "password_file": file}
        return {"org": self.server.keys["org"], "token_file": file}

    def secret(self, role: str) -> Path:
        """Return the path of a role's token or password file."""
        return self.secrets / f"{role}.{'password' if self.generation == 1 else 'token'}"

    def configure(self, role: str = "", **keys: Any) -> InfluxConfig:
        """Return the section `influxdb:` of a role, or of an administrator."""
        told = {"url": self.url, "buckets": self.buckets, **self.keys(role), **keys}
        return InfluxConfig(**told)

    def setup(self, role: str = "", *, renew: bool = False, **keys: Any) -> list[str]:
        """Return the output of `heptad influxdb setup --secrets-to`."""
        config = msgspec.structs.asdict(self.configure(role, **keys))
        with connect(config.pop("url"), **config) as connection:
            return list(prepare(connection, self.secrets, renew=renew))

    def check(self, role: str = "", of: str | None = None, **keys: Any) -> dict[str, list[str]]:
        """Return the output of `heptad influxdb check --role OF` for a role, by state."""
        config = msgspec.structs.asdict(self.configure(role, **keys))
        with connect(config.pop("url"), **config) as connection:
            results = list(check(connection, BUCKETS, of))
        return {s: [r.text for r in results if r.state == s] for s in ("ok", "note", "fault")}

    def grant(self, **rights: str) -> dict[str, str]:
        """Return the keys of a user with rights (`read`, `write`, `both`) on these buckets."""
        if not isinstance(self.server, Influxd2):
            user = f"user{next(_numbers)}"
            self.server.query(f"CREATE USER {user} WITH PASSWORD 'of the tests'")
            for place, right in rights.items():
                privilege = {"both": "ALL"}.get(right, right.upper())
                self.server.query(f'GRANT {privilege} ON "{self.bucket(place)}" TO {user}')
            return {"username": user, "password": "of the tests"}
        permissions, organization = [], ""
        for place, right in rights.items():
            found = self.server.call("GET", f"/api/v2/buckets?name={self.bucket(place)}")
            organization = found["buckets"][0]["orgID"]
            resource = {"type": "buckets", "id": found["buckets"][0]["id"], "orgID": organization}
            permissions += [
                {"action": action, "resource": resource}
                for action in ("read", "write")
                if right in (action, "both")
            ]
        body = {"orgID": organization, "description": self.buckets.events}
        made = self.server.call(
            "POST", "/api/v2/authorizations", body | {"permissions": permissions}
        )
        return {"token": made["token"]}

    def dump(self) -> list[dict[str, Any]]:
        """Return everything in the buckets."""
        return [
            row
            for place in PLACES
            for row in self.server.rows("SELECT * FROM /.*/", self.bucket(place))
        ]

    def clear(self) -> None:
        """Drop the buckets, and the users and tokens with rights on them."""
        for place in PLACES:
            with suppress(AssertionError, IndexError):
                self.server.drop(self.bucket(place))
        if self.generation == 1:
            for role in ROLES:
                with suppress(AssertionError):
                    self.server.query(f"DROP USER heptad_{role}")
        if isinstance(self.server, Influxd2):
            for token in self.server.call("GET", "/api/v2/authorizations")["authorizations"]:
                if any(name in token["description"] for name in self.buckets.names()):
                    self.server.call("DELETE", f"/api/v2/authorizations/{token['id']}")


def map_elsewhere(site: Site, server: Influxd2, place: str) -> None:
    """Map the database with a bucket's name to another bucket."""
    first = server.call("GET", "/api/v2/buckets?name=first")["buckets"][0]
    body = {"orgID": first["orgID"], "bucketID": first["id"], "database": site.bucket(place)}
    server.call("POST", "/api/v2/dbrps", body | {"retention_policy": "autogen", "default": True})

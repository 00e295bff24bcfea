"""What a fleet has on an InfluxDB: its three buckets, and what each role shows the server."""

import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from heptad.commands.schema_page import BUCKETS
from heptad.influxdb.checkup import check
from heptad.influxdb.roles import PLACES, ROLES
from heptad.influxdb.setup import prepare
from heptad.influxdb_config import BucketsConfig, InfluxConfig
from tests.influxd_2 import Influxd2
from tests.influxdb import Influxd, connect

_numbers: Final = itertools.count()


class Site:
    """Buckets with names that no other test uses; ``secrets`` is the folder of --secrets-to."""

    def __init__(self, server: Influxd, secrets: Path) -> None:
        self.server = server
        self.secrets = secrets
        number = next(_numbers)
        self.buckets = BucketsConfig(*(f"{place}{number}" for place in PLACES))
        self.generation = 2 if isinstance(server, Influxd2) else 1

    def bucket(self, place: str) -> str:
        """The name of a bucket."""
        return str(getattr(self.buckets, place))

    def keys(self, role: str = "") -> dict[str, str]:
        """What ``role`` writes under `influxdb:`, beside the URL; without one an administrator."""
        if not role:
            return dict(self.server.keys)
        if self.generation == 1:
            file = str(self.secrets / f"{role}.password")
            return {"username": f"heptad_{role}", "password_file": file}
        file = str(self.secrets / f"{role}.token")
        return {"org": self.server.keys["org"], "token_file": file}

    def configure(self, role: str = "", **keys: Any) -> InfluxConfig:
        """The section `influxdb:` of a role, or of an administrator."""
        told = {"buckets": self.buckets, **self.keys(role), **keys}
        return InfluxConfig(self.server.url, **told)

    def setup(self, role: str = "", *, secrets: bool = True, **keys: Any) -> list[str]:
        """What `heptad influxdb setup` tells."""
        config = msgspec.structs.asdict(self.configure(role, **keys))
        with connect(config.pop("url"), **config) as connection:
            return list(prepare(connection, self.secrets if secrets else None))

    def check(self, role: str = "", of: str | None = None, **keys: Any) -> dict[str, list[str]]:
        """What `heptad influxdb check --role OF` tells a role, by state."""
        config = msgspec.structs.asdict(self.configure(role, **keys))
        with connect(config.pop("url"), **config) as connection:
            results = list(check(connection, BUCKETS, of))
        return {s: [r.text for r in results if r.state == s] for s in ("ok", "note", "fault")}

    def clear(self) -> None:
        """Drop the buckets, and the users of 1.x, whose names all tests share."""
        for place in PLACES:
            with suppress(AssertionError, IndexError):
                self.server.drop(self.bucket(place))
        if self.generation == 1:
            for role in ROLES:
                with suppress(AssertionError):
                    self.server.query(f"DROP USER heptad_{role}")

"""A 2.x for what the real 2.7.12 of the tests does not do.

These are versions that do not map buckets to databases by themselves (2.0), and those that only
store a hash of a token (2.8, 2.9). The responses are those of a real 2.7.12, see
tests/support/contract/setup_2.yaml.
"""

from pathlib import Path
from typing import Any

import yaml

from tests.support.scripted_server import Asked, ScriptedServer

CONTRACT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "contract" / "setup_2.yaml").read_text()
)
_ORGANIZATION = CONTRACT["organizations"]["orgs"][0]
ADMIN = "the-administrators-token"


class InfluxDB2:
    """Buckets, mappings and tokens, in memory.

    ``virtual``: it maps buckets to databases by itself; ``hashes``: it shows a token once.
    """

    def __init__(self, *, virtual: bool = True, hashes: bool = True) -> None:
        self.virtual = virtual
        self.hashes = hashes
        self.buckets: list[dict[str, Any]] = []
        self.mappings: list[dict[str, Any]] = []
        self.tokens: list[dict[str, Any]] = []
        self.made = 0
        self.server = ScriptedServer(self._answer, {"X-Influxdb-Version": "v2.9.0"})

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/ping":
            return 204, None
        mine = [t for t in self.tokens if asked.authorization == f"Token {t['secret']}"]
        if asked.authorization != f"Token {ADMIN}" and not mine:
            return 401, CONTRACT["unauthorized"]
        rights = {
            (p["action"], p["resource"]["id"]) for t in mine for p in t["permissions"]
        } or None
        if asked.path in ("/query", "/api/v2/write"):
            return self._use(asked, rights)
        kind = asked.path.split("/")[3]
        work = {"orgs": self._organizations, "buckets": self._buckets, "dbrps": self._mappings}
        return work.get(kind, self._authorizations)(asked, rights)

    def _may(self, rights: Any, action: str, bucket: dict[str, Any]) -> bool:
        return rights is None or (action, bucket["id"]) in rights

    def _use(self, asked: Asked, rights: Any) -> tuple[int, Any]:
        writing = asked.path != "/query"
        name = asked.query["bucket"] if writing else asked.body["db"]
        bucket = next((b for b in self.buckets if b["name"] == name), None)
        if writing:
            if bucket is None:
                return 404, CONTRACT["no_bucket"]
            if not self._may(rights, "write", bucket):
                return 403, CONTRACT["no_right_to_write"]
            assert asked.body is None
            return 204, None
        if asked.body["q"].startswith("SHOW MEASUREMENTS"):
            return 200, CONTRACT["nothing"]  # whatever the permissions
        if bucket is None or not self._may(rights, "read", bucket):
            error = CONTRACT["no_database"] | {"error": f"database not found: {name}"}
            return 200, {"results": [error]}
        return 200, CONTRACT["nothing"]

    def _organizations(self, asked: Asked, rights: Any) -> tuple[int, Any]:
        if asked.query.get("org", _ORGANIZATION["name"]) != _ORGANIZATION["name"]:
            return 404, CONTRACT["no_organizations"]
        return 200, CONTRACT["organizations"]

    def _buckets(self, asked: Asked, rights: Any) -> tuple[int, Any]:
        if asked.method == "GET":
            found = [b for b in self.buckets if b["name"] == asked.query["name"]]
            if not found:
                return 404, CONTRACT["no_bucket"]
            return 200, {"buckets": [b for b in found if self._may(rights, "read", b)]}
        if asked.method == "PATCH":
            identifier = asked.path.split("/")[-1]
            bucket = next(b for b in self.buckets if b["id"] == identifier)
            bucket["retentionRules"] = asked.body["retentionRules"]
            return 200, bucket
        assert asked.body["orgID"] == _ORGANIZATION["id"]
        made = {**CONTRACT["bucket"], "id": f"{len(self.buckets) + 1:016x}"}
        made |= {key: asked.body[key] for key in ("name", "retentionRules")}
        self.buckets.append(made)
        if self.virtual:
            self._map(made["name"], made["id"], f"{0xD0 + len(self.mappings):016x}")
        return 201, made

    def _map(self, database: str, bucket: str, identifier: str) -> dict[str, Any]:
        mapping = {"id": identifier, "database": database, "bucketID": bucket}
        self.mappings.append({**CONTRACT["mapping"], **mapping})
        return self.mappings[-1]

    def _mappings(self, asked: Asked, rights: Any) -> tuple[int, Any]:
        if asked.method == "GET":
            return 200, {
                "content": [m for m in self.mappings if m["database"] == asked.query["db"]]
            }
        return 201, self._map(asked.body["database"], asked.body["bucketID"], "00000000000000ff")

    def _authorizations(self, asked: Asked, rights: Any) -> tuple[int, Any]:
        if asked.method == "GET":
            told = [{k: v for k, v in t.items() if k != "secret"} for t in self.tokens]
            if not self.hashes:
                told = [t | {"token": t["secret"]} for t in self.tokens]
            return 200, {"authorizations": told if rights is None else []}
        if asked.method == "DELETE":
            self.tokens = [t for t in self.tokens if t["id"] != asked.path.split("/")[-1]]
            return 204, None
        self.made += 1
        number = self.made
        made = {**CONTRACT["authorization"], "id": f"{0xC0 + number:016x}"}
        made |= {key: asked.body[key] for key in ("description", "permissions")}
        self.tokens.append({**made, "secret": f"the-secret-of-token-{number}"})
        return 201, {**made, "token": self.tokens[-1]["secret"]}

"""2.x: the API for the resources of an organization: buckets, mapped databases, tokens.

Sources: the OpenAPI file of InfluxDB OSS v2 (https://github.com/influxdata/openapi,
contracts/oss.yml), and a real 2.7.12: it returns 404 for a bucket that does not exist, and 401 if
the token lacks a permission.
"""

import json
import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from heptad.core.influxdb.client import InfluxConnection, InfluxResponse
from heptad.core.influxdb.statement import MISSING, OK, StatementError, foreign
from heptad.core.store.api import StoreError

T = TypeVar("T")

_MOST: Final = 32 * 2**20
"""Maximum size of a response in bytes: one contains all tokens with their permissions."""
_JSON: Final = {"Content-Type": "application/json"}
_REDIRECT: Final = 300
_ID: Final = re.compile("[0-9a-f]{16}")


class Organization(msgspec.Struct):
    id: str
    name: str


class RetentionRule(msgspec.Struct, rename="camel"):
    """How long a bucket keeps points, in seconds; 0 is forever."""

    every_seconds: int = 0


class Bucket(msgspec.Struct, rename="camel"):
    """A bucket; InfluxDB's own have the ``type`` ``system``."""

    id: str
    name: str
    type: str = "user"
    retention_rules: list[RetentionRule] = []

    @property
    def keeps(self) -> int:
        """Seconds that it keeps points; 0 is forever."""
        return self.retention_rules[0].every_seconds if self.retention_rules else 0


class Database(msgspec.Struct):
    """The name under which InfluxQL reads a bucket."""

    id: str
    bucket: str = msgspec.field(name="bucketID")
    default: bool = False


class Resource(msgspec.Struct, omit_defaults=True):
    """What a permission refers to: all resources of a type, or the one with this id."""

    type: str
    id: str = ""
    organization: str = msgspec.field(name="orgID", default="")


class Permission(msgspec.Struct):
    action: str
    resource: Resource


class Token(msgspec.Struct):
    """A token; ``text`` is empty if the server does not show it."""

    id: str
    permissions: list[Permission] = []
    description: str = ""
    status: str = "active"
    organization: str = msgspec.field(name="orgID", default="")
    text: str = msgspec.field(name="token", default="")

    @property
    def is_operators(self) -> bool:
        """Whether it may do everything in every organization."""
        return any(
            right.action == "write" and right.resource == Resource("orgs")
            for right in self.permissions
        )


class Resources:
    """Queries and changes; they raise StatementError or Unreachable."""

    def __init__(self, connection: InfluxConnection) -> None:
        self._connection = connection

    def find_organization(self, name: str) -> Organization | None:
        """Return the organization with this name or id; None if the token may not see it.

        Raise StoreError if it does not exist.
        """
        asked = [{"org": name}, *([{"orgID": name}] if _ID.fullmatch(name) else [])]
        for question in asked:
            try:
                found = self._list("orgs", "orgs", Organization, question)
            except StatementError as error:
                # a server without this API returns 404 too
                if error.status != MISSING or "organization" not in error.text:
                    raise
            else:
                return found[0] if found else None
        seen = ", ".join(f"`{one.name}`" for one in self.list_organizations())
        raise StoreError(
            f"the organization `{name}` does not exist; check `influxdb.org`"
            + (f"; organizations that the token may read: {seen}" if seen else "")
        )

    def list_organizations(self) -> list[Organization]:
        """Return the organizations that the token sees, at most 20."""
        return self._list("orgs", "orgs", Organization, {})

    def find_bucket(self, organization: str, name: str) -> Bucket | None:
        """Return the bucket; None if it does not exist or the token may not read it."""
        asked = {"orgID": organization, "name": name}
        try:
            found = self._list("buckets", "buckets", Bucket, asked)
        except StatementError as error:
            if error.status != MISSING:
                raise
            return None
        return next((bucket for bucket in found if bucket.name == name), None)

    def create_bucket(self, organization: str, name: str, keep: int) -> Bucket:
        """Create a bucket that keeps points for ``keep`` seconds."""
        body = {"orgID": organization, "name": name, "retentionRules": _rules(keep)}
        return self._send("POST", "buckets", body, Bucket)

    def change_retention(self, bucket: Bucket, keep: int) -> None:
        """Set the retention of a bucket to ``keep`` seconds."""
        self._send("PATCH", f"buckets/{bucket.id}", {"retentionRules": _rules(keep)}, Bucket)

    def find_database(self, organization: str, name: str) -> Database | None:
        """Return what InfluxQL reads under this name, if the token may see it."""
        asked = {"orgID": organization, "db": name}
        found = self._list("dbrps", "content", Database, asked)
        return next((one for one in found if one.default), None)

    def create_database(self, organization: str, bucket: Bucket, policy: str) -> None:
        """Map a bucket to the database of its name, so that InfluxQL can read it."""
        body = {
            "orgID": organization,
            "bucketID": bucket.id,
            "database": bucket.name,
            "retention_policy": policy,
            "default": True,
        }
        self._send("POST", "dbrps", body, Database)

    def list_tokens(self, organization: str = "") -> list[Token]:
        """Return the tokens that the token sees, of one organization or of all."""
        asked = {"orgID": organization} if organization else {}
        return self._list("authorizations", "authorizations", Token, asked)

    def create_token(self, organization: str, description: str, rights: list[Permission]) -> Token:
        body = {
            "orgID": organization,
            "description": description,
            "permissions": msgspec.to_builtins(rights),
        }
        return self._send("POST", "authorizations", body, Token)

    def delete_token(self, token: Token) -> None:
        self._request("DELETE", f"authorizations/{token.id}")

    def _list(self, path: str, key: str, kind: type[T], query: Mapping[str, str]) -> list[T]:
        answer = self._request("GET", path, query)
        found = answer.json.get(key)
        return [_convert(answer, one, kind) for one in _convert(answer, found or [], list)]

    def _send(self, method: str, path: str, body: object, kind: type[T]) -> T:
        answer = self._request(method, path, body=json.dumps(body).encode())
        return _convert(answer, answer.json, kind)

    def _request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> InfluxResponse:
        with self._connection.stream(
            method, f"/api/v2/{path}", query, body or None, _JSON if body else None
        ) as response:
            data = response.read(_MOST, decode_content=True)
            answer = InfluxResponse(response.status, response.headers, data)
        if not OK <= answer.status < _REDIRECT:
            raise StatementError(answer.status, answer.text)
        if answer.body and not answer.json:
            raise foreign(answer)
        return answer


def _rules(keep: int) -> list[dict[str, object]]:
    # 0: the server chooses the shard length, which must not exceed the retention
    return [{"type": "expire", "everySeconds": keep, "shardGroupDurationSeconds": 0}]


def _convert(answer: InfluxResponse, value: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise foreign(answer) from None

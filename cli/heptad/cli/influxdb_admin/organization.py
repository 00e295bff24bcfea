"""Set up 2.x: buckets, databases and tokens of one organization.

InfluxQL reads from a database; some versions map a bucket to the database of its name by themselves
("virtual DBRP mapping"), unless that database is mapped elsewhere.

A token is identified by its description. Its permissions refer to the ids of buckets and cannot be
changed: if a bucket was created again, the token is, too. 2.7 shows the text of a token again;
later versions store only a hash of it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from heptad.cli.influxdb_admin.resources import Bucket, Permission, Resource, Resources, Token
from heptad.cli.influxdb_admin.roles import (
    PLACES,
    ROLES,
    SetupError,
    describe_rights,
    new_secret_file,
    old_secret_file,
    read_secret_file,
)
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.retention import format_retention
from heptad.core.telemetry.masking import remember_secret

_POLICY: Final = "autogen"


def prepare(connection: InfluxConnection, secrets_to: Path | None, *, renew: bool) -> Iterator[str]:
    """Do what ``setup.prepare`` does, for 2.x; raise StoreError."""
    resources = Resources(connection)
    organization = _find_organization(resources, connection.config.org)
    buckets = {}
    for place in PLACES:
        name = getattr(connection.config.buckets, place)
        wanted = int(getattr(connection.config.retention, place))
        buckets[place], told = _prepare_bucket(resources, organization, place, name, wanted)
        yield f"bucket {name}: {told}"
        yield from _prepare_database(resources, organization, buckets[place])
    if secrets_to is None:
        yield "tokens: none created; --secrets-to DIR creates one for each role"
        return
    tokens = Tokens(resources, organization, secrets_to)
    for role in ROLES:
        description = f"Heptad {role}: {describe_rights(ROLES[role], connection.config.buckets)}"
        needed = _find_rights(organization, buckets, role)
        yield f"token {role}: {tokens.prepare(role, description, needed, renew=renew)}"


def _find_organization(resources: Resources, name: str) -> str:
    """Return the id of the organization."""
    if not name:
        seen = ", ".join(repr(found.name) for found in resources.list_organizations())
        raise SetupError(
            f"influxdb.org is not set; organizations that the token may read: {seen or 'none'}"
        )
    found = resources.find_organization(name)
    if found is None:
        raise SetupError(
            f"the token may not read the organization `{name}`; use an administrator's token"
        )
    return found.id


def _prepare_bucket(
    resources: Resources, organization: str, place: str, name: str, wanted: int
) -> tuple[Bucket, str]:
    bucket = resources.find_bucket(organization, name)
    if bucket is None:
        made = resources.create_bucket(organization, name, wanted)
        return made, f"created, retention {format_retention(wanted)}"
    if bucket.type == "system":
        raise SetupError(
            f"bucket `{name}` is a system bucket of InfluxDB; set `influxdb.buckets.{place}` "
            "to another one"
        )
    kept = bucket.keeps
    if kept == wanted:
        return bucket, f"unchanged, retention {format_retention(kept)}"
    resources.change_retention(bucket, wanted)
    before, after = format_retention(kept), format_retention(wanted)
    return bucket, f"retention changed from {before} to {after}"


def _prepare_database(resources: Resources, organization: str, bucket: Bucket) -> Iterator[str]:
    """Make sure that InfluxQL finds the bucket as the database of its name."""
    database = resources.find_database(organization, bucket.name)
    if database is None:
        resources.create_database(organization, bucket, _POLICY)
        yield f"bucket {bucket.name}: mapped to the database of its name, for InfluxQL"
    elif database.bucket != bucket.id:
        raise SetupError(
            f"the database `{bucket.name}` is mapped to another bucket ({database.bucket}); "
            f"delete that mapping (influx v1 dbrp delete --id {database.id}), or use another "
            "bucket in `influxdb.buckets`"
        )


def _find_rights(organization: str, buckets: Mapping[str, Bucket], role: str) -> list[Permission]:
    return [
        Permission(action, Resource("buckets", buckets[place].id, organization))
        for place, rights in ROLES[role].items()
        for action in rights
    ]


class Tokens:
    """The tokens of the roles; the text of each is stored in a file of ``folder``."""

    def __init__(self, resources: Resources, organization: str, folder: Path) -> None:
        self._resources = resources
        self._organization = organization
        self._folder = folder
        self._there = resources.list_tokens(organization)

    def prepare(self, role: str, description: str, needed: list[Permission], *, renew: bool) -> str:
        """Create a token, or use an existing one; return what was done."""
        path = self._folder / f"{role}.token"
        mine = [token for token in self._there if token.description == description]
        good = [token for token in mine if token.status == "active" and _is_like(token, needed)]
        if good and not renew:
            return self._find_text(good, path)
        told = self._create(path, description, needed)
        for token in mine:
            self._resources.delete_token(token)
        if not mine:
            return f"created, {told}"
        why = "" if renew else _find_fault(mine)
        return f"replaced{why}, {told}; copy it to every {role}, because the old token is deleted"

    def _create(self, path: Path, description: str, needed: list[Permission]) -> str:
        moved = f" (the previous file is now {old_secret_file(path)})"
        told = f"stored in {path}" + (moved if path.exists() else "")
        with new_secret_file(path) as file:
            made = self._resources.create_token(self._organization, description, needed)
            remember_secret(made.text)
            try:
                file.write(f"{made.text}\n")
                file.flush()
            except OSError:
                self._resources.delete_token(made)  # its text would be lost
                raise
        return told

    def _find_text(self, good: list[Token], path: Path) -> str:
        """Make sure that the file contains one of these tokens; return what was done."""
        kept = read_secret_file(path)
        shown = [token.text for token in good if token.text]
        if kept in shown or (kept and not shown):
            return "unchanged"
        if not shown:
            return (
                f"unchanged; {path} does not contain it, and the server does not show it "
                "again; if it is lost, --renew creates a new token and deletes this one"
            )
        moved = f"; the previous file is now {old_secret_file(path)}" if kept else ""
        with new_secret_file(path) as file:
            remember_secret(shown[0])
            file.write(f"{shown[0]}\n")
        return f"unchanged, now stored in {path}{moved}"


def _is_like(token: Token, needed: list[Permission]) -> bool:
    return {_identify(right) for right in token.permissions} == set(map(_identify, needed))


def _identify(right: Permission) -> tuple[str, str, str]:
    return (right.action, right.resource.type, right.resource.id)


def _find_fault(tokens: list[Token]) -> str:
    if all(token.status != "active" for token in tokens):
        return " (the old one was not active)"
    return " (the old one had other permissions, for example because a bucket was deleted)"

"""2.x: buckets, tokens and mappings of one organization. Imported for `heptad influxdb setup` only.

A token is found again by its description. Its text is shown once, when it is made (since 2.9 the
server itself keeps a hash alone), so it goes into a file at once.

InfluxQL reads from a database; a bucket is mapped to one of its name by itself ("virtual DBRP
mapping"), where the version does so and nobody mapped the database elsewhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import influxdb_client
import urllib3
from influxdb_client.rest import ApiException

from heptad import units
from heptad.influxdb.connection import Answer, Unreachable, explain
from heptad.influxdb.roles import PLACES, ROLES, SetupError, describe_rights, new_secret_file
from heptad.influxdb.setup import format_retention
from heptad.influxdb.statement import MISSING, OK, Refused, foreign
from heptad.influxdb.tls import make_ssl_context
from heptad.influxdb_config import InfluxConfig
from heptad.masking import remember_secret

_api: Any = influxdb_client  # half of it is typed, and wrongly so in places
_POLICY: Final = "autogen"
_MOST: Final = 100


def prepare(config: InfluxConfig, secrets_to: Path | None) -> Iterator[str]:
    """What ``setup.prepare`` does, for 2.x; raises SetupError, Refused, Unreachable."""
    try:
        with _open(config) as client:
            organization = _find_organization(client, config.org)
            buckets = {}
            for place in PLACES:
                name = getattr(config.buckets, place)
                wanted = int(units.parse_duration(getattr(config.retention, place)))
                buckets[place], told = _prepare_bucket(client, organization, name, wanted)
                yield f"bucket {name}: {told}"
                yield from _map_database(client, organization, buckets[place])
            if secrets_to is None:
                yield "tokens: none made; --secrets-to DIR makes one for each role"
                return
            for role in ROLES:
                yield _prepare_token(client, config, buckets, role, secrets_to)
    except ApiException as error:
        body = error.body or b""
        text = body.encode() if isinstance(body, str) else body
        raise Refused(error.status or 0, Answer(0, {}, text).text or str(error.reason)) from None
    except (ValueError, TypeError, AttributeError) as error:
        # what influxdb-client makes of a body that is not as the OpenAPI file has it
        raise foreign(Answer(OK, {}, str(error).encode())) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"{config.url}: {explain(error)}") from error


@contextmanager
def _open(config: InfluxConfig) -> Iterator[Any]:
    try:
        token = config.secret("token")
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}; see that it can be read") from error
    secure = config.url.startswith("https:")
    client = _api.InfluxDBClient(
        config.url.rstrip("/"),
        token,
        timeout=int(units.parse_duration(config.timeout) * 1000),
        ssl_context=make_ssl_context(config.tls) if secure else None,
    )
    with client:
        yield client


def _find_organization(client: Any, name: str) -> str:
    """Its id."""
    api = client.organizations_api()
    if not name:
        seen = ", ".join(repr(found.name) for found in api.find_organizations())
        raise SetupError(f"influxdb.org is missing; the token sees {seen or 'none'}")
    try:
        found = api.find_organizations(org=name)
    except ApiException as error:
        if error.status != MISSING:
            raise
        found = []
    if not found:
        raise SetupError(f"no organization `{name}` that the token sees; see `influxdb.org`")
    return str(found[0].id)


def _prepare_bucket(client: Any, organization: str, name: str, wanted: int) -> tuple[Any, str]:
    api = client.buckets_api()
    bucket = _find_bucket(api, organization, name)
    # 0: the server chooses how long a shard is, for it must not be longer than the retention
    rule = _api.BucketRetentionRules("expire", every_seconds=wanted, shard_group_duration_seconds=0)
    if bucket is None:
        made = api.create_bucket(bucket_name=name, org=organization, retention_rules=[rule])
        return made, f"created, retention {format_retention(wanted)}"
    kept = next((rule.every_seconds for rule in bucket.retention_rules or ()), 0)
    if kept == wanted:
        return bucket, f"there already, retention {format_retention(kept)}"
    bucket.retention_rules = [rule]
    changed = api.update_bucket(bucket)
    before, after = format_retention(kept), format_retention(wanted)
    return changed, f"retention changed from {before} to {after}"


def _find_bucket(api: Any, organization: str, name: str) -> Any | None:
    """The bucket of this name, or None: 2.7 answers 404 where there is none."""
    try:
        found = api.find_buckets(name=name, org_id=organization, limit=_MOST).buckets
    except ApiException as error:
        if error.status != MISSING:
            raise
        return None
    return next((bucket for bucket in found or () if bucket.name == name), None)


def _map_database(client: Any, organization: str, bucket: Any) -> Iterator[str]:
    """See that InfluxQL finds the bucket as the database of its name."""
    service = _api.DBRPsService(client.api_client)
    mappings = service.get_dbr_ps(org_id=organization, db=bucket.name).content or []
    default = next((mapping for mapping in mappings if mapping.default), None)
    if default is None:
        told = _api.DBRPCreate(
            org_id=organization,
            bucket_id=bucket.id,
            database=bucket.name,
            retention_policy=_POLICY,
            default=True,
        )
        service.post_dbrp(told)
        yield f"bucket {bucket.name}: mapped to the database of its name, for InfluxQL"
    elif default.bucket_id != bucket.id:
        raise SetupError(
            f"the database `{bucket.name}` is mapped to another bucket ({default.bucket_id}); "
            f"delete that mapping (influx v1 dbrp delete --id {default.id}), or name another "
            "bucket under `influxdb.buckets`"
        )


def _prepare_token(
    client: Any,
    config: InfluxConfig,
    buckets: dict[str, Any],
    role: str,
    secrets_to: Path,
) -> str:
    api = client.authorizations_api()
    organization = buckets[PLACES[0]].org_id
    needed = [
        _api.Permission(
            action, _api.PermissionResource("buckets", buckets[place].id, org_id=organization)
        )
        for place, rights in ROLES[role].items()
        for action in rights
    ]
    description = f"Heptad {role}: {describe_rights(role, config.buckets)}"
    mine = [a for a in api.find_authorizations(org_id=organization) if a.description == description]
    path = secrets_to / f"{role}.token"
    if mine:
        return _judge_token(mine[0], needed, role, path)
    with new_secret_file(path) as file:
        token = _api.Authorization(org_id=organization, permissions=needed, description=description)
        made = api.create_authorization(authorization=token)
        remember_secret(str(made.token))
        try:
            file.write(f"{made.token}\n")
            file.flush()
        except OSError:
            api.delete_authorization(made)  # nobody will ever know its text
            raise
    return f"token {role}: created, it is in {path}"


def _judge_token(token: Any, needed: list[Any], role: str, path: Path) -> str:
    renew = f"delete it (influx auth delete --id {token.id}) and run this again"
    if token.status != "active":
        raise SetupError(
            f"token {role}: there, but not active; activate it (influx auth active --id "
            f"{token.id}), or {renew}"
        )
    has = {_right(permission) for permission in token.permissions or ()}
    if has != {_right(permission) for permission in needed}:
        raise SetupError(
            f"token {role}: there, but with other rights than it needs (a bucket was made anew?); "
            + renew
        )
    lost = (
        "" if path.exists() else f"; its text is not in {path} and is shown once: if lost, {renew}"
    )
    return f"token {role}: there already{lost}"


def _right(permission: Any) -> tuple[str, str, str]:
    resource = permission.resource
    return (permission.action, resource.type, resource.id or "")

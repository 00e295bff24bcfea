"""Set up the server: three buckets with their retention, and least permissions for each role.

Every resource is looked up before it is created, so running it again changes nothing. Retention
follows InfluxDB's references: 1.x has it in the default retention policy of a database, 2.x in a
bucket's retention rule, 3.x in the database, where Core cannot change it later.
"""

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from heptad.cli.influxdb_admin import organization
from heptad.cli.influxdb_admin.roles import (
    PLACES,
    ROLES,
    SetupError,
    new_secret_file,
    old_secret_file,
)
from heptad.core.influxdb.client import InfluxConnection, InfluxResponse
from heptad.core.influxdb.influxql import quote_name, quote_text
from heptad.core.influxdb.retention import default_policy, format_retention, read_duration
from heptad.core.influxdb.statement import (
    FORBIDDEN,
    MISSING,
    OK,
    UNAUTHORIZED,
    StatementError,
    execute,
    foreign,
)
from heptad.core.telemetry.masking import remember_secret

_CONFLICT: Final = 409
_CREATED: Final = 201
_DATABASE: Final = "/api/v3/configure/database"
_LACKS_RIGHT: Final = re.compile(r"\w+:\S+ is unauthorized")
"""2.x, also with status 401: the token is valid, but lacks a permission such as `write:orgs/ID`."""
_GRANTS: Final = {("read",): "READ", ("write",): "WRITE", ("read", "write"): "ALL"}


def prepare(
    connection: InfluxConnection, secrets_to: Path | None = None, *, renew: bool = False
) -> Iterator[str]:
    """Create what is missing, and yield what was done; raise StoreError with the remedy.

    ``secrets_to``: a directory for a token of each role (2.x), or a user's password (1.x).
    ``renew``: replace valid ones too; the old ones stop working.
    """
    if connection.generation == 1:
        work = _prepare_1(connection, secrets_to, renew=renew)
    elif connection.generation == 3:
        work = _prepare_3(connection, secrets_to)
    else:
        work = organization.prepare(connection, secrets_to, renew=renew)
    try:
        yield from work
    except StatementError as error:
        raise SetupError(f"{connection.url}: {_explain(error)}") from error


def retention(connection: InfluxConnection, place: str) -> int:
    """Return the configured retention of the bucket in seconds."""
    return int(getattr(connection.config.retention, place))


def databases_3(connection: InfluxConnection) -> dict[str, int | None]:
    """3.x: return database → retention in seconds; 0 is forever, None if unknown.

    Raise StatementError or Unreachable.
    """
    rows = _rows(connection.request("GET", _DATABASE, {"format": "json"}))
    known: dict[str, int | None] = {str(row.get("iox::database", "")): None for row in rows}
    query = "SELECT database_name, retention_period_ns FROM system.databases WHERE NOT deleted"
    asked = {"db": "_internal", "q": query, "format": "json"}
    try:
        rows = _rows(connection.request("GET", "/api/v3/query_sql", asked))
    except StatementError:
        return known  # an older version without this table, which is only informative
    for row in rows:
        name, keep = str(row.get("database_name")), row.get("retention_period_ns") or 0
        if name in known and isinstance(keep, int):
            known[name] = keep // 10**9
    return known


def _prepare_1(
    connection: InfluxConnection, secrets_to: Path | None, *, renew: bool
) -> Iterator[str]:
    # 1.x keeps the shard length of a policy with another duration; 0s makes it choose a new one
    names = connection.config.buckets
    for place in PLACES:
        name, wanted = getattr(names, place), retention(connection, place)
        policy = default_policy(connection, name)
        if policy is None:
            text = f'CREATE DATABASE {quote_name(name)} WITH DURATION {wanted}s NAME "autogen"'
            execute(connection, text)
            yield f"database {name}: created, retention {format_retention(wanted)}"
            continue
        if not policy:
            raise SetupError(
                f"database `{name}` has no default retention policy; make one its default: "
                f'ALTER RETENTION POLICY "…" ON {quote_name(name)} DEFAULT'
            )
        kept = read_duration(policy)
        if kept == wanted:
            yield f"database {name}: unchanged, retention {format_retention(kept)}"
            continue
        execute(
            connection,
            f"ALTER RETENTION POLICY {quote_name(str(policy.get('name')))} ON {quote_name(name)} "
            f"DURATION {wanted}s SHARD DURATION 0s",
        )
        yield (
            f"database {name}: retention changed from {format_retention(kept)} to "
            f"{format_retention(wanted)}"
        )
    yield from _prepare_users(connection, secrets_to, renew=renew)


def _prepare_users(
    connection: InfluxConnection, secrets_to: Path | None, *, renew: bool
) -> Iterator[str]:
    if secrets_to is None:
        yield "users: none created; --secrets-to DIR creates one for each role"
        return
    there = {str(row.get("user")): row.get("admin") for row in execute(connection, "SHOW USERS")}
    for role, rights in ROLES.items():
        user = f"heptad_{role}"
        if there.get(user):
            raise SetupError(
                f"user `{user}` is an administrator; revoke its privileges: REVOKE ALL "
                f"PRIVILEGES FROM {quote_name(user)}"
            )
        told, path = "unchanged", secrets_to / f"{role}.password"
        if user not in there:
            told = "created, " + _set_password(
                connection, "CREATE USER {} WITH PASSWORD {}", user, path
            )
        elif renew:
            told = "renewed, " + _set_password(connection, "SET PASSWORD FOR {} = {}", user, path)
        elif not path.exists():
            told += f"; {path} does not contain its password; if it is lost, --renew sets a new one"
        for place, needed in rights.items():
            on = f"ON {quote_name(getattr(connection.config.buckets, place))}"
            execute(connection, f"GRANT {_GRANTS[needed]} {on} TO {quote_name(user)}")
        yield f"user {user}: {told}"
    if not connection.config.username:
        yield (
            "users have no effect until the server has auth-enabled = true (influxdb.conf, [http])"
        )


def _set_password(connection: InfluxConnection, statement: str, user: str, path: Path) -> str:
    password = secrets.token_urlsafe(32)
    remember_secret(password)
    moved = f" (the previous file is now {old_secret_file(path)})" if path.exists() else ""
    with new_secret_file(path) as file:
        file.write(password + "\n")
        file.flush()
        execute(connection, statement.format(quote_name(user), quote_text(password)))
    return f"password stored in {path}{moved}"


def _prepare_3(connection: InfluxConnection, secrets_to: Path | None) -> Iterator[str]:
    known = databases_3(connection)
    for place in PLACES:
        name, wanted = getattr(connection.config.buckets, place), retention(connection, place)
        if name not in known:
            body = json.dumps({"db": name, "retention_period": format_retention(wanted)}).encode()
            headers = {"Content-Type": "application/json"}
            answer = connection.request("POST", _DATABASE, body=body, headers=headers)
            if answer.status in (OK, _CREATED):
                yield f"database {name}: created, retention {format_retention(wanted)}"
                continue
            if answer.status != _CONFLICT:
                raise StatementError(answer.status, answer.text)
        kept = known.get(name)
        if kept is None or kept == wanted:
            told = (
                "unknown (the server does not show it)" if kept is None else format_retention(kept)
            )
            yield f"database {name}: unchanged, retention {told}"
        else:
            yield (
                f"database {name}: unchanged, retention {format_retention(kept)} instead of "
                f"{format_retention(wanted)}; {HOW_TO_CHANGE_3.format(name=name)}"
            )
    yield from _explain_tokens_3(connection, secrets_to)


def _explain_tokens_3(connection: InfluxConnection, secrets_to: Path | None) -> Iterator[str]:
    yield (
        "tokens: 3 Core has only administrator tokens (influxdb3 create token --admin), so "
        "every host receives full access. 3 Enterprise has tokens with least privileges:"
    )
    for role, rights in ROLES.items():
        names = connection.config.buckets
        permissions = " ".join(
            f'--permission "db:{getattr(names, place)}:{",".join(needed)}"'
            for place, needed in rights.items()
        )
        yield f"  influxdb3 create token {permissions} --name heptad-{role}"
    if secrets_to is not None:
        yield f"{secrets_to}: no secrets were written"


HOW_TO_CHANGE_3: Final = (
    "3 Core cannot change the retention: set `influxdb.retention` to the current value, or use "
    "another database; 3 Enterprise: influxdb3 update database --retention-period … --database "
    "{name}"
)


def _rows(answer: InfluxResponse) -> list[dict[str, Any]]:
    if answer.status != OK:
        raise StatementError(answer.status, answer.text)
    try:
        rows = json.loads(answer.body)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise foreign(answer)
    return rows


def _explain(error: StatementError) -> str:
    said = f"status {error.status}: {error.text}"
    if "create admin user first" in error.text:
        return (
            f"{said}; create an administrator first: CREATE USER … WITH PASSWORD … WITH ALL "
            "PRIVILEGES"
        )
    if error.status == FORBIDDEN or _LACKS_RIGHT.search(error.text):
        return f"{said}; use an administrator's token or user"
    if error.status == UNAUTHORIZED:
        return f"{said}; check `influxdb.token` (2.x, 3.x) or `username` and `password` (1.x)"
    if error.status == MISSING:
        return f"{said}; check `influxdb.url`, and `influxdb.version` if it is set"
    return said

"""Whether this host can do its work with the server: each thing that it needs, tried.

Nothing is written: an empty write is answered after the rights were looked at. 1.x (1.6.7, tried)
says 204, or 401, 403 and 404 as to a write with lines; 2.x says 400 ("writing requires points")
where it would take lines. 3.x makes a database that is written to, so that one has to be there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from heptad.influxdb.connection import Connection, Unreachable
from heptad.influxdb.influxql import quote_name
from heptad.influxdb.retention import default_policy, read_duration, read_rule
from heptad.influxdb.roles import PLACES, ROLES, describe_rights
from heptad.influxdb.setup import (
    HOW_TO_CHANGE_3,
    databases_3,
    format_retention,
    retention,
)
from heptad.influxdb.statement import (
    FORBIDDEN,
    MISSING,
    OK,
    UNAUTHORIZED,
    Refused,
    execute,
)
from heptad.schema import TYPES, Measurement
from heptad.store import StoreError

_NO_CONTENT: Final = 204
_BAD_REQUEST: Final = 400
_MOST_OFFSET: Final = 60
_RUN_SETUP: Final = "`heptad influxdb setup`, run as an administrator, "


class Result(NamedTuple):
    """One thing that was tried; ``text`` ends with the remedy where it is a fault."""

    state: Literal["ok", "note", "fault"]
    text: str


class _Tried(NamedTuple):
    """``right``: None where it cannot be told; ``missing``: the bucket is not there."""

    right: bool | None
    status: int = OK
    text: str = ""
    missing: bool = False


def check(
    connection: Connection, schema: Mapping[str, Sequence[Measurement]], role: str | None = None
) -> Iterator[Result]:
    """Try everything that ``role`` needs; without one, tell for which roles the rights suffice.

    ``schema``: what Heptad writes to each bucket. Raises nothing of the server's.
    """
    try:
        yield from _check_server(connection)
        if connection.generation == 2 and not connection.config.org:
            yield Result("fault", "influxdb.org is missing; 2.x writes to an organization's bucket")
            return
        rights: dict[tuple[str, str], _Tried] = {}
        for place in PLACES:
            rights[place, "read"] = _try_reading(connection, place)
            rights[place, "write"] = _try_writing(connection, place, rights[place, "read"])
            if rights[place, "write"].missing and connection.generation == 2:
                # its answers about reading do not tell one from the other
                rights[place, "read"] = rights[place, "write"]
        if refusal := _explain_refusal(connection, list(rights.values())):
            yield Result("fault", refusal)
            return
        for place in PLACES:
            if rights[place, "read"].right:
                yield from _check_types(connection, place, schema[place])
                yield from _check_retention(connection, place)
        yield from _check_roles(connection, rights, role)
    except StoreError as error:
        yield Result("fault", str(error))


def _check_server(connection: Connection) -> Iterator[Result]:
    """Only what answered is told as ok."""
    try:
        version = connection.ask_version()
    except Unreachable:
        if connection.config.version == "auto":
            raise
        version = ""
    answer = connection.request("GET", "/ping", authorize=False)
    used = f"used as {connection.generation}.x"
    if version:
        yield Result("ok", f"{connection.url}: InfluxDB {version}, {used}")
    else:
        told = f"status {answer.status} and no version of InfluxDB's, {used} as configured"
        yield Result("note", f"{connection.url}: {told}")
    yield _check_clock(answer.clock_offset)


def _check_clock(offset: float | None) -> Result:
    if offset is None:
        return Result("note", "clock: not compared, for the server's answer has no Date")
    if abs(offset) > _MOST_OFFSET:
        ahead = "ahead of" if offset > 0 else "behind"
        return Result(
            "fault",
            f"this host's clock is {abs(offset):.0f} s {ahead} the server's, and reports do not "
            "wait for such a host; set the clocks (timedatectl set-ntp true)",
        )
    return Result("ok", f"clock: within {max(1, round(abs(offset)))} s of the server's")


def _name(connection: Connection, place: str) -> str:
    return str(getattr(connection.config.buckets, place))


def _try_reading(connection: Connection, place: str) -> _Tried:
    name = _name(connection, place)
    try:
        if not _is_there(connection, name):
            return _Tried(right=False, text="the server has none of that name", missing=True)
        execute(connection, "SHOW MEASUREMENTS LIMIT 1", name)
    except Refused as error:
        gone = "not found" in error.text.lower() or error.status == MISSING
        # 2.x hides what may not be read, so that it looks like a bucket that is not there
        missing = gone and connection.generation != 2
        return _Tried(right=False, status=error.status, text=error.text, missing=missing)
    return _Tried(right=True)


def _is_there(connection: Connection, name: str) -> bool:
    """False only where it is certain; raises Refused."""
    if connection.generation == 1:
        return default_policy(connection, name) is not None
    if connection.generation == 3:
        with suppress(Refused):  # only administrators may list them
            return name in databases_3(connection)
    return True


def _try_writing(connection: Connection, place: str, reading: _Tried) -> _Tried:
    if reading.missing:
        return reading
    name = _name(connection, place)
    path, query = "/write", {"db": name, "precision": "ns"}
    if connection.generation != 1:
        path = "/api/v2/write"
        query = {"org": connection.config.org, "bucket": name, "precision": "ns"}
    answer = connection.request("POST", path, query, b"")
    status, text = answer.status, answer.text
    if status in (_NO_CONTENT, _BAD_REQUEST) and not answer.is_page:
        return _Tried(right=True)
    right = False if status in (UNAUTHORIZED, FORBIDDEN, MISSING) else None
    return _Tried(right=right, status=status, text=text, missing=status == MISSING)


def _explain_refusal(connection: Connection, tried: Sequence[_Tried]) -> str:
    """What is wrong where the server does not know this host at all; else nothing."""
    text = tried[0].text
    if "create admin user first" in text:
        return (
            f"{connection.url}: authentication is on and there is no user ({text!r}); make an "
            "administrator: CREATE USER … WITH PASSWORD … WITH ALL PRIVILEGES"
        )
    if any(one.status != UNAUTHORIZED for one in tried):
        return ""
    said = f"{connection.url} refuses whom this host says it is ({text!r})"
    config = connection.config
    if connection.generation == 1:
        return f"{said}; see `influxdb.username` and `influxdb.password` or `password_file`"
    if config.token or config.token_file:
        return (
            f"{said}; the token is wrong, expired or deleted: see `influxdb.token` or `token_file`"
        )
    return f"{said}; it wants a token: name `influxdb.token_file`"


def _check_types(
    connection: Connection, place: str, measurements: Sequence[Measurement]
) -> Iterator[Result]:
    declared = {m.name: m for m in measurements}
    names = ", ".join(map(quote_name, declared))
    try:
        rows = execute(connection, f"SHOW FIELD KEYS FROM {names}", _name(connection, place))
    except Refused as error:
        if "not found" not in error.text.lower():
            yield Result("note", f"{place}: the types of its fields are not told ({error.text})")
        return
    for row in rows:
        measurement = declared.get(row["measurement"])
        field = measurement.fields.get(str(row.get("fieldKey"))) if measurement else None
        if field is not None and row.get("fieldType") != TYPES[field.type]:
            yield Result(
                "fault",
                f"{_name(connection, place)}: the field `{row['fieldKey']}` of "
                f"`{row['measurement']}` is of type {row.get('fieldType')!r} there, and Heptad "
                f"writes {TYPES[field.type]}, which the server refuses; give Heptad a bucket of "
                f"its own (`influxdb.buckets.{place}`), or drop that measurement",
            )


def _check_retention(connection: Connection, place: str) -> Iterator[Result]:
    """Where it may be known: only an administrator or reader is told."""
    kept: int | None = None
    with suppress(Refused):
        kept = _ask_retention(connection, _name(connection, place))
    wanted = retention(connection, place)
    if kept is not None and kept != wanted:
        remedy = _RUN_SETUP + "changes it"
        if connection.generation == 3:
            remedy = HOW_TO_CHANGE_3.format(name=_name(connection, place))
        yield Result(
            "fault",
            f"{_name(connection, place)}: kept {format_retention(kept)}, and "
            f"`influxdb.retention.{place}` is {format_retention(wanted)}; {remedy}",
        )


def _ask_retention(connection: Connection, name: str) -> int | None:
    if connection.generation == 1:
        policy = default_policy(connection, name)
        return read_duration(policy) if policy else None
    if connection.generation == 3:
        return databases_3(connection).get(name)
    return read_rule(connection, name, "everySeconds")


def _check_roles(
    connection: Connection, rights: Mapping[tuple[str, str], _Tried], role: str | None
) -> Iterator[Result]:
    lacks: dict[str, list[tuple[str, str]]] = {
        name: [
            (place, right) for place in of for right in of[place] if not rights[place, right].right
        ]
        for name, of in ROLES.items()
        if role in (None, name)
    }
    for name, lacking in lacks.items():
        if not lacking:
            yield Result("ok", f"{name}: may {describe_rights(name, connection.config.buckets)}")
        elif role is None:
            what = ", ".join(f"{right} {_name(connection, place)}" for place, right in lacking)
            yield Result("note", f"{name}: may not {what}")
    told = set().union(*lacks.values()) if all(lacks.values()) else set()
    if role is None:
        told |= {what for what, tried in rights.items() if tried.right is None}
    # a bucket that is not there is told once
    yield from dict.fromkeys(
        _explain_lack(connection, *what, tried) for what, tried in rights.items() if what in told
    )


def _explain_lack(connection: Connection, place: str, right: str, tried: _Tried) -> Result:
    name = _name(connection, place)
    if tried.missing:
        return Result("fault", f"{name}: is not there ({tried.text}); {_RUN_SETUP}makes it")
    verb = "read" if right == "read" else "written"
    remedy = f"{_RUN_SETUP}makes a token or user with the rights that each role needs"
    if tried.right is None:
        remedy = (
            "see the server's log, and that `influxdb.url` leads to it and not to a proxy's page"
        )
    return Result(
        "fault", f"{name}: cannot be {verb} (status {tried.status}: {tried.text}); {remedy}"
    )

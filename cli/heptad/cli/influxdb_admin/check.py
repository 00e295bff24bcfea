"""Check from this host everything that it needs from the server.

Nothing is deleted, and no test data remains; see ``rights`` for how permissions are tested.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple

from heptad.cli.influxdb_admin.database_mapping import find_differences
from heptad.cli.influxdb_admin.rights import Tried, try_reading, try_writing
from heptad.cli.influxdb_admin.roles import PLACES, RIGHTS, ROLES, Right, describe_rights
from heptad.cli.influxdb_admin.setup import HOW_TO_CHANGE_3, databases_3, retention
from heptad.core.influxdb.client import InfluxConnection, Unreachable
from heptad.core.influxdb.influxql import quote_name
from heptad.core.influxdb.retention import (
    default_policy,
    format_retention,
    read_duration,
    read_rule,
)
from heptad.core.influxdb.statement import UNAUTHORIZED, StatementError, execute
from heptad.core.store.api import StoreError
from heptad.core.store.measurements import TYPES, Measurement

_MOST_OFFSET: Final = 60
_RUN_SETUP: Final = "`heptad influxdb setup`, run as an administrator, "


class CheckResult(NamedTuple):
    """The result of one check; the ``text`` of a fault ends with the remedy."""

    state: Literal["ok", "note", "fault"]
    text: str


def check(
    connection: InfluxConnection,
    schema: Mapping[str, Sequence[Measurement]],
    role: str | None = None,
) -> Iterator[CheckResult]:
    """Check everything that ``role`` needs; without a role, list the roles that are possible.

    ``schema``: what Heptad writes to each bucket. Errors of the server are results, not exceptions.
    """
    try:
        yield from _check_server(connection)
        if connection.generation == 2 and not connection.config.org:
            yield CheckResult(
                "fault", "influxdb.org is not set; 2.x requires the organization of the buckets"
            )
            return
        if connection.generation == 2:
            yield from (CheckResult("fault", told) for told in find_differences(connection))
        rights: dict[tuple[str, str], Tried] = {}
        readings: list[Tried] = []
        for place in PLACES:
            bucket, measurements = _name(connection, place), schema[place]
            reading = try_reading(connection, bucket, measurements)
            writing = try_writing(connection, bucket, measurements[0], reading)
            readings.append(reading)
            # responses to reads do not always reveal a missing bucket
            rights[place, "read"] = writing if writing.missing else reading
            rights[place, "write"] = writing
        if refusal := _explain_refusal(connection, [*readings, *rights.values()]):
            yield CheckResult("fault", refusal)
            return
        for place in PLACES:
            if rights[place, "read"].right:
                yield from _check_types(connection, place, schema[place])
                yield from _check_retention(connection, place)
        yield from _check_roles(connection, rights, role)
    except StoreError as error:
        yield CheckResult("fault", str(error))


def _check_server(connection: InfluxConnection) -> Iterator[CheckResult]:
    """Yield ``ok`` only for what responded."""
    try:
        version = connection.ask_version()
    except Unreachable:
        if connection.config.version == "auto":
            raise
        version = ""
    answer = connection.request("GET", "/ping", authorize=False)
    used = f"used as {connection.generation}.x"
    if version:
        yield CheckResult("ok", f"{connection.url}: InfluxDB {version}, {used}")
    else:
        told = f"status {answer.status} without a version of InfluxDB, {used} as configured"
        yield CheckResult("note", f"{connection.url}: {told}")
    yield _check_clock(answer.clock_offset)


def _check_clock(offset: float | None) -> CheckResult:
    if offset is None:
        return CheckResult("note", "clock: not compared, because the response has no Date header")
    if abs(offset) > _MOST_OFFSET:
        ahead = "ahead of" if offset > 0 else "behind"
        return CheckResult(
            "fault",
            f"the clock of this host is {abs(offset):.0f} s {ahead} the server's; reports do "
            "not wait for a host with a wrong clock; synchronize the clocks (timedatectl "
            "set-ntp true)",
        )
    return CheckResult("ok", f"clock: within {max(1, round(abs(offset)))} s of the server's")


def _name(connection: InfluxConnection, place: str) -> str:
    return str(getattr(connection.config.buckets, place))


def _explain_refusal(connection: InfluxConnection, tried: Sequence[Tried]) -> str:
    """Return the cause if the server rejects this host altogether, else an empty text."""
    text = tried[0].text
    if "create admin user first" in text:
        return (
            f"{connection.url}: authentication is enabled but no user exists ({text!r}); "
            "create an administrator: CREATE USER … WITH PASSWORD … WITH ALL PRIVILEGES"
        )
    if any(one.status != UNAUTHORIZED for one in tried):
        return ""
    said = f"{connection.url} rejects the credentials of this host ({text!r})"
    config = connection.config
    if connection.generation == 1:
        return f"{said}; check `influxdb.username` and `influxdb.password` or `password_file`"
    if config.token or config.token_file:
        return (
            f"{said}; the token is wrong, expired or deleted: check `influxdb.token` or "
            "`token_file`"
        )
    return f"{said}; the server requires a token: set `influxdb.token_file`"


def _check_types(
    connection: InfluxConnection, place: str, measurements: Sequence[Measurement]
) -> Iterator[CheckResult]:
    declared = {m.name: m for m in measurements}
    names = ", ".join(map(quote_name, declared))
    try:
        rows = execute(connection, f"SHOW FIELD KEYS FROM {names}", _name(connection, place))
    except StatementError as error:
        if "not found" not in error.text.lower():
            yield CheckResult(
                "note",
                (f"{place}: the server does not show the types of the fields ({error.text})"),
            )
        return
    for row in rows:
        measurement = declared.get(row["measurement"])
        field = measurement.fields.get(str(row.get("fieldKey"))) if measurement else None
        if field is not None and row.get("fieldType") != TYPES[field.type]:
            yield CheckResult(
                "fault",
                f"{_name(connection, place)}: the field `{row['fieldKey']}` of "
                f"`{row['measurement']}` has the type {row.get('fieldType')!r}, but Heptad "
                f"writes {TYPES[field.type]}, which the server rejects; use another bucket for "
                f"Heptad (`influxdb.buckets.{place}`), or drop the measurement and its history",
            )


def _check_retention(connection: InfluxConnection, place: str) -> Iterator[CheckResult]:
    """Check the retention, which the server shows only to administrators and readers."""
    kept: int | None = None
    with suppress(StatementError):
        kept = _ask_retention(connection, _name(connection, place))
    wanted = retention(connection, place)
    if kept is not None and kept != wanted:
        remedy = _RUN_SETUP + "changes it"
        if connection.generation == 3:
            remedy = HOW_TO_CHANGE_3.format(name=_name(connection, place))
        yield CheckResult(
            "fault",
            f"{_name(connection, place)}: the retention is {format_retention(kept)}, but "
            f"`influxdb.retention.{place}` is {format_retention(wanted)}; {remedy}",
        )


def _ask_retention(connection: InfluxConnection, name: str) -> int | None:
    if connection.generation == 1:
        policy = default_policy(connection, name)
        return read_duration(policy) if policy else None
    if connection.generation == 3:
        return databases_3(connection).get(name)
    return read_rule(connection, name, "everySeconds")


def _check_roles(
    connection: InfluxConnection, rights: Mapping[tuple[str, str], Tried], role: str | None
) -> Iterator[CheckResult]:
    lacks: dict[str, list[tuple[str, str]]] = {
        name: [
            (place, right) for place in of for right in of[place] if not rights[place, right].right
        ]
        for name, of in ROLES.items()
        if role in (None, name)
    }
    for name, lacking in lacks.items():
        if not lacking:
            may = describe_rights(ROLES[name], connection.config.buckets)
            yield CheckResult("ok", f"{name}: may {may}")
            if role is not None:
                yield from _check_excess(connection, rights, name)
        elif role is None:
            what = ", ".join(f"{right} {_name(connection, place)}" for place, right in lacking)
            yield CheckResult("note", f"{name}: may not {what}")
    told = set().union(*lacks.values()) if all(lacks.values()) else set()
    if role is None:
        told |= {what for what, tried in rights.items() if tried.right is None or tried.missing}
    # a missing bucket is reported once
    yield from dict.fromkeys(
        _explain_lack(connection, *what, tried) for what, tried in rights.items() if what in told
    )


def _check_excess(
    connection: InfluxConnection, rights: Mapping[tuple[str, str], Tried], role: str
) -> Iterator[CheckResult]:
    """Check that what the role must not do is rejected."""
    buckets = connection.config.buckets
    beyond: dict[bool | None, dict[str, list[Right]]] = {True: {}, False: {}, None: {}}
    for place in PLACES:
        for right in RIGHTS:
            tried = rights[place, right]
            if right not in ROLES[role].get(place, ()) and not tried.missing:
                beyond[tried.right].setdefault(place, []).append(right)
    if beyond[False]:
        yield CheckResult(
            "ok", (f"{role}: may not {describe_rights(beyond[False], buckets)}, as intended")
        )
    if beyond[True]:
        may = f"{role}: may also {describe_rights(beyond[True], buckets)}"
        if connection.generation == 3 or not (config := connection.config).org + config.username:
            yield CheckResult("note", f"{may}, because this server has no access control")
        else:
            yield CheckResult(
                "fault",
                f"{may}, and so may anyone who steals the credentials of this host; "
                f"{_RUN_SETUP}with --secrets-to DIR, creates a token or user with least "
                "privileges",
            )


def _explain_lack(
    connection: InfluxConnection, place: str, right: str, tried: Tried
) -> CheckResult:
    name = _name(connection, place)
    if tried.missing:
        return CheckResult(
            "fault", (f"{name}: does not exist ({tried.text}); {_RUN_SETUP}creates it")
        )
    verb = "read" if right == "read" else "written"
    remedy = f"{_RUN_SETUP}creates a token or user with the permissions that each role requires"
    if right == "read" and connection.generation == 2:
        remedy += (
            f"; 2.x returns the same error if the database `{name}` is mapped to another bucket"
        )
    if tried.right is None:
        remedy = tried.remedy or (
            "check the log of the server, and that `influxdb.url` is its URL and not that "
            "of a proxy"
        )
    return CheckResult(
        "fault", f"{name}: cannot be {verb} (status {tried.status}: {tried.text}); {remedy}"
    )

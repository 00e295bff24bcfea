"""2.x: check that writes and reads use the same bucket.

A write specifies its organization, but an InfluxQL query reads from that of the token, whatever it
specifies; a bucket is written by its name, and read through the database with that name. Only an
administrator's token can read enough to compare them; with any other token, requests fail if they
differ.
"""

from collections.abc import Iterator
from contextlib import suppress

from heptad.cli.influxdb_admin.resources import Organization, Resources, Token
from heptad.core.influxdb.client import InfluxConnection
from heptad.core.influxdb.statement import StatementError


def find_differences(connection: InfluxConnection) -> Iterator[str]:
    """Yield the differences with remedies; raise StoreError if the organization does not exist."""
    with suppress(StatementError):  # a server without this API, or an invalid token
        resources = Resources(connection)
        organization = resources.find_organization(connection.config.org)
        if organization is not None:
            yield from _compare_organizations(connection, resources, organization)
            for name in connection.config.buckets.names():
                yield from _compare_buckets(resources, organization, name)


def _compare_organizations(
    connection: InfluxConnection, resources: Resources, written: Organization
) -> Iterator[str]:
    tokens = resources.list_tokens()
    own = [one for one in tokens if one.text and one.text == connection.config.secret("token")]
    # if tokens are not shown: only an operator's token sees every organization
    read = {one.organization for one in own or filter(_is_operators, tokens)}
    if read and written.id not in read:
        names = {one.id: one.name for one in resources.list_organizations()}
        told = ", ".join(f"`{names.get(one, one)}`" for one in sorted(read))
        yield (
            f"`influxdb.org` is `{written.name}`, but the token belongs to the organization "
            f"{told}, so Heptad would write to one and read from the other; set `influxdb.org` "
            f"to the organization of the token, or use a token of `{written.name}`"
        )


def _is_operators(token: Token) -> bool:
    return token.is_operators


def _compare_buckets(resources: Resources, organization: Organization, name: str) -> Iterator[str]:
    bucket = resources.find_bucket(organization.id, name)
    database = resources.find_database(organization.id, name)
    if bucket is not None and database is not None and database.bucket != bucket.id:
        yield (
            f"{name}: Heptad writes to this bucket but reads from another one "
            f"({database.bucket}), because the database `{name}` is mapped to it; delete that "
            f"mapping (influx v1 dbrp delete --id {database.id}), or use another bucket in "
            "`influxdb.buckets`"
        )

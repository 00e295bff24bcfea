"""The data sources of the dashboards, in the form of Grafana's API.

The settings are those of Grafana's documentation about Prometheus and InfluxDB. Secrets are only in
``secureJsonData``, which Grafana encrypts and never shows again.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from heptad.cli.grafana import GrafanaError
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.small_file import read_file

UIDS: Final = {
    "prometheus": "heptad-prometheus",
    "events": "heptad-events",
    "reports": "heptad-reports",
}
"""Role → the uid of the data source in the dashboards."""
KINDS: Final = {"prometheus": "prometheus", "events": "influxdb", "reports": "influxdb"}
"""Role → the type of its data source."""
_LARGEST_FILE: Final = 64 * 1024


def prometheus_datasource(
    url: str, scrape_interval: str, user: str = "", password: str = ""
) -> dict[str, Any]:
    """Return a data source for the Prometheus at ``url``, with basic auth if ``user`` is set.

    ``scrape_interval``, such as ``15s``: how often Prometheus scrapes; Grafana derives the shortest
    interval for a rate from it.
    """
    return {
        "uid": UIDS["prometheus"],
        "name": "Heptad metrics",
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "basicAuth": bool(user),
        "basicAuthUser": user,
        "jsonData": {"httpMethod": "POST", "timeInterval": scrape_interval},
        "secureJsonData": {"basicAuthPassword": password} if user else {},
    }


def influxdb_datasources(config: InfluxConfig) -> list[dict[str, Any]]:
    """Return data sources for events and reports, queried with InfluxQL; raise GrafanaError.

    A query is sent in the body of a request, never in a URL, which servers and proxies log. 2.x,
    and 3.x at ``/query``, accept the scheme ``Token``; 1.x uses user and password.
    """
    settings: dict[str, Any] = {"version": "InfluxQL", "httpMode": "POST"}
    secrets: dict[str, str] = {}
    try:
        token, password = config.secret("token"), config.secret("password")
    except OSError as error:
        raise GrafanaError(f"{error.filename}: {error.strerror}") from error
    if config.username:
        secrets["password"] = password
    elif token:
        settings["httpHeaderName1"] = "Authorization"
        secrets["httpHeaderValue1"] = f"Token {token}"
    if config.tls.insecure_skip_verify:
        settings["tlsSkipVerify"] = True
    elif config.tls.ca_file:
        settings["tlsAuthWithCACert"] = True
        secrets["tlsCACert"] = read_small(config.tls.ca_file)
    return [
        {
            "uid": UIDS[place],
            "name": f"Heptad {place}",
            "type": "influxdb",
            "access": "proxy",
            "url": config.url.rstrip("/"),
            "user": config.username,
            # Grafana up to 9.3 reads it here, later versions in jsonData
            "database": getattr(config.buckets, place),
            "jsonData": {**settings, "dbName": getattr(config.buckets, place)},
            "secureJsonData": secrets,
        }
        for place in ("events", "reports")
    ]


def choose(used: Mapping[str, str], there: Mapping[str, str], made: Collection[str]) -> list[str]:
    """Check the data sources of the dashboards; return the roles that have none.

    ``used``: role → the uid set by the user. ``there``: uid → type of each data source in Grafana.
    ``made``: uids that this run creates. Raise GrafanaError with the remedy.
    """
    for what, uid in used.items():
        fitting = ", ".join(sorted(one for one, kind in there.items() if kind == KINDS[what]))
        others = f"data sources of type {KINDS[what]}: {fitting or 'none'}"
        if uid not in {*there, *made}:
            raise GrafanaError(
                f"--use {what}={uid}: Grafana has no data source with this uid; {others}"
            )
        if there.get(uid, KINDS[what]) != KINDS[what]:
            raise GrafanaError(
                f"--use {what}={uid}: the data source has the wrong type, {there[uid]}; {others}"
            )
    return [
        what
        for what, uid in UIDS.items()
        if what not in used and uid not in made and uid not in there
    ]


def read_small(path: str | Path) -> str:
    """Return the content of a secret or certificate file, up to 64 KiB; raise GrafanaError."""
    try:
        content = read_file(Path(path), _LARGEST_FILE).decode("utf-8", "replace").strip()
    except OSError as error:
        raise GrafanaError(
            f"{path}: {error.strerror}; check that the file exists and is readable"
        ) from error
    if not content:
        raise GrafanaError(f"{path}: is empty; check that it is the correct file")
    return content

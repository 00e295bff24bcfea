"""The data sources that the dashboards read, as Grafana's API takes them.

Their settings are those of Grafana's pages about Prometheus and InfluxDB. What is secret is in
``secureJsonData`` alone, which Grafana encrypts and never shows again.
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
"""What is read → the uid of the data source, as the dashboards name it."""
KINDS: Final = {"prometheus": "prometheus", "events": "influxdb", "reports": "influxdb"}
"""What is read → the type of its data source."""
_LARGEST_FILE: Final = 64 * 1024


def prometheus_datasource(
    url: str, scrape_interval: str, user: str = "", password: str = ""
) -> dict[str, Any]:
    """A Prometheus at ``url``, with basic authentication where a user is named.

    ``scrape_interval``, such as ``15s``: how often Prometheus scrapes, from which Grafana takes
    the shortest span that a rate can be of.
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
    """One for the events and one for the reports, asked in InfluxQL; raises GrafanaError.

    A query is sent in the body of a request, never in a URL, which servers and proxies log. The
    scheme ``Token`` is understood by 2.x and by 3.x at ``/query``; 1.x takes user and password.
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
            # Grafana up to 9.3 reads it here, newer ones in jsonData
            "database": getattr(config.buckets, place),
            "jsonData": {**settings, "dbName": getattr(config.buckets, place)},
            "secureJsonData": secrets,
        }
        for place in ("events", "reports")
    ]


def choose(used: Mapping[str, str], there: Mapping[str, str], made: Collection[str]) -> list[str]:
    """Check the data sources that dashboards will read; return what has none yet.

    ``used``: what is read → the uid that a person named. ``there``: uid → type of each data source
    in Grafana. ``made``: uids that this run makes. Raises GrafanaError with the remedy.
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
    """What a file of a secret or certificates holds, up to 64 KiB; raises GrafanaError."""
    try:
        content = read_file(Path(path), _LARGEST_FILE).decode("utf-8", "replace").strip()
    except OSError as error:
        raise GrafanaError(
            f"{path}: {error.strerror}; check that the file exists and is readable"
        ) from error
    if not content:
        raise GrafanaError(f"{path}: is empty; check that it is the correct file")
    return content

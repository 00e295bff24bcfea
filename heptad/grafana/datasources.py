"""The data sources that the dashboards read, as Grafana's API takes them.

Their settings are those of Grafana's pages about Prometheus and InfluxDB. What is secret is in
``secureJsonData`` alone, which Grafana encrypts and never shows again.
"""

from pathlib import Path
from typing import Any, Final

from heptad.grafana import GrafanaError
from heptad.influxdb_config import InfluxConfig
from heptad.reading import read_file

UIDS: Final = {
    "prometheus": "heptad-prometheus",
    "events": "heptad-events",
    "reports": "heptad-reports",
}
"""What is read → the uid of the data source, as the dashboards name it."""
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


def read_small(path: str | Path) -> str:
    """What a file of a secret or certificates holds, up to 64 KiB; raises GrafanaError."""
    try:
        content = read_file(Path(path), _LARGEST_FILE).decode("utf-8", "replace").strip()
    except OSError as error:
        raise GrafanaError(f"{path}: {error.strerror}; see that it can be read") from error
    if not content:
        raise GrafanaError(f"{path}: is empty; see that it is the right file")
    return content

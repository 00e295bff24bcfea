"""HTTP to one Grafana through grafana-client: bounded responses, and the meaning of errors.

The meaning of status codes follows Grafana's HTTP API reference for data sources, folders and
dashboards. Redirects are not followed: they could send the token to another server, and turn a POST
into a GET.
"""

import io
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from grafana_client import GrafanaApi  # type: ignore[import-untyped]
from grafana_client.client import GrafanaException  # type: ignore[import-untyped]
from requests.adapters import HTTPAdapter

from heptad.cli.grafana import GrafanaError
from heptad.core.http.deadline import PoolManager, limit
from heptad.core.influxdb.client import shorten
from heptad.core.telemetry.masking import remember_secret

_MOST_BODY: Final = 16 * 1024 * 1024
_NO_GRAFANA: Final = (
    "check that --url is the URL of Grafana, including its sub-path, and not of another server "
    "or of a proxy's error page"
)
_SPEAKS_HTTPS: Final = re.compile(r"HTTP request\b.*\bto (an )?HTTPS (server|port)")
_FROM_A_FILE: Final = (
    "it is provisioned from a file; change or remove that file in Grafana's provisioning directory"
)
_REMEDIES: Final[Mapping[int, str]] = {
    401: "check that --token-file contains a valid token of a service account of this Grafana; "
    "a grafana.com token (glc_…) does not work",
    403: "check the role of the token's service account: data sources require Admin, folders "
    "and dashboards require Editor. Grafana may reject a new folder for up to a minute",
    409: "the name or uid is already in use: rename or delete that resource in Grafana, or use "
    "an existing data source with --use",
    412: "check the resource in Grafana, then run this command again",
    429: "Grafana limits the request rate; run this command again in a minute",
}
_REMEDIES_OF_PROXIES: Final[Mapping[int, str]] = {
    413: "raise the maximum body size of the proxy in front of Grafana",
    429: "the proxy limits the request rate; run this command again in a minute",
    **dict.fromkeys((502, 503, 504), "check that Grafana is running behind the proxy"),
}
_PRECONDITIONS: Final = {
    "version-mismatch": "someone saved it in the meantime; check it, then run this command again",
    "name-exists": "another dashboard has the same title; rename or delete it in Grafana",
    "plugin-dashboard": "it belongs to a plugin; delete it in Grafana",
}


class Missing(GrafanaError):
    """The resource does not exist in Grafana."""


class Grafana:
    """Requests to the Grafana at ``url`` with a service account's token; none when it is created.

    ``timeout``: seconds to wait for any part of a response; the whole may take twice as long.
    ``hidden``: more secrets that no message may contain. Raises GrafanaError.
    """

    def __init__(
        self,
        url: str,
        token: str,
        ca_file: str = "",
        timeout: float = 10.0,
        hidden: Sequence[str] = (),
    ) -> None:
        self.url = url.rstrip("/")
        for secret in (token, *hidden):
            remember_secret(secret)
        if not re.fullmatch(r"[!-~]+", token):
            # the error of requests would contain the header
            raise GrafanaError(
                "the token contains characters that are not valid in a token; check the file "
                "set by --token-file"
            )
        if ca_file:
            _try_certificates(ca_file)
        scheme, place, prefix = _split(self.url)
        self._api = GrafanaApi(
            token,
            host=place,
            protocol=scheme,
            url_path_prefix=prefix,
            verify=ca_file or True,
            timeout=timeout,
        )
        for kind in ("http://", "https://"):
            self._api.client.s.mount(kind, _Transport(timeout))

    def close(self) -> None:
        """Close all connections."""
        self._api.client.s.close()

    def ask(self, request: Callable[[Any], object]) -> dict[str, Any]:
        """Call a function that makes a request with a GrafanaApi; return the JSON object.

        Raise Missing, or GrafanaError with the remedy.
        """
        try:
            answer = request(self._api)
        except GrafanaException as error:
            raise self._rejected(error.status_code, error.response) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError, RecursionError) as error:
            raise GrafanaError(f"{self.url}: {_explain(error)}") from error
        if not isinstance(answer, dict):
            said = shorten(str(answer)[:4000])[:200]
            raise GrafanaError(
                f"{self.url}: the response is not from Grafana: {said!r}; {_NO_GRAFANA}"
            )
        return answer

    def _rejected(self, status: int, response: object) -> GrafanaError:
        if not isinstance(response, dict):
            said = shorten(str(response)[:4000])[:200]
            remedy = _REMEDIES_OF_PROXIES.get(status, _NO_GRAFANA)
            if _SPEAKS_HTTPS.search(said):
                remedy = "the server uses HTTPS; write https:// in --url"
            return GrafanaError(
                f"{self.url}: status {status}, the response is not from Grafana: {said!r}; {remedy}"
            )
        said = shorten(str(response.get("message", ""))[:4000])
        if status == requests.codes.not_found:
            return Missing(f"{self.url}: status 404, {said!r}; {_NO_GRAFANA}", status)
        reason = response.get("status")
        remedy = _PRECONDITIONS.get(reason, "") if isinstance(reason, str) else ""
        if status in (400, 403) and re.search("provisioned|read-only", said):
            remedy = _FROM_A_FILE
        remedy = remedy or _REMEDIES.get(status, "check the log of Grafana")
        return GrafanaError(f"{self.url}: status {status}, {said!r}; {remedy}", status)


class _Transport(HTTPAdapter):
    """requests' adapter with limits for the time and size of a response."""

    def __init__(self, timeout: float) -> None:
        self._whole = 2 * timeout
        super().__init__()

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, **options
        )

    def send(
        self, request: requests.PreparedRequest, *args: Any, **options: Any
    ) -> requests.Response:
        with limit(self._whole):
            response = super().send(request, *args, **options)
            body = response.raw.read(_MOST_BODY + 1, decode_content=True)
        response.raw.close()
        if response.is_redirect:
            target = shorten(response.headers["Location"])[:200]
            raise GrafanaError(
                f"{request.url}: redirects to {target!r}; set --url to the address of Grafana "
                "itself, and check that no proxy asks for a login first"
            )
        if len(body) > _MOST_BODY:
            raise GrafanaError(f"{request.url}: the response is larger than 16 MiB; {_NO_GRAFANA}")
        response.raw = io.BytesIO(body)
        response.encoding = "utf-8"  # otherwise requests guesses it, which is slow for a large page
        return response


def _split(url: str) -> tuple[str, str, str]:
    """Return scheme, host with port, and the sub-path with a slash at its end."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound, parts = False, urlsplit("")
    if not sound or parts.query or parts.fragment or re.search(r"[^!-~]", url):
        raise GrafanaError(
            f"--url {shorten(url)!r} is not a URL; write for example https://grafana.example.org"
        )
    if parts.username is not None:
        raise GrafanaError(
            "--url must not contain a user name or password, because URLs are printed; use "
            "--token-file"
        )
    path = parts.path.strip("/")
    return parts.scheme, parts.netloc, f"{path}/" if path else ""


def _try_certificates(ca_file: str) -> None:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # includes ssl.SSLError
        raise GrafanaError(
            f"--ca-file {ca_file}: {error.strerror or error}; check that it contains PEM "
            "certificates"
        ) from error


def _explain(error: BaseException) -> str:
    """Return the underlying cause of an error, and the remedy."""
    if isinstance(error, requests.exceptions.JSONDecodeError) or not isinstance(
        error, urllib3.exceptions.HTTPError | OSError
    ):
        return f"the response is not JSON; {_NO_GRAFANA}"
    while error.__context__ is not None:
        error = error.__context__
    text = shorten(str(getattr(error, "strerror", None) or error))
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "the server uses HTTP; write http:// in --url"
    if isinstance(error, ssl.SSLError):
        return f"TLS error: {text}; check --ca-file and the host name in --url"
    if isinstance(error, TimeoutError):
        return "timeout; check that Grafana is not overloaded, or raise --timeout"
    return f"{text}; check that Grafana is running and --url is correct"

"""HTTP requests to one InfluxDB: its version, authentication, and bounded responses.

The meaning of requests and responses is left to the other modules here. Authorization follows
InfluxDB's reference: 1.x uses basic authentication, 2.x a ``Token``, 3.x a ``Bearer`` token.
Redirects are not followed, because they could send the token to another server.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.util import make_headers

from heptad.core.config.influxdb import InfluxConfig
from heptad.core.http.deadline import PoolManager, limit
from heptad.core.influxdb.tls import (
    find_remedy,
    find_remedy_of_page,
    fingerprint_files,
    make_ssl_context,
)
from heptad.core.store.api import StoreError
from heptad.core.telemetry.masking import mask_secrets

Generation = Literal[1, 2, 3]

_MOST_BODY: Final = 256 * 1024
_NO_CONTENT: Final = 204
_OK: Final = 200
_OLDEST: Final = (1, 6)
_UNAUTHORIZED: Final = (401, 403)
_NO_INFLUXDB: Final = (
    "check that `influxdb.url` is the URL of InfluxDB, and not of another server or of a "
    "proxy's error page, or set `influxdb.version`"
)


class Unreachable(StoreError):
    """No response, or not one of InfluxDB; the message says what to do."""


class NoSecret(Unreachable):
    """The token or password cannot be read, or is not valid."""


class TooSlow(Unreachable):
    """The server did not answer in time."""


class InfluxResponse(NamedTuple):
    """A response; ``body`` is cut off after 256 KiB.

    ``clock_offset``: seconds that this host's clock is ahead of the server's, to about a second;
    None if the response has no Date.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    clock_offset: float | None = None

    @property
    def json(self) -> dict[str, object]:
        """The body if it is a JSON object, else an empty one."""
        try:
            decoded = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return decoded if isinstance(decoded, dict) else {}

    @property
    def is_page(self) -> bool:
        """Whether the body is an HTML page, as proxies return and InfluxDB never does."""
        return self.body.lstrip()[:1] == b"<"

    @property
    def message(self) -> str:
        """The server's error message, unchanged."""
        # 1.x: {"error": …}, 2.x: {"code": …, "message": …}, 3.x: either
        decoded = self.json
        said = decoded.get("message") or decoded.get("error")
        return str(said or self.body.decode(errors="replace"))

    @property
    def text(self) -> str:
        """The server's error message on one line of at most 500 characters."""
        return shorten(self.message)


class InfluxConnection:
    """Requests to the server of ``config``. Thread-safe. Sends no request when it is created.

    ``clock_offset``: seconds that this host's clock was last seen ahead of the server's.
    """

    def __init__(self, config: InfluxConfig) -> None:
        self.config = config
        self.url = config.url.rstrip("/")
        self._timeout = config.timeout
        self.clock_offset = 0.0
        self._generation: Generation | None = None
        self._files = fingerprint_files(config.tls)
        self._pool = self._make_pool()

    def _make_pool(self) -> PoolManager:
        secure = self.url.startswith("https:")
        try:
            context = make_ssl_context(self.config.tls) if secure else None
        except OSError as error:
            raise Unreachable(str(error)) from error
        if self.config.tls.insecure_skip_verify:
            # as configured; a warning per request would only hide other output
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return PoolManager(
            maxsize=2,
            retries=False,
            timeout=urllib3.Timeout(connect=self._timeout, read=self._timeout),
            ssl_context=context,
        )

    def _follow_files(self) -> None:
        """Create a new pool if a certificate file has changed, for example after a renewal."""
        files = fingerprint_files(self.config.tls)
        if files != self._files:
            self._pool = self._make_pool()
            self._files = files

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    @property
    def generation(self) -> Generation:
        """The major version 1, 2 or 3: as configured, else as the server reports.

        Raises Unreachable.
        """
        if self._generation is None:
            configured = self.config.version
            self._generation = (
                self.ask_generation() if configured == "auto" else _number(str(configured))
            )
        return self._generation

    def ask_version(self) -> str:
        """Return the server's version, for example ``1.6.7``; raise Unreachable with the remedy."""
        answer = self.request("GET", "/ping", authorize=self.config.version != "auto")
        if answer.status in _UNAUTHORIZED:
            # 3.x requires the token here too; 1.x and 2.x never do
            answer = self.request("GET", "/ping", {}, as_generation=3)
            if answer.status in _UNAUTHORIZED:
                raise Unreachable(
                    f"{self.url}/ping: status {answer.status}, {answer.text!r}; 3.x requires a "
                    "valid token: check `influxdb.token` or `token_file`"
                )
        version = answer.headers.get("X-Influxdb-Version", "")
        if not version and answer.status == _OK:
            version = str(answer.json.get("version", ""))
        version = shorten(version.lstrip("v"))[:40]
        if answer.status not in (_OK, _NO_CONTENT) or not version:
            raise Unreachable(
                f"{self.url}/ping: status {answer.status} without a version of InfluxDB: "
                f"{answer.text!r}; {find_remedy_of_page(answer.text) or _NO_INFLUXDB}"
            )
        return version

    def ask_generation(self) -> Generation:
        """Return the major version that the server reports; raise Unreachable."""
        version = self.ask_version()
        numbers = [int(part) for part in version.split("-")[0].split(".")[:2] if part.isdecimal()]
        if numbers and tuple(numbers) >= _OLDEST and numbers[0] <= 3:
            return _number(str(numbers[0]))
        raise Unreachable(
            f"{self.url}: InfluxDB `{version}` is not supported; use 1.x from 1.6, 2.x or 3.x. "
            "If the server is one of these, set `influxdb.version`"
        )

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        authorize: bool = True,
        as_generation: Generation | None = None,
    ) -> InfluxResponse:
        """Send one request and return the response, whatever its status; raise Unreachable.

        The whole response must arrive within twice the configured timeout.
        """
        generation = as_generation or (self.generation if authorize else None)
        with (
            limit(2 * self._timeout),
            self.stream(
                method,
                path,
                query,
                body,
                headers,
                authorize=authorize,
                as_generation=generation,
            ) as response,
        ):
            begun = time.time()
            data = response.read(_MOST_BODY, decode_content=True)
            if len(data) < _MOST_BODY:
                response.drain_conn()
            else:
                response.close()
            return InfluxResponse(response.status, response.headers, data, _offset(response, begun))

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        authorize: bool = True,
        as_generation: Generation | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request; the caller reads the response as it arrives.

        Both may raise Unreachable.
        """
        self._follow_files()
        told = dict(headers or {})
        if authorize:
            told |= self._authorization(as_generation or self.generation)
        target = self.url + path
        response = None
        try:
            response = self._pool.request(
                method,
                target + ("?" + urlencode(query) if query else ""),
                body=body,
                headers=told,
                preload_content=False,
                redirect=False,
            )
            offset = _offset(response, time.time())
            self.clock_offset = self.clock_offset if offset is None else offset
            yield response
        except (urllib3.exceptions.HTTPError, OSError) as error:
            kind = TooSlow if _is_late(error) else Unreachable
            raise kind(f"{target}: {explain(error)}") from error
        finally:
            if response is not None:
                response.close()  # once read to the end, the connection is in the pool already

    def _authorization(self, generation: Generation) -> dict[str, str]:
        try:
            token, password = self.config.secret("token"), self.config.secret("password")
        except OSError as error:
            raise NoSecret(
                f"{error.filename}: {error.strerror}; check that the file exists and is readable"
            ) from error
        if self.config.username:
            return make_headers(basic_auth=f"{self.config.username}:{password}")
        if not token:
            return {}
        if not re.fullmatch(r"[!-~]+", token):
            # the error of http.client would contain the header
            raise NoSecret(
                "influxdb.token contains characters that are not valid in a token; check the file"
            )
        return {"Authorization": f"{'Bearer' if generation == 3 else 'Token'} {token}"}


def shorten(said: str) -> str:
    """Return a server's text on one line of at most 500 printable characters, without secrets."""
    # masked before it is cut: the second cut removes the rest of a secret that the first one split
    said = mask_secrets(said[:4000])[:2000]
    printable = (letter if letter.isprintable() else " " for letter in said)
    return " ".join("".join(printable).split())[:500]


def _number(text: str) -> Generation:
    return {"1": 1, "2": 2, "3": 3}[text]  # type: ignore[return-value]


def _offset(response: urllib3.BaseHTTPResponse, now: float) -> float | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return now - date - 0.5  # a Date has whole seconds, rounded down


def explain(error: Exception) -> str:
    """Return the cause of an error and its remedy, without urllib3's own wording."""
    text = str(error)  # may contain what the server sent instead of a response
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # includes failed name resolution
        text = text.split(": ", 1)[-1]
    elif isinstance(error, urllib3.exceptions.ProtocolError):
        text = str(error.args[-1])
    text = shorten(text)
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"TLS error: {text}; {find_remedy(text)}"
    if _is_late(error):
        return "timeout; check that the server is not overloaded, or raise influxdb.timeout"
    return f"{text}; check that the server is running and `influxdb.url` is correct"


def _is_late(error: Exception) -> bool:
    return isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    )

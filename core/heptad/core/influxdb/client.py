"""HTTP to one InfluxDB: who it is, how this host shows who it is, and bounded answers.

What is asked of the server and what its answers mean is the business of the other modules here.
Authorization as InfluxDB's references give it: 1.x takes basic authentication, 2.x a ``Token``,
3.x a ``Bearer`` token. No redirect is followed: it could lead the token astray.
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
    """The server did not answer, or not as InfluxDB does; the message says what to do."""


class NoSecret(Unreachable):
    """What this host shows the server cannot be read, or is none."""


class TooSlow(Unreachable):
    """The server did not answer in time."""


class InfluxResponse(NamedTuple):
    """What the server said; ``body`` is cut off after 256 KiB.

    ``clock_offset``: seconds that this host's clock is ahead of the server's, to about a second;
    None where the answer bore no Date.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    clock_offset: float | None = None

    @property
    def json(self) -> dict[str, object]:
        """The body, where it is an object of JSON; else nothing."""
        try:
            decoded = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return decoded if isinstance(decoded, dict) else {}

    @property
    def is_page(self) -> bool:
        """Whether it is a page for a browser, as a proxy gives it and InfluxDB never does."""
        return self.body.lstrip()[:1] == b"<"

    @property
    def message(self) -> str:
        """The server's own words about an error, as they are."""
        # 1.x says {"error": …}, 2.x {"code": …, "message": …}, 3.x either
        decoded = self.json
        said = decoded.get("message") or decoded.get("error")
        return str(said or self.body.decode(errors="replace"))

    @property
    def text(self) -> str:
        """The same, on one line of at most 500 characters."""
        return shorten(self.message)


class InfluxConnection:
    """Requests to the server of ``config``; may be used by several threads. No request at first.

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
            # asked for, and a warning at each request would only hide what else is printed
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return PoolManager(
            maxsize=2,
            retries=False,
            timeout=urllib3.Timeout(connect=self._timeout, read=self._timeout),
            ssl_context=context,
        )

    def _follow_files(self) -> None:
        """Certificates that were renewed, as those of a short life are, are used from now on."""
        files = fingerprint_files(self.config.tls)
        if files != self._files:
            self._pool = self._make_pool()
            self._files = files

    def close(self) -> None:
        """Close what is open."""
        self._pool.clear()

    @property
    def generation(self) -> Generation:
        """1, 2 or 3: as configured, else as the server says. Raises Unreachable."""
        if self._generation is None:
            configured = self.config.version
            self._generation = (
                self.ask_generation() if configured == "auto" else _number(str(configured))
            )
        return self._generation

    def ask_version(self) -> str:
        """The server's own version, such as ``1.6.7``; raises Unreachable with the remedy."""
        answer = self.request("GET", "/ping", authorize=self.config.version != "auto")
        if answer.status in _UNAUTHORIZED:
            # 3.x asks for the token here too; 1.x and 2.x never
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
        """The generation of the server's version; raises Unreachable."""
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
        """One request and its answer, whatever its status; raises Unreachable.

        The answer is waited for twice as long as for any part of it, at the most.
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
        """One request, whose answer is read as it comes; raises Unreachable, also while reading."""
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
                response.close()  # a connection whose answer was read to its end is pooled already

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
            # what http.client says of such a header repeats it
            raise NoSecret(
                "influxdb.token contains characters that are not valid in a token; check the file"
            )
        return {"Authorization": f"{'Bearer' if generation == 3 else 'Token'} {token}"}


def shorten(said: str) -> str:
    """What a server said on one line of at most 500 characters, printable and without secrets."""
    # masked before it is cut; of a secret that the first cut parts, the second leaves nothing
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
    return now - date - 0.5  # a Date has whole seconds, cut off


def explain(error: Exception) -> str:
    """What went wrong and what helps, without what urllib3 says of itself."""
    text = str(error)  # may be what the server said where an answer begins
    if isinstance(error, urllib3.exceptions.NewConnectionError):  # of which a wrong name is one
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

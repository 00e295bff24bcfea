"""The HTTP port of a part of Heptad: /metrics and /healthz, on loopback unless told otherwise.

A part may serve more (``Pages``); TLS and basic auth hold for all of it.
"""

import gzip
import logging
import math
import socket
import sys
import threading
import time as clock
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from ssl import SSLSocket
from typing import Any, Final, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from heptad.access import Access
from heptad.web_config import ServerError

log = logging.getLogger("heptad.server")

_MOST_AT_ONCE: Final = 16
_DEADLINE: Final = 10.0
_PATIENCE: Final = 2.0
_POLL: Final = 0.5
_CLOSED_WITHIN: Final = 5.0
_TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'"),
)
_CHALLENGE: Final = (("WWW-Authenticate", 'Basic realm="Heptad", charset="UTF-8"'),)
_INDEX: Final = b"""<!doctype html><meta charset=utf-8><title>Heptad</title>
<h1>Heptad</h1><ul><li><a href=metrics>metrics</a><li><a href=healthz>healthz</a></ul>
"""


Headers = tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    """What a request is answered."""

    status: str
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    headers: Headers = ()


Pages = Callable[[Mapping[str, str]], Answer | None]
"""What a part serves beside /metrics and /healthz, by the request's WSGI environment (PEP 3333)."""


class _Handler(WSGIRequestHandler):
    timeout = _DEADLINE

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class _Server(ThreadingMixIn, WSGIServer):
    """A bounded number of requests at once, each with a deadline; the others wait a while."""

    daemon_threads = True
    request_queue_size = 64
    timeout = _POLL

    def __init__(
        self, address: tuple[str, int], family: socket.AddressFamily, access: Access
    ) -> None:
        self.address_family = family
        self._access = access
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._deadlines: dict[socket.socket, float] = {}
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # the base class asks the resolver for the host's full name, which can hang
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, client = super().get_request()
        try:
            return self._access.wrap(connection), client
        except BaseException:
            connection.close()
            raise

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, SSLSocket):
            request.settimeout(_DEADLINE)
            request.do_handshake()
        super().finish_request(request, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._find_place():
            self.shutdown_request(request)
            return
        self._deadlines[request] = clock.monotonic() + _DEADLINE
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._release(request)
            raise

    def _find_place(self) -> bool:
        until = clock.monotonic() + _PATIENCE
        while not self._places.acquire(timeout=_POLL):
            now = clock.monotonic()
            self.cut_off(now)
            if now >= until:
                return False
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._release(request)

    def _release(self, request: socket.socket) -> None:
        del self._deadlines[request]
        self._places.release()

    def cut_off(self, now: float) -> None:
        """End the requests whose deadline is over at ``now``: time-outs are for one read each."""
        for request, deadline in self._deadlines.copy().items():
            if now >= deadline:
                with suppress(OSError):
                    # not that of SSLSocket, which takes TLS away under the thread that reads
                    socket.socket.shutdown(request, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("request failed", exc_info=sys.exc_info())


class Server:
    """Serves ``registry`` as /metrics; /healthz is 200 while ``problems`` gives none, else 503.

    ``web_config`` is the file that says how the port is secured, ``pages`` what else there is.
    Raises ServerError, or DocumentError where that file is faulty.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        registry: CollectorRegistry,
        problems: Callable[[], list[str]],
        *,
        web_config: str = "",
        pages: Pages | None = None,
    ) -> None:
        self._registry = registry
        self._problems = problems
        self._pages = pages
        self._access = Access(Path(web_config) if web_config else None)
        try:
            family = socket.getaddrinfo(*listen, type=socket.SOCK_STREAM)[0][0]
            self._server = _Server(listen, family, self._access)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ServerError(
                f"{listen[0]}:{listen[1]} cannot be listened on: {reason}; "
                "is another Heptad running? choose another `listen`"
            ) from None
        self._server.set_app(self._answer)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        name = f"[{host!s}]" if ":" in str(host) else str(host)
        return f"{'https' if self._access.encrypts else 'http'}://{name}:{port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and close the port; never waits for a client."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_CLOSED_WITHIN)
        self._server.cut_off(math.inf)
        self._server.server_close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._server.handle_request()
            self._server.cut_off(clock.monotonic())

    def _expose(self, encodings: str) -> Answer:
        """The registry in Prometheus' text format 0.0.4, as node_exporter answers."""
        body = generate_latest(self._registry)
        if "gzip" not in encodings:
            return Answer("200 OK", body, _TEXT_FORMAT)
        packed = gzip.compress(body, compresslevel=1)
        return Answer("200 OK", packed, _TEXT_FORMAT, (("Content-Encoding", "gzip"),))

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD")
        answer = self._refuse(environ) or self._route(environ)
        headers = dict(_ALWAYS) | dict(answer.headers)
        headers |= {"Content-Type": answer.kind, "Content-Length": str(len(answer.body))}
        start_response(answer.status, list(headers.items()))
        return [answer.body] if method != "HEAD" else []  # RFC 9110, 9.3.2

    def _refuse(self, environ: dict[str, Any]) -> Answer | None:
        """What a request is told that is not let in."""
        verdict = self._access.judge(environ.get("HTTP_AUTHORIZATION", ""))
        if verdict == "refused":
            return Answer("401 Unauthorized", b"user and password, please\n", headers=_CHALLENGE)
        if verdict == "busy":
            told = b"too many passwords are being verified; ask again\n"
            return Answer("503 Service Unavailable", told, headers=(("Retry-After", "2"),))
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            allow = (("Allow", "GET, HEAD"),)
            return Answer("405 Method Not Allowed", b"only GET and HEAD\n", headers=allow)
        return None

    def _route(self, environ: dict[str, Any]) -> Answer:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            return self._expose(environ.get("HTTP_ACCEPT_ENCODING", ""))
        if path == "/healthz":
            problems = self._problems()
            status = "503 Service Unavailable" if problems else "200 OK"
            told = "\n".join(problems) or "healthy"
            return Answer(status, f"{told}\n".encode())
        answer = self._pages(environ) if self._pages is not None else None
        if answer is not None:
            return answer
        if path == "/":
            return Answer("200 OK", _INDEX, "text/html; charset=utf-8")
        return Answer("404 Not Found", b"there are /metrics and /healthz\n")

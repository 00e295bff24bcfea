"""The HTTP port of the exporter and the aggregator: /metrics and /healthz.

More pages can be added (``Pages``); TLS and basic auth apply to all of them.
"""

import asyncio
import gzip
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Final

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from heptad.core.http.auth import Authenticator
from heptad.core.http.connection_limit import ConnectionLimiter
from heptad.core.http.exchange import BadRequest, Exchange, Headers, HttpResponse
from heptad.core.http.host_names import AllowedHosts
from heptad.core.http.listener import Listener
from heptad.core.http.stream import Stream
from heptad.core.http.worker_threads import SharedCall, ThreadLimiter, TooBusy
from heptad.core.telemetry.masking import mask_whole
from heptad.core.terminal import printable

__all__ = ["Headers", "HttpResponse", "Pages", "Server"]

log = logging.getLogger("heptad.server")

_DEADLINE: Final = 10.0
"""Seconds for a complete request, and for reading a response."""
_IDLE: Final = 75.0
"""Seconds until the next request on a connection."""
_CLOSED_WITHIN: Final = 5.0
_ADMITTED_AT_ONCE: Final = 4
"""Number of new connections to admit before existing ones are served again."""
_REST: Final = 0.05
_TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'"),
)
_LEAVE: Final = (("Connection", "close"),)
_CHALLENGE: Final = (("WWW-Authenticate", 'Basic realm="Heptad", charset="UTF-8"'), *_LEAVE)
_INDEX: Final = b"""<!doctype html><meta charset=utf-8><title>Heptad</title>
<h1>Heptad</h1><ul><li><a href=metrics>metrics</a><li><a href=healthz>healthz</a></ul>
"""
_BUSY: Final = HttpResponse(
    "503 Service Unavailable",
    b"too many requests at once; try again later\n",
    headers=(("Retry-After", "2"), *_LEAVE),
)

Pages = Callable[[Mapping[str, str]], HttpResponse | None]
"""Serves paths other than /metrics and /healthz, given the WSGI environment (PEP 3333)."""


class Server:
    """Serves ``registry`` as /metrics; /healthz is 200 if ``problems`` returns none, else 503.

    ``web_config`` is the web configuration file; ``pages`` serves further paths. Raises
    ServerError, or DocumentError if that file is invalid.
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
        self._authenticator = Authenticator(Path(web_config) if web_config else None)
        self._names = AllowedHosts(listen[0])
        self._listener = Listener(listen)
        self._connections = ConnectionLimiter()
        self._metrics = SharedCall(lambda: self._expose(packs=False), _DEADLINE)
        self._packed_metrics = SharedCall(lambda: self._expose(packs=True), _DEADLINE)
        self._health = SharedCall(self._tell_health, _DEADLINE)
        self._requests = ThreadLimiter(16, queue=16, patience=3.0)
        self._verifying = ThreadLimiter(2, queue=16, patience=2.0)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    @property
    def url(self) -> str:
        host, port = self._listener.address
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self._authenticator.encrypts else 'http'}://{name}:{port}"

    def start(self) -> None:
        """Serve in a separate thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and close the port; never wait for a client."""
        self._closing.set()
        self._listener.shut()
        if self._thread.is_alive():
            self._thread.join(timeout=_CLOSED_WITHIN)
        self._listener.close()

    def _serve(self) -> None:
        asyncio.run(self._accept())

    async def _accept(self) -> None:
        """Accept connections until the server is closed; then close the open ones."""
        while not self._closing.is_set():
            try:
                connections = await self._listener.receive()
            except OSError as error:
                # no descriptors or no memory left, so an idle connection is closed
                log.debug("cannot accept a connection", extra={"error": error})
                self._connections.close_oldest()
                await asyncio.sleep(_REST)
                continue
            for number, connection in enumerate(connections):
                while not (self._connections.make_place() or self._closing.is_set()):
                    await asyncio.sleep(_REST)
                self._receive(connection)
                if number % _ADMITTED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _receive(self, connection: socket.socket) -> None:
        task = asyncio.create_task(self._converse(connection, self._authenticator.context()))
        # not in the task, which may be cancelled before its first step
        task.add_done_callback(lambda _: connection.close())
        self._connections.admit(task)

    async def _converse(self, connection: socket.socket, context: SSLContext | None) -> None:
        stream = Stream(connection, context)
        try:
            await self._answer_all(stream)
        except (OSError, asyncio.CancelledError) as error:
            # also when it is closed for another one: an exception that ends a task keeps its frames
            # alive
            log.debug("connection ended", extra={"error": error})
        finally:
            stream.close()

    async def _answer_all(self, stream: Stream) -> None:
        task: asyncio.Task[None] = asyncio.current_task()  # type: ignore[assignment]
        exchange = Exchange(stream)
        patience, goes_on = _DEADLINE, True
        while goes_on:
            await asyncio.sleep(0)  # let other connections run, however much this one sends
            try:
                async with asyncio.timeout(patience):
                    environ = await exchange.receive()
                if environ is None:
                    return
                self._connections.note_waiting(task)
                answer = await self._answer(environ)
            except BadRequest as rejected:
                answer = rejected.answer
            self._connections.note_reading(task, len(answer.body))
            async with asyncio.timeout(_DEADLINE):
                goes_on = await exchange.send(answer)
            self._connections.note_asking(task)
            patience = _IDLE

    async def _answer(self, environ: Mapping[str, str]) -> HttpResponse:
        answer = await self._reject(environ)
        if answer is None:
            try:
                answer = await self._ask(environ)
            except TooBusy:
                answer = _BUSY
            except Exception:
                log.exception("request failed")
                answer = HttpResponse(
                    "500 Internal Server Error", b"the request failed; see Heptad's log\n"
                )
        headers = dict(_ALWAYS) | dict(answer.headers)
        return answer._replace(headers=tuple(headers.items()))

    async def _reject(self, environ: Mapping[str, str]) -> HttpResponse | None:
        """Return the error response if the request is not admitted, else None."""
        if not self._names.include(environ.get("HTTP_HOST", "")):
            told = b"this port does not accept this host name; use 127.0.0.1 or localhost\n"
            return HttpResponse("421 Misdirected Request", told, headers=_LEAVE)
        header = environ.get("HTTP_AUTHORIZATION", "")
        verdict = self._authenticator.recall(header)
        if verdict is None:
            try:
                verdict = await self._verifying.run(self._authenticator.verify, header)
            except TooBusy:
                told = b"too many passwords are being verified; try again later\n"
                return _BUSY._replace(body=told)
        if verdict == "refused":
            return HttpResponse(
                "401 Unauthorized", b"a user name and a password are required\n", headers=_CHALLENGE
            )
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            allow = (("Allow", "GET, HEAD"),)
            return HttpResponse(
                "405 Method Not Allowed", b"only GET and HEAD are supported\n", headers=allow
            )
        return None

    async def _ask(self, environ: Mapping[str, str]) -> HttpResponse:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            packs = "gzip" in environ.get("HTTP_ACCEPT_ENCODING", "")
            return await (self._packed_metrics if packs else self._metrics).get()
        if path == "/healthz":
            return await self._health.get()
        return await self._requests.run(self._route, environ)

    def _route(self, environ: Mapping[str, str]) -> HttpResponse:
        path = environ["PATH_INFO"]
        answer = self._pages(environ) if self._pages is not None else None
        if answer is not None:
            return answer
        if path == "/":
            return HttpResponse("200 OK", _INDEX, "text/html; charset=utf-8")
        return HttpResponse("404 Not Found", b"not found; valid paths: /metrics, /healthz\n")

    def _expose(self, *, packs: bool) -> HttpResponse:
        """Return the registry in Prometheus' text format 0.0.4, as node_exporter does."""
        body = generate_latest(self._registry)
        if not packs:
            return HttpResponse("200 OK", body, _TEXT_FORMAT)
        packed = gzip.compress(body, compresslevel=1)
        return HttpResponse("200 OK", packed, _TEXT_FORMAT, (("Content-Encoding", "gzip"),))

    def _tell_health(self) -> HttpResponse:
        problems = self._problems()
        status = "503 Service Unavailable" if problems else "200 OK"
        told = "\n".join(printable(mask_whole(problem)) for problem in problems) or "healthy"
        return HttpResponse(status, f"{told}\n".encode())

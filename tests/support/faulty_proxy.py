"""A proxy between a client and its server that injects the faults of a test."""

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

import pytest

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Fault:
    """The outcome of a request.

    ``forward``: it reaches the server, and only its response is lost. Then the first that is set: a
    response with ``status``; ``trickle``, a byte of an endless response every so many seconds;
    ``hang``, no response before ``release``; otherwise the connection is reset.
    """

    forward: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trickle: float = 0.0
    hang: bool = False


RESET = Fault()
LOST_ANSWER = Fault(forward=True)
HANG = Fault(hang=True)
HANG_AFTER = Fault(forward=True, hang=True)
HTML = Fault(status=200, headers={"Content-Type": "text/html"}, body=b"<html>Welcome</html>")


class FaultyProxy:
    """Forwards to ``upstream``, a URL; ``plan`` returns the fault of each request.

    It is called with the path and its query, and the body as it was sent. ``requests`` counts the
    requests. Use as a context manager.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.plan: Callable[[str, bytes], Fault | None] = lambda *_: None
        self.requests = 0
        self._released = threading.Event()
        self._server = self._listen(0)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def release(self) -> None:
        """Let hanging requests continue."""
        self._released.set()

    def fail(self, *faults: Fault | None) -> None:
        """Apply these faults to the next writes, one after the other; later requests succeed."""
        left = list(faults)
        self.plan = lambda path, _: left.pop(0) if left and "write" in path else None

    def refuse(self) -> None:
        """Refuse connections from now on."""
        self.release()
        self._server.shutdown()
        self._server.server_close()

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._released = threading.Event()
        self._server = self._listen(self.port)

    def _listen(self, port: int) -> ThreadingHTTPServer:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            wbufsize = -1  # one packet per response: two would wait for each other (RFC 896)

            def do_GET(self) -> None:
                with suppress(OSError):
                    proxy.handle(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Forward one request, or apply the fault of the plan."""
        self.requests += 1
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        fault = self.plan(request.path, body)
        if fault is None:
            self._answer(request, *self._forward(request, body))
            return
        if fault.forward:
            self._forward(request, body)
        request.close_connection = not fault.status
        if fault.status:
            self._answer(request, fault.status, fault.headers, fault.body)
        elif fault.trickle:
            self._trickle(request, fault.trickle)
        elif fault.hang:
            self._released.wait(60)
        else:  # reset: RST, not FIN (socket(7), SO_LINGER)
            request.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        host, port = self.upstream.hostname or "", self.upstream.port
        with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
            headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(request.command, request.path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def _answer(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                request.send_header(name, value)
        if status != 204:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if status != 204:
            request.wfile.write(body)

    def _trickle(self, request: BaseHTTPRequestHandler, pause: float) -> None:
        request.send_response_only(400)
        request.end_headers()
        while not self._released.wait(pause):
            request.wfile.write(b" ")
            request.wfile.flush()


@pytest.fixture
def server() -> Iterator[FaultyProxy]:
    """Start a proxy with no server behind it: its plan makes every response."""
    with FaultyProxy("http://127.0.0.1:9") as server:
        yield server

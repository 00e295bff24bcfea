"""An HTTP server for one test: a function returns its responses, and requests are recorded."""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.support.serving import serving


class Asked(NamedTuple):
    """A request: ``query`` and a form in the body by name, any other body decoded from JSON."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str


Answering = Callable[[Asked], tuple[int, Any]]


class ScriptedServer:
    """``answer`` returns status and body (an object becomes JSON); ``asked``: all requests."""

    def __init__(
        self,
        answer: Answering,
        headers: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: list[Asked] = []
        outer = self
        told_always = {
            "Content-Type": "application/json",
            "Date": formatdate(usegmt=True),
            **(headers or {}),
        }

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per response: two would wait for each other (RFC 896)

            def _serve(self) -> None:
                url = urlsplit(self.path)
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                form = "urlencoded" in self.headers.get("Content-Type", "")
                body = _single(data.decode()) if form else json.loads(data) if data else None
                told = self.headers.get("Authorization", "")
                asked = Asked(self.command, url.path, _single(url.query), body, told)
                outer.asked.append(asked)
                status, said = answer(asked)
                content = b"" if said is None else json.dumps(said).encode()
                self.send_response_only(status)
                for name, value in told_always.items():
                    self.send_header(name, value)
                if status != 204:  # a 204 has no body, RFC 9110
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            # the names that http.server calls
            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Log nothing to stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def changes(self) -> list[Asked]:
        """Return the requests that change something."""
        return [a for a in self.asked if a.method != "GET" and a.path not in ("/query", "/ping")]

    @contextmanager
    def serving(self) -> "Iterator[ScriptedServer]":
        """Serve within the block."""
        with serving(self._server):
            yield self


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}

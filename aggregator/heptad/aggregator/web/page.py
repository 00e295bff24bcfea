"""HTTP requests of the page: its files at /, its data under /api/, and the runbooks.

The page reads the stores and never writes. The Content-Security-Policy (W3C) forbids inline scripts
and resources of other origins. On loopback, only the host's own names are accepted; any other name
may be a DNS rebinding attack.
"""

import hashlib
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from heptad.aggregator.web.events import find_events
from heptad.aggregator.web.export import export
from heptad.aggregator.web.findings import list_findings, list_sessions, show_evidence
from heptad.aggregator.web.health import describe_health
from heptad.aggregator.web.hours import count_hours
from heptad.aggregator.web.query import BadQuery, Query, parse_query
from heptad.aggregator.web.series import count_attempts
from heptad.aggregator.web.source import PATIENCE, Opened, PageStores
from heptad.aggregator.web.top import rank_failures
from heptad.core.config.types import is_loopback
from heptad.core.http.server import HttpResponse
from heptad.core.store.api import StoreError
from heptad.core.terminal import printable

log = logging.getLogger("heptad.page")

_STATIC: Final = Path(__file__).parent / "static"
_RUNBOOKS: Final = Path(__file__).parent / "runbooks"
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)
_FRESH: Final = (("Cache-Control", "no-store"),)
_MOST_AT_ONCE: Final = 4
_OF_REPORTS: Final = ("/api/findings", "/api/sessions", "/api/evidence")
"""Views that need the store of reports."""
_FILE: Final = re.compile(r"(?P<view>/api/(?P<what>events|findings|evidence))\.(?P<form>csv|json)")
"""The path of a view that is downloaded as a file."""


class Page:
    """Handles requests for the page; returns None for other paths.

    ``host`` is the listening address, ``problems`` returns the current problems, and ``judged`` the
    time (ns) up to which arrived events were evaluated for findings.
    """

    def __init__(
        self,
        stores: PageStores,
        host: str,
        problems: Callable[[], list[str]],
        judged: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._stores = stores
        self._names = {"localhost", "127.0.0.1", "[::1]", host, f"[{host}]"}
        self._checks_names = is_loopback(host)
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._files = _read_files()
        self._views: dict[str, Callable[[Opened, Query], dict[str, Any]]] = {
            "/api/events": lambda stores, query: find_events(stores[0], query),
            "/api/series": lambda stores, query: count_attempts(*stores, query),
            "/api/top": lambda stores, query: rank_failures(stores[0], query),
            "/api/hours": lambda stores, query: count_hours(stores[0], query),
            "/api/findings": lambda stores, query: list_findings(stores[1], query),
            "/api/sessions": lambda stores, query: list_sessions(stores[1], query),
            "/api/evidence": lambda stores, query: show_evidence(*stores, query),
            "/api/health": lambda stores, query: describe_health(*stores, problems(), judged()),
        }

    def __call__(self, environ: Mapping[str, str]) -> HttpResponse | None:
        """Answer a request, given its WSGI environment."""
        path = environ.get("PATH_INFO", "/")
        file = self._files.get(path)
        if file is None and not path.startswith("/api/"):
            return None
        name = environ.get("HTTP_HOST", "").lower()
        if self._checks_names and _without_port(name) not in self._names:
            told = b"this port does not accept this host name; use 127.0.0.1 or localhost\n"
            return HttpResponse("421 Misdirected Request", told)
        if file is not None:
            return _send_file(*file, environ.get("HTTP_IF_NONE_MATCH", ""))
        if path not in self._views and not _FILE.fullmatch(path):
            return _send(
                "404 Not Found", {"error": (f"unknown view; valid views: {', '.join(self._views)}")}
            )
        return self._ask(path, environ.get("QUERY_STRING", ""))

    def _ask(self, path: str, text: str) -> HttpResponse:
        try:
            query = parse_query(text, time.time())
        except BadQuery as error:
            return _send("400 Bad Request", {"error": str(error)})
        if not self._places.acquire(timeout=PATIENCE):
            return _send(
                "503 Service Unavailable", {"error": ("too many requests at once; try again later")}
            )
        try:
            return self._answer(path, query)
        except BadQuery as error:
            return _send("400 Bad Request", {"error": str(error)})
        except (StoreError, sqlite3.Error) as error:
            log.debug("cannot read the store", extra={"error": error})
            return _send(
                "503 Service Unavailable",
                {"error": printable(f"Not available at the moment: {error}")},
            )
        finally:
            self._places.release()

    def _answer(self, path: str, query: Query) -> HttpResponse:
        file = _FILE.fullmatch(path)
        view = file["view"] if file else path
        with self._stores.open(needs_reports=view in _OF_REPORTS) as stores:
            if file:
                return _send_download(*export(file["what"], file["form"], stores, query))
            return _send("200 OK", self._views[path](stores, query))


def _read_files() -> dict[str, tuple[str, bytes]]:
    """Map paths to kind and content: the page's files, and the runbooks without their suffix."""
    files = {f"/{file.name}": file for file in _STATIC.iterdir() if file.is_file()}
    files["/"] = files["/index.html"]
    files |= {f"/runbooks/{file.stem}": file for file in _RUNBOOKS.glob("*.html")}
    files["/runbooks/"] = files.pop("/runbooks/index")
    plain = "text/plain; charset=utf-8"
    return {
        path: (_KINDS.get(file.suffix, plain), file.read_bytes()) for path, file in files.items()
    }


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _send(status: str, data: dict[str, Any]) -> HttpResponse:
    body = msgspec.json.encode(data)
    return HttpResponse(status, body, "application/json", _HEADERS + _FRESH)


def _send_download(name: str, kind: str, content: bytes) -> HttpResponse:
    attachment = (("Content-Disposition", f'attachment; filename="{name}"'),)
    return HttpResponse("200 OK", content, kind, _HEADERS + _FRESH + attachment)


def _send_file(kind: str, body: bytes, known: str) -> HttpResponse:
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = (*_HEADERS, ("Cache-Control", "no-cache"), ("ETag", etag))
    if etag in known:
        return HttpResponse("304 Not Modified", b"", headers=headers)
    return HttpResponse("200 OK", body, kind, headers)

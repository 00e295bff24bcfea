"""Requests and responses on one connection: HTTP/1.1 parsed by h11, without request bodies."""

import re
from email.utils import formatdate
from typing import Final, NamedTuple
from urllib.parse import unquote

import h11

from heptad.core.http.stream import Stream

_LARGEST_HEAD: Final = 16 * 1024
"""Maximum size in bytes of the request line and the headers."""
_ABSOLUTE: Final = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
"""A target in absolute form; its host overrides the Host header (RFC 9112, 3.2.2)."""

Headers = tuple[tuple[str, str], ...]


class HttpResponse(NamedTuple):
    """The response to a request."""

    status: str
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    headers: Headers = ()


class BadRequest(Exception):
    """A request that is too long or not HTTP; ``answer`` is the response to it."""

    def __init__(self, answer: HttpResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Exchange:
    """The requests and responses on ``stream``, one after the other."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
        self._ends = False
        self._bare = False

    async def receive(self) -> dict[str, str] | None:
        """Return the next request as a WSGI environment (PEP 3333), or None at the end.

        Raise BadRequest.
        """
        try:
            if self._http.our_state is h11.DONE:
                self._http.start_next_cycle()
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.read())
            if not isinstance(event, h11.Request):
                return None
            self._bare = event.method == b"HEAD"
            # a request body is not read: the connection ends after the response
            self._ends = not isinstance(self._http.next_event(), h11.EndOfMessage)
            return _describe(event)
        except h11.RemoteProtocolError as error:
            self._ends = True
            raise BadRequest(_explain(error)) from None

    async def send(self, answer: HttpResponse) -> bool:
        """Send the response; return whether another request may follow."""
        status, _, reason = answer.status.partition(" ")
        fields = {
            "Date": formatdate(usegmt=True),
            **dict(answer.headers),
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
        }
        if self._ends:
            fields["Connection"] = "close"
        response = h11.Response(
            status_code=int(status), headers=list(fields.items()), reason=reason.encode()
        )
        data = self._http.send(response) or b""
        if not self._bare and answer.body:
            data += self._http.send(h11.Data(data=answer.body)) or b""
        self._http.send(h11.EndOfMessage())
        await self._stream.write(data)
        return self._http.our_state is h11.DONE and not self._ends


def _describe(request: h11.Request) -> dict[str, str]:
    target = request.target.decode("latin-1")
    absolute = _ABSOLUTE.fullmatch(target)
    path, _, query = (absolute[2] if absolute else target).partition("?")
    environ = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "PATH_INFO": unquote(path, "latin-1") or "/",
        "QUERY_STRING": query,
    }
    for name, value in request.headers:
        key = "HTTP_" + name.decode("latin-1").replace("-", "_").upper()
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]}, {text}" if key in environ else text
    if absolute:
        environ["HTTP_HOST"] = absolute[1]
    return environ


def _explain(error: h11.RemoteProtocolError) -> HttpResponse:
    if error.error_status_hint == 431:
        return HttpResponse(
            "431 Request Header Fields Too Large", b"the headers are larger than 16 KiB\n"
        )
    return HttpResponse("400 Bad Request", b"the request is not valid HTTP/1.1\n")

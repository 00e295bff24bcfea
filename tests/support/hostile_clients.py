"""Clients that try to block a port or exhaust its memory, many at once and all from loopback."""

import multiprocessing
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import Final

Stream = Callable[[], Iterator[bytes]]
_ROUND: Final = 256
"""Connections that are opened before the port gets a moment."""
_MOMENT: Final = 0.02
REQUEST: Final = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def send_nothing() -> Iterator[bytes]:
    """Connect, and send nothing."""
    return iter(())


def begin_a_request() -> Iterator[bytes]:
    """Send some bytes, and then nothing."""
    yield b"GET /metr"


def _make_client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def begin_a_handshake() -> Iterator[bytes]:
    """Send half of a TLS ClientHello, and then nothing."""
    hello = _make_client_hello()
    yield hello[: len(hello) // 2]


def leave_a_handshake() -> Iterator[bytes]:
    """Send the whole ClientHello, but do not reply to the server."""
    yield _make_client_hello()


def send_a_slow_body() -> Iterator[bytes]:
    """Send a body slowly, byte by byte."""
    yield b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
    while True:
        yield from [b""] * 10
        yield b"b"


def send_slow_headers() -> Iterator[bytes]:
    """Send headers slowly, byte by byte."""
    yield REQUEST
    while True:
        yield from [b""] * 10
        yield b"a"


def send_large_headers() -> Iterator[bytes]:
    """Send 97 headers of 65 kB, without an end."""
    yield REQUEST
    for number in range(97):
        yield b"X-%d: " % number + b"a" * 65_000 + b"\r\n"


def send_a_long_line() -> Iterator[bytes]:
    """Send an endless request line."""
    yield b"GET /"
    while True:
        yield b"a" * 65_536


def send_an_endless_body() -> Iterator[bytes]:
    """Send endless chunks."""
    yield b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b"b" * 65_536 + b"\r\n"


def ask_without_reading() -> Iterator[bytes]:
    """Send complete requests, and never read the responses."""
    while True:
        yield (REQUEST + b"\r\n") * 100


class Crowd:
    """``number`` connections to ``address`` in a separate process; each sends its ``stream``.

    ``authority``: the file of the CA that signed the port's certificate; if set, each connection
    does a TLS handshake.
    """

    def __init__(
        self, address: tuple[str, int], number: int, stream: Stream, authority: str = ""
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connected = spawn.Event()
        self._process = spawn.Process(
            target=_run, args=(address, number, stream, authority, self._connected), daemon=True
        )

    def __enter__(self) -> None:
        self._process.start()
        assert self._connected.wait(120)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()


def _run(
    address: tuple[str, int], number: int, stream: Stream, authority: str, connected: Event
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * number + 100), hard))
    clients: list[tuple[socket.socket, Iterator[bytes]]] = []
    for count in range(number):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(address)
        clients.append((client, stream()))
        if count % _ROUND == _ROUND - 1:
            time.sleep(_MOMENT)
    if authority:
        context = ssl.create_default_context(cafile=authority)
        encrypted = [(_encrypt(client, context), words) for client, words in clients]
        clients = [(client, words) for client, words in encrypted if client is not None]
    connected.set()
    rests: dict[socket.socket, bytes] = {}
    while True:
        sent = [_send(client, words, rests) for client, words in clients]
        if not any(sent):
            time.sleep(_MOMENT)


def _send(client: socket.socket, words: Iterator[bytes], rests: dict[socket.socket, bytes]) -> bool:
    data = rests.pop(client, b"") or next(words, b"")
    if not data:
        return False
    try:
        sent = client.send(data)
    except (BlockingIOError, ssl.SSLWantWriteError):
        sent = 0
    except OSError:
        return False
    rests[client] = data[sent:]
    return sent > 0


def _encrypt(client: socket.socket, context: ssl.SSLContext) -> socket.socket | None:
    """Do the handshake; return None if the port closes the connection."""
    client.settimeout(2)
    try:
        encrypted = context.wrap_socket(client, server_hostname="127.0.0.1")
    except OSError:
        return None
    encrypted.setblocking(False)
    return encrypted

"""The bytes of one accepted connection, plain or TLS, for one coroutine.

Nothing is read ahead: data from the client waits in the kernel until it is requested, and a client
that does not read blocks the writer. So a connection costs a few kilobytes, also with TLS, for
which the standard library's transports use half a megabyte.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")
_CHUNK: Final = 8192
_PIECE: Final = 65_536
"""Bytes that are encrypted at once."""


class _Tls(NamedTuple):
    session: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


class Stream:
    """Reads and writes ``connection``; uses TLS if ``context`` is set. Raises OSError."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        connection.setblocking(False)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._context = context
        self._tls: _Tls | None = None

    async def read(self) -> bytes:
        """Return the next data, at most 8 KiB; empty at the end."""
        if self._context is None:
            return await self._receive()
        if self._tls is None:
            self._tls = _begin(self._context, await self._receive())
        session = self._tls.session
        try:
            # before the first bytes, OpenSSL does the handshake
            return await self._drive(self._tls, lambda: session.read(_CHUNK))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def write(self, data: bytes) -> None:
        if self._tls is None:
            await self._send(data)
            return
        session = self._tls.session
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            await self._drive(self._tls, lambda piece=piece: session.write(piece))  # type: ignore[misc]

    def close(self) -> None:
        """Close the connection; send TLS's close_notify if the kernel accepts it at once."""
        if self._tls is not None:
            with suppress(OSError, ValueError):
                self._tls.session.unwrap()
            with suppress(OSError):
                self._connection.send(self._tls.outgoing.read())
            self._tls = None
        self._connection.close()

    async def _drive(self, tls: _Tls, step: Callable[[], T]) -> T:
        """Run a step of TLS, and feed it with what the client sends."""
        ended = False
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:  # also after an error, so that the TLS alert is sent
                if tls.outgoing.pending:
                    await self._send(tls.outgoing.read())
            await asyncio.sleep(0)  # a client can send empty records forever
            data = await self._receive()
            if data:
                tls.incoming.write(data)
            elif ended:
                raise ConnectionResetError
            else:
                ended = True
                tls.incoming.write_eof()

    async def _receive(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._connection, _CHUNK)

    async def _send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._connection, data)


def _begin(context: ssl.SSLContext, received: bytes) -> _Tls:
    """Start TLS after the first bytes, so that a silent client costs no more than its socket."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(received)
    if not received:
        incoming.write_eof()
    return _Tls(context.wrap_bio(incoming, outgoing, server_side=True), incoming, outgoing)

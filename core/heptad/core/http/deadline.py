"""A limit for the total time of a response.

The timeout of a socket restarts with each byte; a server that sends one byte every few seconds
would block its client forever.
"""

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

_of_thread = threading.local()


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Let responses to requests of this thread in the ``with`` block end within ``seconds``.

    If limits are nested, the one that ends first applies.
    """
    outer = getattr(_of_thread, "end", None)
    end = time.monotonic() + seconds
    _of_thread.end = end if outer is None else min(outer, end)
    try:
        yield
    finally:
        _of_thread.end = outer


class _Limited(io.RawIOBase):
    """The data of a socket until ``end``; TimeoutError after that."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, end: float) -> None:
        self._raw, self._socket, self._end = raw, sock, end
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timeout while reading the answer")
        if not self._raw.closed and self._socket.fileno() >= 0:
            self._socket.settimeout(left if self._timeout is None else min(left, self._timeout))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        end = getattr(_of_thread, "end", None)
        if end is not None:
            self.fp = io.BufferedReader(_Limited(self.fp.detach(), sock, end))


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _TlsConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class PoolManager(urllib3.PoolManager):
    """urllib3's PoolManager; its responses respect ``limit``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

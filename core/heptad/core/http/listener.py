"""The listening socket, and which connections it keeps if many arrive at once.

Thousands of connections that send nothing must be closed before the next scrape times out, so they
are closed before any further work is done for them.
"""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from heptad.core.config.web import ServerError
from heptad.core.http.connection_limit import share_of_descriptors

_BACKLOG: Final = 4096
_AT_ONCE: Final = 256
_NEWEST: Final = 64
"""Number of newest connections to keep although they sent nothing: they may have had no time."""


class Listener:
    """Listens on ``address``; raises ServerError. Does not resolve any other name."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._at_once = share_of_descriptors(_AT_ONCE)
        try:
            self._listener = _listen(address)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ServerError(
                f"cannot listen on {address[0]}:{address[1]}: {reason}; check whether another "
                "Heptad is running, or set another `listen` address"
            ) from None
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    async def receive(self) -> list[socket.socket]:
        """Wait for connections and return them oldest first; raise OSError, also after ``shut``."""
        first, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        came = [first]
        with suppress(OSError):  # no further connection, or none that this process could open
            while len(came) < self._at_once:
                came.append(self._listener.accept()[0])
        newest = came[-_NEWEST:]
        return [one for one in came[:-_NEWEST] if _keep(one)] + newest

    def shut(self) -> None:
        """Stop waiting for connections; may be called from any thread."""
        with suppress(OSError):  # no thread waits
            self._listener.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    """Return a socket for the address; for IPv4 and IPv6 if the host is empty or `::`."""
    host, port = address
    is_dual = host in ("", "::") and socket.has_dualstack_ipv6()
    host = host or ("::" if is_dual else "0.0.0.0")  # noqa: S104 - configured
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if is_dual:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _keep(connection: socket.socket) -> bool:
    """Return whether it has sent data; close it if not."""
    connection.setblocking(False)
    try:
        if connection.recv(1, socket.MSG_PEEK):
            return True
    except OSError:  # includes BlockingIOError
        pass
    connection.close()
    return False

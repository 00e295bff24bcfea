"""The host names that a port on loopback accepts in requests (RFC 9110, 7.2).

A web page can make its own domain name resolve to 127.0.0.1 and then read the responses of a port
there (DNS rebinding). The attacker needs a name that can be registered. So a port on loopback
accepts only addresses, its own host name, and names that cannot be registered.
"""

import ipaddress
import re
import socket
from typing import Final

from heptad.core.config.types import is_loopback

_PORT: Final = re.compile(r":[0-9]{0,5}$")
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_NOBODYS: Final = (".localhost", ".internal")
"""Reserved endings: RFC 6761, 6.3, and ICANN's resolution 2024.07.29.06."""


class AllowedHosts:
    """The names that a server listening on ``host`` accepts; beyond loopback, all names."""

    def __init__(self, host: str) -> None:
        self._checks = is_loopback(host)
        self._host = socket.gethostname().lower()

    def include(self, name: str) -> bool:
        """Return whether a Host is accepted; an empty one is, because browsers always send it."""
        if not self._checks or not name:
            return True
        name = _PORT.sub("", name.lower()).removesuffix(".")
        return (
            name == self._host
            or _LABEL.fullmatch(name) is not None
            or name.endswith(_NOBODYS)
            or _is_address(name)
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True

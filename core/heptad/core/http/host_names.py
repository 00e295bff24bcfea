"""The names by which a port on loopback is asked (RFC 9110, 7.2).

A web page can have its own name lead to 127.0.0.1 and then read what a port there answers (DNS
rebinding); its name is one that anybody can register. So a port on loopback answers to addresses,
to its host's names, and to names that nobody can register.
"""

import ipaddress
import re
import socket
from typing import Final

from heptad.core.config.types import is_loopback

_PORT: Final = re.compile(r":[0-9]{0,5}$")
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_NOBODYS: Final = (".localhost", ".internal")
"""Endings that are reserved: RFC 6761, 6.3, and ICANN's resolution 2024.07.29.06."""


class AllowedHosts:
    """The names of what listens at ``host``; beyond loopback every name is one."""

    def __init__(self, host: str) -> None:
        self._checks = is_loopback(host)
        self._host = socket.gethostname().lower()

    def include(self, name: str) -> bool:
        """Whether a request with this Host is answered; one without is, as no browser's is."""
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

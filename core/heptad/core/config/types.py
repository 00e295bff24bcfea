"""Option types that are written as text; parsed once, when the file is read."""

import ipaddress
import re
from datetime import tzinfo
from typing import Any, Final, Self

from heptad.core.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    parse_zone,
)


class Duration(float):
    """A number of seconds; ``str`` formats it as in a configuration."""

    def __new__(cls, written: str | float) -> Self:
        """Accept ``10m`` or a number of seconds; raise ValueError with the remedy."""
        seconds = parse_duration(written) if isinstance(written, str) else written
        return super().__new__(cls, seconds)

    def __str__(self) -> str:
        return format_duration(self)


class Size(int):
    """A number of bytes; ``str`` formats it as in a configuration."""

    def __new__(cls, written: str | int) -> Self:
        """Accept ``64KiB`` or a number of bytes; raise ValueError with the remedy."""
        return super().__new__(cls, parse_size(str(written)))

    def __str__(self) -> str:
        return format_size(self)


class Listen(str):
    """A listen address: ``127.0.0.1:9707``, ``[::1]:9707``, or ``:9707`` for all addresses."""

    host: str
    """Without brackets; empty for all addresses, IPv4 and IPv6."""
    port: int

    def __new__(cls, written: str) -> Self:
        """Parse an address; raise ValueError with the remedy."""
        host, colon, port = written.rpartition(":")
        number = int(port) if re.fullmatch("[0-9]{1,5}", port) else 65_536
        if not colon or number > 65_535:
            raise ValueError(
                f"`{written}` is not an address; write HOST:PORT, for example 127.0.0.1:9707, or "
                ":9707 for all addresses"
            )
        listen = super().__new__(cls, written)
        listen.host, listen.port = host.strip("[]"), number
        return listen

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    def overlaps(self, other: "Listen") -> bool:
        """Return whether the two cannot be open at the same time; port 0 is any free port."""
        if self.port != other.port or not self.port:
            return False
        hosts = {self.host, other.host}
        return len(hosts) == 1 or bool(hosts & {"", "::"}) or _are_ipv4(hosts, "0.0.0.0")  # noqa: S104


def _are_ipv4(hosts: set[str], every: str) -> bool:
    return every in hosts and not any(":" in host for host in hosts)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reachable only from this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_PARSERS: Final[dict[type, tuple[Any, str, str]]] = {
    Duration: (Duration, "a duration", "write it with its unit, for example 90s, 5m, 1h or 30d"),
    Size: (Size, "a size", "write for example 64KiB, 500MiB or 1GiB"),
    Listen: (Listen, "an address", "write HOST:PORT, for example 127.0.0.1:9707"),
    tzinfo: (parse_zone, "a time zone", "write it in quotes, for example 'UTC' or '+02:00'"),
}


def decode(kind: type, written: Any) -> Any:
    """Convert a value to the option type ``kind``; raise ValueError with the remedy."""
    parse, name, remedy = _PARSERS[kind]
    if isinstance(written, str) or (kind is Size and type(written) is int):
        return parse(written)
    shown = f"`{str(written)[:100]}`" if isinstance(written, int | float) else "this"
    raise ValueError(f"{shown} is not {name}; {remedy}")

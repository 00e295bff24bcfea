"""Convert captured values to the fields of an event."""

import ipaddress
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Final

from heptad.core.store.event_row import Content

_GROUPS: Final = ("user", "target_user", "address", "source_port", "tty", "object")


@lru_cache(maxsize=8192)
def classify_address(text: str) -> tuple[str | None, str | None]:
    """Return (canonical IP address, None) or (None, name); brackets and zone are dropped."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None, (text if text and text != "UNKNOWN" else None)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), None


def is_port(text: str) -> bool:
    """Return whether the digits are a valid port number without leading zeros."""
    return text[:1] != "0" and len(text) < 6 and int(text) < 65_536


def name_terminal(text: str) -> str:
    """Return the name of a terminal without ``/dev/``, which only some daemons log."""
    return text.removeprefix("/dev/")


@lru_cache(maxsize=65_536)
def _port_of(text: str) -> int | None:
    return int(text) if is_port(text) else None


def make_reader(
    groups: Mapping[str, int], fixed_object: str | None
) -> Callable[[tuple[str | None, ...]], Content]:
    """Return a function that converts captured values to fields.

    ``groups`` maps the names of groups to the places of their values; ``fixed_object`` is the
    object if the rule states it.
    """
    # a group that is missing has the place -1, where a None follows the values
    pick = itemgetter(*(groups.get(name, -1) for name in _GROUPS))

    def read(values: tuple[str | None, ...]) -> Content:
        user, target_user, address, port, tty, object_ = pick((*values, None))
        ip, domain = (None, None) if address is None else classify_address(address)
        return (
            user,
            target_user,
            ip,
            None if port is None else _port_of(port),
            domain,
            None if tty is None else name_terminal(tty),
            fixed_object if object_ is None else object_,
        )

    return read

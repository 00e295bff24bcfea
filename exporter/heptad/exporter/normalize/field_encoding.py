"""What a rule captured, written as a line-protocol field set: once, when the event is made."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from heptad.core.store.line_protocol import quote

TEXT_FIELDS: Final = ("user", "target_user", "tty", "object")


@lru_cache(maxsize=8192)
def classify_address(text: str) -> tuple[str | None, str | None]:
    """(IP address in its canonical form, None), or (None, name); brackets and zone dropped."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None, (text if text and text != "UNKNOWN" else None)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), None


def is_port(text: str) -> bool:
    """Whether the digits are a port's number, written as a number is."""
    return text[:1] != "0" and len(text) < 6 and int(text) < 65_536


def name_terminal(text: str) -> str:
    """The one name of a terminal, which daemons write with ``/dev/`` and without."""
    return text.removeprefix("/dev/")


@lru_cache(maxsize=8192)
def _write_address(text: str) -> str:
    ip, domain = classify_address(text)
    if ip is not None:
        return f',source_ip="{ip}"'
    return "" if domain is None else f",source_domain={quote(domain)}"


@lru_cache(maxsize=65_536)
def _write_port(text: str) -> str:
    return f",source_port={text}i" if is_port(text) else ""


class FieldEncoder:
    """Writes the captured values of one rule; ``groups`` maps their names to their places."""

    def __init__(self, groups: Mapping[str, int], fixed_object: str | None) -> None:
        self._texts = [(name, groups[name]) for name in TEXT_FIELDS if name in groups]
        self._address = groups.get("address", -1)
        self._port = groups.get("source_port", -1)
        self._object = "" if fixed_object is None else f",object={quote(fixed_object)}"
        self._empty = not self._texts and self._address < 0 and self._port < 0

    def write(self, values: tuple[str | None, ...], message: str) -> str:
        """``,name=value`` for every value; ``message`` is what the values were captured from."""
        if self._empty:
            return self._object
        plain = '"' not in message and "\\" not in message and "\n" not in message
        written = self._object
        for name, place in self._texts:
            text = values[place]
            if text is not None:
                if name == "tty":
                    text = name_terminal(text)
                written += f',{name}="{text}"' if plain else f",{name}={quote(text)}"
        if self._address >= 0 and (text := values[self._address]) is not None:
            written += _write_address(text)
        if self._port >= 0 and (text := values[self._port]) is not None:
            written += _write_port(text)
        return written

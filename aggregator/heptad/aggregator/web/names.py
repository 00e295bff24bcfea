"""Names and addresses as they are stored, read without decoding the events that they are in."""

import re
from typing import Final

from heptad.aggregator.web.events import SHOWN
from heptad.core.store.line_protocol import decode_fields
from heptad.core.terminal import printable

_NAMES: Final = re.compile(r',(user|source_ip|source_domain)="((?:[^"\\]|\\.){0,1000}+)')
"""A field as it is stored, cut; within a value there is no quote without a backslash before it."""


def find_names(body: str) -> list[tuple[str, str]]:
    """Each user and source of a stored event: its field, and its value as it is stored, cut."""
    return _NAMES.findall(body)


def show_name(value: str) -> str:
    """A value that ``find_names`` gives, as the page shows it."""
    return printable(str(decode_fields(f'x="{value}"')["x"]), SHOWN)

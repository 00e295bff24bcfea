"""Points as a store accepts and returns them."""

from typing import NamedTuple

import msgspec

Value = str | int | float | bool
"""The types of a field; an integer has 64 bits."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A point as it is stored; ``series`` and ``body`` are line protocol.

    ``series`` is measurement and tags, ``time`` nanoseconds since the epoch, ``body`` the fields,
    ``raw`` the log line or empty. A struct, because there is one per line: a NamedTuple has three
    times the overhead (decision 0045).
    """

    series: str
    time: int
    body: str
    raw: str = ""


class Point(NamedTuple):
    """A point as it is read: ``time`` in nanoseconds since the epoch."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time: int


class Identity(NamedTuple):
    """What distinguishes a point from all others; identities are ordered by time.

    ``time`` is nanoseconds since the epoch, ``series`` measurement and tags as line protocol.
    """

    time: int
    series: str

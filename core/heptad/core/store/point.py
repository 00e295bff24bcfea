"""The forms in which a store takes and returns what it keeps."""

from typing import NamedTuple

import msgspec

Value = str | int | float | bool
"""What a field may hold; an integer has 64 bits."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A point as it is stored; ``series`` and ``body`` are line protocol.

    ``series`` is measurement and tags, ``time`` nanoseconds since the epoch, ``body`` the fields,
    ``raw`` the log line or empty. A struct, because there is one for each line: the overhead of a
    NamedTuple is three times as large (decision 0045).
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
    """What distinguishes a point from all others; the order of identities is that of time.

    ``time`` is nanoseconds since the epoch, ``series`` measurement and tags as line protocol.
    """

    time: int
    series: str

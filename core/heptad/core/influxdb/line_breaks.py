"""Rows as the lines that InfluxDB takes."""

import re
from typing import Final

from heptad.core.influxdb.influxql import EARLIEST, LATEST
from heptad.core.store.api import Row
from heptad.core.store.line_protocol import encode_line

_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_TIME: Final = re.compile("-?[0-9]{1,19}")
_BREAKS: Final = {"n": "\n", "r": "\r"}


def write_breaks(text: str) -> str:
    """Lines whose strings hold line breaks as they are; what is so already stays as it is.

    The stores write one as ``\\n``, which InfluxDB knows as no escape and would keep as two
    characters.
    """
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: _BREAKS.get(found[1], found[0]), text)


def line_of(row: Row) -> str:
    """The line of a row, as InfluxDB takes it."""
    return write_breaks(encode_line(*row))


def time_of(line: str) -> int | None:
    """The time (ns) at the end of a line; None where there is none."""
    text = line.rpartition(" ")[2]
    return int(text) if _TIME.fullmatch(text) else None


def is_storable(row: Row) -> bool:
    """Whether InfluxDB can take it: its text is UTF-8, its time within 64 bits."""
    series, time, *texts = row
    try:
        "".join((series, *texts)).encode()
    except UnicodeEncodeError:
        return False
    return EARLIEST <= time < LATEST

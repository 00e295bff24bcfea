"""InfluxDB line protocol: the form in which every store keeps points.

Escapes as InfluxDB's reference gives them ("Line protocol", sections "Special characters" and
"Quotes"): blanks, commas and equals signs in a measurement or tag; quotes and backslashes in a
string field. Line breaks are written as ``\\n`` so that a point is always one line.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from heptad.core.store.point import Point, Row, Value

_TAG: Final = str.maketrans(
    {",": "\\,", "=": "\\=", " ": "\\ ", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
)
_FIELD: Final = re.compile(r'([^=,]+)=(?:"([^"]*)"|([^,]*)),?')
_BACKSLASH, _QUOTE = "\ud800", "\ud801"
"""Stand for what is escaped while fields are told apart: surrogates are in no text of a store."""
_STRING_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_TIME: Final = re.compile("-?[0-9]{1,19}")
_BREAKS: Final = {"n": "\n", "r": "\r"}


def encode_series(measurement: str, tags: Iterable[tuple[str, str]]) -> str:
    """``measurement,tag=value,…``; an empty tag is left out, for InfluxDB knows none."""
    return ",".join([measurement.translate(_TAG), *[f"{k}={_escape(v)}" for k, v in tags if v]])


@lru_cache(maxsize=8192)
def _escape(tag: str) -> str:
    # a backslash before a separator would swallow it, and a tag has no escape for a backslash
    return tag.replace("\\", "/").translate(_TAG)


@lru_cache(maxsize=8192)
def decode_series(series: str) -> tuple[str, dict[str, str]]:
    """The measurement and tags of what ``encode_head`` gave; do not change the tags."""
    measurement, *pairs = re.split(r"(?<!\\),", series)
    tags = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        tags[key] = _STRING_ESCAPE.sub(lambda m: m[1], value)
    return measurement, tags


def quote(text: str) -> str:
    """A string field's value with its quotes."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return f'"{text}"'


def encode_fields(fields: Mapping[str, Value | None]) -> str:
    """``key="text",key=1i,key=true``; a field that is None is left out."""
    parts = []
    for key, value in fields.items():
        if value is None:
            continue
        if isinstance(value, str):
            parts.append(f"{key}={quote(value)}")
        elif isinstance(value, bool):
            parts.append(f"{key}={'true' if value else 'false'}")
        elif isinstance(value, int):
            parts.append(f"{key}={value}i")
        else:
            parts.append(f"{key}={value!r}")
    return ",".join(parts)


def encode_line(row: Row) -> str:
    """The line of a stored row; ``raw`` is its field of that name."""
    return encode_lines([(0, row.series, row.time, row.body, row.raw)])[0]


def encode_lines(rows: Iterable[tuple[int, str, int, str, str]]) -> list[str]:
    """The same of many rows, each behind its id; a call for each would cost as much again."""
    return [
        f"{series} {body},raw={quote(raw)} {time}" if raw else f"{series} {body} {time}"
        for _, series, time, body, raw in rows
    ]


def decode_fields(body: str) -> dict[str, Value]:
    """The fields of what ``encode_fields`` gave."""
    if "\\" in body:
        hidden = body.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
        found = [(key, _show(text), plain) for key, text, plain in _FIELD.findall(hidden)]
    else:
        found = _FIELD.findall(body)
    return {
        key: text if not plain else int(plain[:-1]) if plain[-1] == "i" else _decode_plain(plain)
        for key, text, plain in found
    }


def _show(text: str) -> str:
    """What was hidden, as it is: at once, for a list of names as JSON has two quotes for each."""
    text = text.replace(_QUOTE, '"')
    if "\\" in text:
        text = _STRING_ESCAPE.sub(lambda m: _BREAKS.get(m[1], m[1]), text)
    return text.replace(_BACKSLASH, "\\")


def _decode_plain(text: str) -> Value:
    return text == "true" if text in ("true", "false") else float(text)


def row_of(
    measurement: str, tags: Iterable[tuple[str, str]], time: int, fields: Mapping[str, Value | None]
) -> Row:
    """A row of tags and fields."""
    return Row(encode_series(measurement, tags), time, encode_fields(fields))


def point_of(row: Row) -> Point:
    """The point of a stored row; ``raw`` is its field of that name."""
    measurement, tags = decode_series(row.series)
    fields = decode_fields(row.body)
    if row.raw:
        fields["raw"] = row.raw
    return Point(measurement, tags, fields, row.time)


def write_breaks(text: str) -> str:
    """Lines whose strings hold line breaks as they are; a line break that is there stays.

    A store writes a line break as ``\\n``, so that a row is one line. InfluxDB does not know that
    escape and would keep two characters. Rows of older versions are stored so, and are delivered
    years later: so there are two dialects, and this is the only place that knows both.
    """
    if "\\" not in text:
        return text
    return _STRING_ESCAPE.sub(lambda found: _BREAKS.get(found[1], found[0]), text)


def line_of(row: Row) -> str:
    """The line of a row, as InfluxDB takes it."""
    return write_breaks(encode_line(row))


def time_of(line: str) -> int | None:
    """The time (ns) at the end of a line; None where there is none."""
    text = line.rpartition(" ")[2]
    return int(text) if _TIME.fullmatch(text) else None

"""InfluxDB line protocol, the format in which every store keeps points.

Escapes follow InfluxDB's reference ("Line protocol", sections "Special characters" and "Quotes"):
blanks, commas and equals signs in a measurement or tag; quotes and backslashes in a string field.
Line breaks are written as ``\\n`` so that a point is always one line.
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
"""Placeholders for escapes while fields are split: stored text never contains surrogates."""
_STRING_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_TIME: Final = re.compile("-?[0-9]{1,19}")
_BREAKS: Final = {"n": "\n", "r": "\r"}


def encode_series(measurement: str, tags: Iterable[tuple[str, str]]) -> str:
    """Return ``measurement,tag=value,…``; empty tags are omitted, because InfluxDB has none."""
    return ",".join([measurement.translate(_TAG), *[f"{k}={_escape(v)}" for k, v in tags if v]])


@lru_cache(maxsize=8192)
def _escape(tag: str) -> str:
    # a backslash before a separator would escape it, and in a tag it cannot be escaped itself
    return tag.replace("\\", "/").translate(_TAG)


@lru_cache(maxsize=8192)
def decode_series(series: str) -> tuple[str, dict[str, str]]:
    """Decode what ``encode_series`` returned; do not modify the tags."""
    measurement, *pairs = re.split(r"(?<!\\),", series)
    tags = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        tags[key] = _STRING_ESCAPE.sub(lambda m: m[1], value)
    return measurement, tags


def escape(text: str) -> str:
    """Escape a string for use between the quotes of a field."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\r", "\\r")


def needs_escape(text: str) -> bool:
    """Return whether ``escape`` would change the text."""
    return '"' in text or "\\" in text or "\n" in text or "\r" in text


def quote(text: str) -> str:
    """Return the value of a string field with its quotes."""
    return f'"{escape(text) if needs_escape(text) else text}"'


def encode_fields(fields: Mapping[str, Value | None]) -> str:
    """Return ``key="text",key=1i,key=true``; fields that are None are omitted."""
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
    """Return the line of a stored row; ``raw`` becomes a field of that name."""
    return encode_lines([(0, row.series, row.time, row.body, row.raw)])[0]


def encode_lines(rows: Iterable[tuple[int, str, int, str, str]]) -> list[str]:
    """Return the lines of many (id, row); a call per row would take twice as long."""
    return [
        f"{series} {body},raw={quote(raw)} {time}" if raw else f"{series} {body} {time}"
        for _, series, time, body, raw in rows
    ]


def decode_fields(body: str) -> dict[str, Value]:
    """Decode what ``encode_fields`` returned."""
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
    """Replace the placeholders, all at once: JSON lists of names have two quotes per name."""
    text = text.replace(_QUOTE, '"')
    if "\\" in text:
        text = _STRING_ESCAPE.sub(lambda m: _BREAKS.get(m[1], m[1]), text)
    return text.replace(_BACKSLASH, "\\")


def _decode_plain(text: str) -> Value:
    return text == "true" if text in ("true", "false") else float(text)


def row_of(
    measurement: str, tags: Iterable[tuple[str, str]], time: int, fields: Mapping[str, Value | None]
) -> Row:
    """Return a row of tags and fields."""
    return Row(encode_series(measurement, tags), time, encode_fields(fields))


def point_of(row: Row) -> Point:
    """Return the point of a stored row; ``raw`` becomes a field of that name."""
    measurement, tags = decode_series(row.series)
    fields = decode_fields(row.body)
    if row.raw:
        fields["raw"] = row.raw
    return Point(measurement, tags, fields, row.time)


def write_breaks(text: str) -> str:
    """Replace escaped line breaks in strings by real ones; existing line breaks are kept.

    A store writes a line break as ``\\n``, so that a row is one line. InfluxDB does not know that
    escape and would keep two characters. Rows of older versions are stored like this and may be
    delivered years later, so there are two dialects; only this function knows both.
    """
    if "\\" not in text:
        return text
    return _STRING_ESCAPE.sub(lambda found: _BREAKS.get(found[1], found[0]), text)


def line_of(row: Row) -> str:
    """Return the line of a row, as InfluxDB expects it."""
    return write_breaks(encode_line(row))


def time_of(line: str) -> int | None:
    """Return the time (ns) at the end of a line; None if it has none."""
    text = line.rpartition(" ")[2]
    return int(text) if _TIME.fullmatch(text) else None

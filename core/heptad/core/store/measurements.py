"""The schema of the stores: measurements with their tags, and the type of each field.

In InfluxDB the first value of a field determines its type, and all others are rejected ("field type
conflict" in its documentation): an integer ``3i`` after ``3.0``, and the other way round. So a row
is written according to its declaration, and a value of another type never reaches a line. Events
and unparsed lines are not checked at run time, because there are many; tests check them.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from heptad.core.store.line_protocol import encode_fields, encode_series, quote
from heptad.core.store.point import Row, Value

TYPES: Final[dict[type[Value], str]] = {
    str: "string",
    int: "integer",
    float: "float",
    bool: "boolean",
}
"""InfluxDB's names of the types; integers have 64 bits."""
STORED: Final = frozenset((*TYPES.values(), "unsigned"))
"""All types that a field can have on a server."""


PART: Final = 60_000
"""Characters: 3.x accepts at most 64 KiB in a string field."""


class Field(msgspec.Struct, frozen=True):
    """The type of a field's values, and their meaning.

    ``in_parts``: a long text is split into fields of ``PART`` characters, ``name``, ``name_1``, …;
    ASCII only.
    """

    type: type[Value]
    description: str
    in_parts: bool = False


class Measurement(msgspec.Struct, frozen=True):
    """The meaning of each tag, and the type and meaning of each field, of the rows with one name.

    ``always``: a field that every row has, so that rows can be counted.
    """

    name: str
    about: str
    always: str
    tags: Mapping[str, str]
    fields: Mapping[str, Field]

    def encode(self, fields: Mapping[str, Value | None]) -> str:
        """Encode the fields as line protocol, without those that are None.

        An integer is written as a float if a float is declared. Raise TypeError for any other type
        than the declared one, KeyError for an unknown field, ValueError for a float that is not
        finite, which InfluxDB does not support.
        """
        parts = []
        for name, value in fields.items():
            field = self.fields[name]
            kind = type(value)
            # fast path for nearly all values
            if kind is int and field.type is int:
                parts.append(f"{name}={value}i")
            elif kind is str and field.type is str and not field.in_parts:
                parts.append(f"{name}={quote(value)}")  # type: ignore[arg-type]
            elif part := encode_fields(self._typed(name, value)):
                parts.append(part)
        return ",".join(parts)

    def _typed(self, name: str, value: Value | None) -> Mapping[str, Value | None]:
        if self.fields[name].in_parts and isinstance(value, str):
            return _split_text(name, value)
        return {name: self._check(name, value)}

    def _check(self, name: str, value: Value | None) -> Value | None:
        declared = self.fields[name].type
        if type(value) is int and declared is float:
            value = float(value)
        if value is not None and type(value) is not declared:
            raise TypeError(f"{self.name}.{name} is of type {TYPES[declared]}, not {type(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{self.name}.{name} is {value}")
        return value

    def row(
        self, tags: Iterable[tuple[str, str]], time: int, fields: Mapping[str, Value | None]
    ) -> Row:
        """Return a row at ``time`` (ns); see ``encode``."""
        return Row(encode_series(self.name, tags), time, self.encode(fields))


def _split_text(name: str, text: str) -> dict[str, str]:
    parts = [text[at : at + PART] for at in range(0, len(text), PART)] or [""]
    return {f"{name}_{number}" if number else name: part for number, part in enumerate(parts)}


def join_text(name: str, fields: Mapping[str, Value]) -> str:
    """Join a value that was written ``in_parts`` as the field ``name``; empty if it is missing."""
    parts = [str(fields.get(name, ""))]
    while (part := fields.get(f"{name}_{len(parts)}")) is not None:
        parts.append(str(part))
    return "".join(parts)

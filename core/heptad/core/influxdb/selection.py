"""The columns to select of a measurement, and the conversion of rows to points.

In InfluxDB a name may be a tag of one point and a field of another, the type of a field is that of
its first value in each shard, and anyone with write access can add any number of names. By default
the server then mixes them: for a field of two types it returns the values of one type and null for
the others (float before integer, string and boolean), and a condition on a tag refers to the field
of its name. So each declared tag and field is selected with its kind and type (InfluxQL's
reference, "Syntax for specifying fields and tags", and "Cast operations"), tested with 1.6.7 and
2.7.12. In 3.x the type of a column never changes.

Values of another type are selected as additional columns, so that validation sees them.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from heptad.core.influxdb.influxql import quote_name
from heptad.core.influxdb.state_row import STATE
from heptad.core.store.event_row import EVENTS
from heptad.core.store.heartbeat_row import HEARTBEATS
from heptad.core.store.measurements import STORED, TYPES, Measurement
from heptad.core.store.point import Point, Value
from heptad.core.store.unparsed_row import UNPARSED_LINES

CORE: Final = {m.name: m for m in (EVENTS, UNPARSED_LINES, HEARTBEATS, STATE)}
_MOST_PARTS: Final = 64
_MOST_SETS: Final = 8192


class Columns(msgspec.Struct):
    """The tags of a measurement, and the types that each of its fields has."""

    tags: frozenset[str] = frozenset()
    fields: dict[str, set[str]] = {}


class Selection(msgspec.Struct):
    """The select list ``text``; ``aliases`` are columns for other types of a field."""

    text: str
    tags: frozenset[str]
    floats: frozenset[str]
    aliases: Mapping[str, tuple[str, str]] = {}
    """Column → the field, and the type."""
    known: frozenset[str] | None = None
    """If ``text`` selects all columns: the known ones."""


def select(declared: Measurement, fields: Collection[str], known: Columns) -> Selection:
    """Select the declared tags, and ``fields`` or, if that is empty, all declared fields."""
    parts = [f"{quote_name(tag)}::tag" for tag in declared.tags]
    aliases: dict[str, tuple[str, str]] = {}
    for name, field in declared.fields.items():
        if fields and name not in fields:
            continue
        kind = TYPES[field.type]
        names = (
            [name, *[f"{name}_{n}" for n in range(1, _MOST_PARTS)]] if field.in_parts else [name]
        )
        parts += [f"{quote_name(part)}::{kind}" for part in names]
        for other in sorted((known.fields.get(name, set()) & STORED) - {kind}):
            aliases[f"{other} {name}"] = (name, other)
            parts.append(f"{quote_name(name)}::{other} AS {quote_name(f'{other} {name}')}")
    floats = frozenset(name for name, field in declared.fields.items() if field.type is float)
    return Selection(", ".join(parts), frozenset(declared.tags), floats, aliases)


def select_known(names: Collection[str], known: Columns) -> Selection:
    """Select columns that the server knows, of an undeclared measurement or of 3.x."""
    floats = frozenset(name for name, kinds in known.fields.items() if "float" in kinds)
    text = ", ".join(map(quote_name, (*names, *sorted(known.tags)))) if names else "*"
    return Selection(text, known.tags, floats, known=known.tags | known.fields.keys())


class Maker:
    """Creates points from rows. A column that is neither tag nor alias becomes a field.

    ``learn`` queries the server again if an unknown column appears.
    """

    def __init__(
        self, measurement: str, selection: Selection, learn: Callable[[], Selection]
    ) -> None:
        self._learn = learn
        self._measurement = measurement
        self._selection = selection
        self._columns: Sequence[str] | None = None
        self._tags: list[tuple[int, str]] = []
        self._fields: list[tuple[int, str, bool]] = []
        self._others: list[tuple[int, str, str]] = []
        self._sets: dict[tuple[Any, ...], dict[str, str]] = {}

    def point(self, columns: list[str], row: list[Any]) -> Point:
        """Return one point; points with the same tags share one dict."""
        if columns is not self._columns:
            self._take_columns(columns)
        key = tuple([row[i] for i, _ in self._tags])
        tags = self._sets.get(key)
        if tags is None:
            if len(self._sets) >= _MOST_SETS:
                self._sets.clear()
            tags = self._sets[key] = {name: row[i] for i, name in self._tags if row[i]}
        fields: dict[str, Value] = {}
        for i, name, is_float in self._fields:
            value = row[i]
            if value is not None:
                fields[name] = float(value) if is_float else value
        for i, name, kind in self._others:
            # numbers are returned as both types; use the other type only if its value differs
            value = row[i]
            if value is not None and fields.get(name) != value:
                fields[name] = float(value) if kind == "float" else value
        return Point(self._measurement, tags, fields, row[0])

    def _take_columns(self, columns: list[str]) -> None:
        if columns != self._columns:
            known = self._selection
            if known.known is not None and not known.known.issuperset(columns[1:]):
                known = self._selection = self._learn()
            numbered = [(i, name) for i, name in enumerate(columns) if i]
            self._tags = [(i, name) for i, name in numbered if name in known.tags]
            self._others = [
                (i, *known.aliases[name]) for i, name in numbered if name in known.aliases
            ]
            self._fields = [
                (i, name, name in known.floats)
                for i, name in numbered
                if name not in known.tags and name not in known.aliases
            ]
            self._sets.clear()
        self._columns = columns

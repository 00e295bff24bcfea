"""What of a measurement is asked for, and points of the rows that come.

On InfluxDB a name may be a tag of one point and a field of another, a field has the type that came
first in each shard, and whoever may write may add any number of names. By itself the server then
mixes them: of two types it gives the values of one and null for the others (float before integer,
string and boolean), and a condition on a tag looks at the field of its name. So of a measurement
that Heptad declares each tag and field is asked for as what it is (InfluxQL's reference, "Syntax
for specifying fields and tags", and "Cast operations"), tried on 1.6.7 and 2.7.12. In 3.x a
column has one type for ever.

What a field holds of another type is asked for beside it, so that whoever validates sees it.
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
    """What is known of a measurement: its tags, and the types that each of its fields has."""

    tags: frozenset[str] = frozenset()
    fields: dict[str, set[str]] = {}


class Selection(msgspec.Struct):
    """What a statement asks for, as ``text``; the other types of a field are ``aliases``."""

    text: str
    tags: frozenset[str]
    floats: frozenset[str]
    aliases: Mapping[str, tuple[str, str]] = {}
    """Column → the field, and the type."""
    known: frozenset[str] | None = None
    """Where ``text`` asks for whatever there is: the columns that are known."""


def select(declared: Measurement, fields: Collection[str], known: Columns) -> Selection:
    """The tags and, of its fields, those that are asked for; none: all."""
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
    """The same of a measurement that nobody declares, or of 3.x, as far as the server knows it."""
    floats = frozenset(name for name, kinds in known.fields.items() if "float" in kinds)
    text = ", ".join(map(quote_name, (*names, *sorted(known.tags)))) if names else "*"
    return Selection(text, known.tags, floats, known=known.tags | known.fields.keys())


class Maker:
    """Makes points of rows. What is neither tag nor alias counts as a field.

    ``learn``: asks the server again, where a column comes that is not known.
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
        """One point; points with the same tags share the dict of them."""
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
            # a number is given as either type; it is of the other one where that tells more
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

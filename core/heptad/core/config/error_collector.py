"""Repair invalid data, so that one pass over a document reports all of its errors.

An invalid value is removed. A missing key, including one whose value was removed, gets a value of
its type. A structure with a wrong ``type`` becomes the most similar known one, so that further
errors inside it are found. Errors that only follow from such a repair are not reported.
"""

from collections.abc import Sequence
from copy import copy
from difflib import SequenceMatcher
from typing import Any, Final

import msgspec

from heptad.core.config.options import type_info

PathKey = str | int

_ALIKE: Final = 0.6
_FILLINGS: Final[dict[type[msgspec.inspect.Type], Any]] = {
    msgspec.inspect.StrType: "?",
    msgspec.inspect.ListType: [],
    msgspec.inspect.VarTupleType: [],
    msgspec.inspect.DictType: {},
    msgspec.inspect.StructType: {},
    msgspec.inspect.BoolType: False,
    msgspec.inspect.IntType: 1,
    msgspec.inspect.FloatType: 1.0,
}


class ErrorCollector:
    """Repairs data, and maps paths in the repaired data to paths in the document."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self._touched: list[list[PathKey]] = []
        self._guesses: list[list[PathKey]] = []
        self._numbers: dict[int, list[int]] = {}

    def original(self, path: Sequence[PathKey]) -> list[PathKey]:
        """Return the path in the document of the value that is now at ``path``."""
        here, original = self.data, list[PathKey]()
        for step in path:
            if isinstance(here, list) and isinstance(step, int):
                original.append(self._numbers.get(id(here), list(range(len(here))))[step])
            else:
                original.append(step)
            known = isinstance(here, list) or (isinstance(here, dict) and step in here)
            here = here[step] if known else None
        return original

    def is_touched(self, original: list[PathKey], *, inside: bool = False) -> bool:
        """Return whether the value at a path, or one around it, is invalid or was filled in.

        The path is one of the document. With ``inside``, values within it count too.
        """
        return any(
            original[: len(path)] == path or (inside and path[: len(original)] == original)
            for path in self._touched
        )

    def touch(self, path: Sequence[PathKey]) -> None:
        """Mark the value that is now at ``path`` as invalid."""
        self._touched.append(self.original(path))

    def explains(self, original: list[PathKey], missing: str, kind: Any) -> bool:
        """Return whether an error at a path of the document follows from one already reported.

        ``missing`` is the missing key, or empty.
        """
        if missing and self.is_touched([*original, missing]):
            return True
        guessed = any(original[: len(path)] == path for path in self._guesses)
        if not guessed or not missing:
            return guessed
        # the intended structure is unknown: report only keys that are missing in all candidates
        structs = [t for t in types_at(kind, original) if isinstance(t, msgspec.inspect.StructType)]
        return any(missing not in {field.encode_name for field in s.fields} for s in structs)

    def repair(self, path: list[PathKey], kind: Any) -> bool:
        """Remove the value at ``path``, or replace a wrong ``type`` by the most similar one.

        Return False if nothing is left to continue with.
        """
        if path and isinstance(parent := self._at(path[:-1]), dict):
            tagged = _tagged(types_at(kind, self.original(path[:-1])), path[-1])
            if tagged and path[-1] in parent:
                self._touched.append(self.original(path))
                value = parent[path[-1]]
                parent[path[-1]] = self._choose_tag(tagged, parent, value, path[:-1])
                return True
        return self._take_out(path)

    def fill(self, path: list[PathKey], name: str, kind: Any) -> bool:
        """Add the missing key to the structure at ``path``; return False if that is impossible."""
        here = self._at(path)
        if not isinstance(here, dict):
            return self._take_out(path)
        original = self.original(path)
        self._touched.append([*original, name])
        types = types_at(kind, original)
        if tagged := _tagged(types, name):
            here[name] = self._choose_tag(tagged, here, None, path)
            return True
        found, value = _make_value(types_at(kind, [*original, name]))
        if not found or name in here:
            return self._take_out(path)
        here[name] = value
        return True

    def _at(self, path: list[PathKey]) -> Any:
        here = self.data
        for step in path:
            here = here[step]
        return here

    def _choose_tag(
        self,
        tagged: list[msgspec.inspect.StructType],
        data: dict[str, Any],
        value: Any,
        path: list[PathKey],
    ) -> Any:
        """Return the most similar tag, or else that of the structure with most of the keys."""
        likeness = {
            str(info.tag): SequenceMatcher(None, str(value), str(info.tag)).ratio()
            for info in tagged
        }
        keys = [len(data.keys() & {field.encode_name for field in info.fields}) for info in tagged]
        best = max(tagged, key=lambda info: likeness[str(info.tag)])
        if likeness[str(best.tag)] < _ALIKE:
            best = tagged[keys.index(max(keys))]
            if keys.count(max(keys)) > 1:
                self._guesses.append(self.original(path))
        return best.tag

    def _take_out(self, path: list[PathKey]) -> bool:
        """Remove the value at ``path``; return False if nothing is left to continue with."""
        self._touched.append(self.original(path))
        if not path:
            return False
        here = self._at(path[:-1])
        if isinstance(here, list):
            self._numbers.setdefault(id(here), list(range(len(here)))).pop(int(path[-1]))
        elif path[-1] not in here:
            return False
        del here[path[-1]]
        return True


def _tagged(types: list[msgspec.inspect.Type], key: PathKey) -> list[msgspec.inspect.StructType]:
    """Return the structures that ``key`` distinguishes by its value."""
    structs = [info for info in types if isinstance(info, msgspec.inspect.StructType)]
    return [info for info in structs if info.tag is not None and info.tag_field == key]


def _make_value(types: list[msgspec.inspect.Type]) -> tuple[bool, Any]:
    """Return whether a value could be made, and a value of one of the types."""
    for info in types:
        if isinstance(info, msgspec.inspect.LiteralType):
            return True, info.values[0]
        for kind, value in _FILLINGS.items():
            if isinstance(info, kind):
                return True, copy(value)
    return False, None


def types_at(kind: Any, path: list[PathKey]) -> list[msgspec.inspect.Type]:
    """Return the types that the structure ``kind`` allows at ``path``."""
    types = options_of([type_info(kind)])
    for step in path:
        inner: list[msgspec.inspect.Type] = []
        for info in types:
            if isinstance(info, msgspec.inspect.StructType):
                inner += [field.type for field in info.fields if field.encode_name == step]
            elif isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
                inner.append(info.item_type)
            elif isinstance(info, msgspec.inspect.DictType):
                inner.append(info.value_type)
        types = options_of(inner)
    return types


def options_of(types: list[msgspec.inspect.Type]) -> list[msgspec.inspect.Type]:
    """Return the types without their metadata; a union is replaced by its members."""
    options: list[msgspec.inspect.Type] = []
    for info in types:
        if isinstance(info, msgspec.inspect.Metadata):
            options += options_of([info.type])
        elif isinstance(info, msgspec.inspect.UnionType):
            options += options_of(list(info.types))
        else:
            options.append(info)
    return options

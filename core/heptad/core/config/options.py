"""How options are declared, and how their values are checked.

An option is a field of a ``Section``: its type, its default, and ``option`` with its description
and bounds. docs/configuration.md is generated from these.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.inspect import ListType, Metadata, StructType, Type, UnionType

KeyPath = tuple[str | int, ...]


class Fault(NamedTuple):
    """An error at a key. It also depends on the values at ``reads``."""

    path: KeyPath
    message: str
    reads: tuple[KeyPath, ...] = ()

    def within(self, *path: str | int) -> "Fault":
        """Return the same fault for a section that is at ``path``."""
        reads = tuple((*path, *read) for read in self.reads)
        return Fault((*path, *self.path), self.message, reads)


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """A section of the configuration."""

    def faults(self) -> Iterator[Fault]:
        """Report values that are valid by themselves but conflict with each other."""
        yield from ()


class Bounds(NamedTuple):
    """The lowest and highest value of an option; None if there is no limit."""

    least: Any
    most: Any

    def __str__(self) -> str:
        if self.most is None:
            return f"at least {self.least}"
        return f"between {self.least} and {self.most}"

    def check(self, value: Any) -> None:
        """Raise ValueError if the value is out of bounds."""
        if value < self.least or (self.most is not None and value > self.most):
            raise ValueError(f"must be {self}")


_CHECKS: Final = "checks"
BOUNDS: Final = "bounds"


def option(
    sentence: str,
    least: Any = None,
    most: Any = None,
    *,
    check: Callable[[Any], None] | None = None,
) -> msgspec.Meta:
    """Describe an option; ``check`` raises ValueError with the remedy."""
    limits = None if least is None else Bounds(least, most)
    checks = [limits.check] if limits else []
    extra = {BOUNDS: limits, _CHECKS: [*checks, *([check] if check else [])]}
    return msgspec.Meta(description=sentence, extra=extra)


type_info: Final = lru_cache(msgspec.inspect.type_info)


def check_values(value: msgspec.Struct) -> Iterator[Fault]:
    """Report the values that are invalid by themselves."""
    yield from _check(type_info(type(value)), value, ())


def check_sections(value: Any) -> Iterator[Fault]:
    """Report values that conflict with each other, in every section."""
    if isinstance(value, Section):
        yield from value.faults()
    parts: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, msgspec.Struct):
        parts = ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, list):
        parts = iter(enumerate(value))
    for key, part in parts:
        for fault in check_sections(part):
            yield fault.within(key)


def _check(info: Type, value: Any, path: KeyPath) -> Iterator[Fault]:
    if isinstance(info, Metadata):
        for check in (info.extra or {}).get(_CHECKS, ()) if value is not None else ():
            try:
                check(value)
            except ValueError as error:
                yield Fault(path, str(error), (path,))
        yield from _check(info.type, value, path)
        return
    parts: Iterator[tuple[Type, Any, KeyPath]] = iter(())
    if isinstance(info, UnionType):
        parts = ((each, value, path) for each in info.types)
    elif isinstance(info, StructType) and info.cls is type(value):
        parts = ((f.type, getattr(value, f.name), (*path, f.encode_name)) for f in info.fields)
    elif isinstance(info, ListType):
        parts = ((info.item_type, item, (*path, n)) for n, item in enumerate(value))
    for part in parts:
        yield from _check(*part)

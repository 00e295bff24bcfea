"""Which tests `make check` leaves out.

- Those whose code reaches `tests.support.needs`. This is detected by following names: from the test
  function and its fixtures to everything in `tests` that they call. Only a parameter that needs the
  system has to be marked, with `system`.
- Those that are marked `long`.
- Of those that are marked `table`, all cases but the first.
"""

import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Final

import pytest

from tests.support import needs

NEEDS: Final = frozenset(
    {
        needs.program,
        needs.root,
        needs.mount_namespace,
        needs.cgroup_folder,
        needs.built,
        needs.docker_host,
    }
)


LEFT_OUT: Final = pytest.StashKey[dict[str, int]]()
"""Number of tests per file that `make check` leaves out."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark the tests that `make check` does not run as `left_out`."""
    begun = set[object]()
    for item in items:
        if isinstance(item, pytest.Function) and is_left_out(item, begun):
            item.add_marker("left_out")


def is_left_out(item: pytest.Function, begun: set[object]) -> bool:
    """Return whether `make check` leaves a test out; ``begun``: tables that have had a case."""
    if item.get_closest_marker("table") is not None and item.function in begun:
        return True
    begun.add(item.function)
    marks = map(item.get_closest_marker, ("system", "long"))
    return any(found is not None for found in marks) or needs_system(item)


def needs_system(item: pytest.Function) -> bool:
    """Return whether the code of this test reaches `tests.support.needs`."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # noqa: SLF001 - pytest has no other way
    functions = [item.function, *(each.func for found in fixtures for each in found)]
    return any(reaches(unwrap(function)) for function in functions)


@cache
def reaches(value: object) -> bool:
    """Return whether this function or class of `tests` leads to one of NEEDS."""
    seen: set[object] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one in NEEDS:
            return True
        if one not in seen:
            seen.add(one)
            waiting.extend(follow(one))
    return False


def unwrap(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function without decorators; hypothesis stores it in its own attribute."""
    written: Callable[..., object] = inspect.unwrap(function)
    kept = getattr(written, "hypothesis", None)
    inner: Callable[..., object] = getattr(kept, "inner_test", written)
    return inner


def follow(value: object) -> Iterator[object]:
    """Yield the functions and classes of `tests` that this one refers to."""
    if isinstance(value, type):
        functions = [x for x in vars(value).values() if isinstance(x, types.FunctionType)]
        yield from functions
        yield from (base for base in value.__bases__ if base.__module__.startswith("tests."))
    elif isinstance(value, types.FunctionType):
        function = unwrap(value)
        names = name_all(function.__code__)
        for name in names & function.__globals__.keys():
            yield from _resolve(function.__globals__[name], names)


def name_all(code: types.CodeType) -> set[str]:
    """Return the names of globals and attributes in a function, and in nested ones."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*map(name_all, inner))


def _resolve(found: object, names: set[str]) -> Iterator[object]:
    """Yield what a global is in `tests`; for a module, its attributes that are named too."""
    if isinstance(found, types.ModuleType) and found.__name__.startswith("tests."):
        for name in names & vars(found).keys():
            yield from _resolve(vars(found)[name], set())
    elif any(found is need for need in NEEDS) or (  # an object of functools.cache is not a function
        isinstance(found, types.FunctionType | type) and found.__module__.startswith("tests.")
    ):
        yield found


def count(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Count what was left out; a worker of pytest-xdist reports it to the main process."""
    left = config.stash.setdefault(LEFT_OUT, {})
    for item in items:
        if item.get_closest_marker("left_out") is not None:
            name = item.location[0]
            left[name] = left.get(name, 0) + 1
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = left


def describe(left: dict[str, int]) -> Iterator[str]:
    """Yield lines that list what was left out."""
    number = sum(left.values())
    yield f"{number} tests need a daemon, a server, a browser or root, or much time (make test):"
    yield from (f"  {number:>4} {name}" for name, number in sorted(left.items()))

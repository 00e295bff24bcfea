"""The duration of the tests of each file, for CI."""

from collections.abc import Iterator, Mapping
from typing import Final

MOST: Final = 20
"""The maximum number of files listed, the slowest first."""


def describe(spent: Mapping[str, float]) -> Iterator[str]:
    """Yield a line for each of the slowest files, and one for all others together."""
    slowest = sorted(spent, key=lambda name: -spent[name])
    yield from (f"{_clock(spent[name])}  {name}" for name in slowest[:MOST])
    if others := slowest[MOST:]:
        yield f"{_clock(sum(spent[name] for name in others))}  {len(others)} other files"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:4}:{int(seconds) % 60:02}"

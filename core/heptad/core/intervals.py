"""Intervals of whole minutes."""

from collections.abc import Iterable
from typing import Final

MINUTE: Final = 60 * 10**9
"""Nanoseconds."""

Interval = tuple[int, int]
"""since <= t < until, in whole minutes since the epoch."""


def merge_intervals(intervals: Iterable[Interval]) -> list[Interval]:
    """Sort the intervals, and merge those that touch."""
    merged: list[Interval] = []
    for since, until in sorted(intervals):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged

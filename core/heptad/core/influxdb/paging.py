"""A range of time asked for in slices, each as large as the server can answer."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from heptad.core.influxdb.influxql import EARLIEST, LATEST
from heptad.core.store.api import StoreError

DAY: Final = 86_400 * 10**9
_SHORTEST: Final = 1000


class TooLarge(StoreError):
    """The server, or this side, cannot take so much in one answer; a part of it may have come."""


class Series(msgspec.Struct):
    """Rows of an answer; a row's values are in the order of ``columns``."""

    columns: list[str]
    name: str = ""
    tags: dict[str, str] = {}
    values: list[list[Any]] = []
    partial: bool = False


def read_pages(
    select: Callable[[int, int], Iterator[Series]],
    since: int,
    until: int,
    *,
    newest_first: bool = False,
    unit: int = 1,
) -> Iterator[tuple[list[str], list[Any]]]:
    """The columns and values of each row that ``select`` gives for slices of [since, until).

    The first value is the time, and rows come in its order. A slice is a day; behind an empty one
    it is twice as long, for empty time costs nothing, and half where an answer is too large. What
    is between two slices is a multiple of ``unit`` (ns).
    """
    since, until = max(since, EARLIEST), min(until, LATEST)
    step, resumed, given = DAY, None, 0
    while since < until:
        begin, end = (max(since, until - step), until) if newest_first else (since, since + step)
        end = min(end, until)
        if newest_first and begin > since:
            begin = min(-(-begin // unit) * unit, end - 1)
        elif not newest_first and end < until:
            end = max(end // unit * unit, begin + 1)
        last, same = None, 0
        try:
            for series in select(begin, end):
                columns = series.columns
                for row in series.values:
                    last, same = row[0], same + 1 if row[0] == last else 1
                    if last != resumed or same > given:
                        yield columns, row
        except TooLarge as error:
            step = (end - begin) // 2
            if step < max(_SHORTEST, unit):
                raise StoreError(f"{error}; the query cannot be split further") from error
            if last is not None:
                resumed, given = last, max(same, given if last == resumed else 0)
                since, until = (since, last + 1) if newest_first else (last, until)
            continue
        since, until = (since, begin) if newest_first else (end, until)
        step = min(step * 2, LATEST if last is None else DAY)

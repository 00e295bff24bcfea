"""Query a time range in slices that are small enough for the server."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from heptad.core.influxdb.influxql import EARLIEST, LATEST
from heptad.core.store.api import StoreError

DAY: Final = 86_400 * 10**9
_SHORTEST: Final = 1000


class TooLarge(StoreError):
    """The response is too large for the server or for Heptad; a part of it may have arrived."""


class Series(msgspec.Struct):
    """Rows of a response; a row's values are in the order of ``columns``."""

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
    """Yield the columns and values of the rows that ``select`` returns for [since, until).

    The first value is the time, and rows are in its order. A slice is a day; after an empty slice
    the next one is twice as long, because empty time costs nothing. If a response is too large, the
    slice is halved. Slice boundaries are multiples of ``unit`` (ns).
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

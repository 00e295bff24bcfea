"""A time of its own for every row of a series: in InfluxDB a second point at a time replaces the
first, and 3.x does not say which of the two survives."""

from collections.abc import Iterable, Sequence

from heptad.core.influxdb.query import Reader
from heptad.core.store.line_protocol import decode_series, point_of
from heptad.core.store.point import Row, Value

_NEAR = 10 * 60 * 10**9
_MOVED = 10**6
"""Nanoseconds that a row moves on at most, as good as ever."""

_SeriesKey = tuple[str, frozenset[tuple[str, str]]]
_PointKey = tuple[_SeriesKey, int]


def assign_unique_timestamps(reader: Reader, rows: Sequence[Row]) -> list[Row]:
    """The rows, each at a time where its series has no other point.

    A row whose place is taken moves on by nanoseconds; one that is there already stays where it
    is, and so replaces itself. Nobody else may write these series meanwhile.
    """
    taken: set[_PointKey] = set()
    for measurement, times in _times(rows).items():
        # every row of the aggregator's has a revision; it is much less to read than all fields
        told = ("revision",) if reader.has(measurement, "revision") else ()
        for since, until in _runs(times):
            for point in reader.points(measurement, since, until + _MOVED, fields=told):
                taken.add(((measurement, frozenset(point.tags.items())), point.time))
    placed: list[Row] = []
    new: dict[_PointKey, Row] = {}
    series_keys: dict[str, _SeriesKey] = {}
    for row in rows:
        series, time = row.series, row.time
        series_key = series_keys.get(series)
        if series_key is None:
            measurement, tags = decode_series(series)
            series_key = series_keys[series] = (measurement, frozenset(tags.items()))
        while (series_key, time) in taken:
            known = new.get((series_key, time))
            fields = _read(reader, series, time) if known is None else _fields_of(known)
            if fields == _fields_of(row):
                break
            time += 1
        taken.add((series_key, time))
        new[series_key, time] = row
        placed.append(Row(series, time, row.body, row.raw))
    return placed


def _fields_of(row: Row) -> dict[str, Value]:
    return point_of(row).fields


def _read(reader: Reader, series: str, time: int) -> dict[str, Value] | None:
    measurement, tags = decode_series(series)
    found = reader.points(measurement, time, time + 1, tags)
    return next((point.fields for point in found if point.tags == tags), None)


def _times(rows: Iterable[Row]) -> dict[str, list[int]]:
    times: dict[str, list[int]] = {}
    for row in rows:
        times.setdefault(decode_series(row.series)[0], []).append(row.time)
    return times


def _runs(times: list[int]) -> list[tuple[int, int]]:
    """First and last of the times that lie near each other."""
    runs: list[tuple[int, int]] = []
    for time in sorted(times):
        if runs and time - runs[-1][1] <= _NEAR:
            runs[-1] = (runs[-1][0], time)
        else:
            runs.append((time, time))
    return runs

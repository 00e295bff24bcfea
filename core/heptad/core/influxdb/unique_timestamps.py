"""Unique times for the rows of a series.

In InfluxDB a point replaces another one with the same time, and 3.x does not specify which of the
two survives.
"""

from collections.abc import Iterable, Sequence

from heptad.core.influxdb.query import Reader
from heptad.core.store.line_protocol import decode_series, point_of
from heptad.core.store.point import Row, Value

_NEAR = 10 * 60 * 10**9
_MOVED = 10**6
"""Nanoseconds that a row moves at most; in practice never reached."""

_SeriesKey = tuple[str, frozenset[tuple[str, str]]]
_PointKey = tuple[_SeriesKey, int]


def assign_unique_timestamps(reader: Reader, rows: Sequence[Row]) -> list[Row]:
    """Return the rows, each at a time at which its series has no other point.

    If its time is taken, a row moves by nanoseconds; a row that is stored already keeps its time,
    and so overwrites itself. No other process may write these series at the same time.
    """
    taken: set[_PointKey] = set()
    for measurement, times in _times(rows).items():
        # every row of the aggregator has a revision, which is much less to read than all fields
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
    """Return the first and last time of each run of times that are close together."""
    runs: list[tuple[int, int]] = []
    for time in sorted(times):
        if runs and time - runs[-1][1] <= _NEAR:
            runs[-1] = (runs[-1][0], time)
        else:
            runs.append((time, time))
    return runs

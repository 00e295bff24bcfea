"""A time of its own for every row of a series: in InfluxDB a second point at a time replaces the
first, and 3.x does not say which of the two survives."""

from collections.abc import Iterable, Sequence

from heptad.influxdb.reading import Reader
from heptad.line_protocol import Value, decode_fields, decode_head
from heptad.store import Row

_NEAR = 10 * 60 * 10**9
_MOVED = 10**6
"""Nanoseconds that a row moves on at most, as good as ever."""

_Series = tuple[str, frozenset[tuple[str, str]]]
_Place = tuple[_Series, int]


def place(reader: Reader, rows: Sequence[Row]) -> list[Row]:
    """The rows, each at a time where its series has no other point.

    A row whose place is taken moves on by nanoseconds; one that is there already stays where it
    is, and so replaces itself. Nobody else may write these series meanwhile.
    """
    taken: dict[_Place, dict[str, Value]] = {}
    for measurement, times in _times(rows).items():
        for since, until in _runs(times):
            for point in reader.points(measurement, since, until + _MOVED):
                series = (measurement, frozenset(point.tags.items()))
                taken[series, point.time] = point.fields
    placed = []
    for head, wanted, body, raw in rows:
        measurement, tags = decode_head(head)
        series = (measurement, frozenset(tags.items()))
        fields = decode_fields(body)
        if raw:
            fields["raw"] = raw
        time = wanted
        while (known := taken.get((series, time))) is not None and known != fields:
            time += 1
        taken[series, time] = fields
        placed.append((head, time, body, raw))
    return placed


def _times(rows: Iterable[Row]) -> dict[str, list[int]]:
    times: dict[str, list[int]] = {}
    for head, time, _, _ in rows:
        times.setdefault(decode_head(head)[0], []).append(time)
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

"""What the lines of one host and provenance have in common."""

from collections import defaultdict
from collections.abc import Container
from functools import partial
from typing import Final

import msgspec

from heptad.core.store.event_row import encode_origin, series_of
from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.login_attempts import Classification

_MOST_HOSTS: Final = 10_000

_SeriesCache = defaultdict[str, dict[Classification, str]]


class LineOrigin(msgspec.Struct, frozen=True):
    """What the lines of one host and provenance share.

    ``shared`` are host, log_host, trust, path and unit of their events, and the last four as the
    store keeps them. ``series`` are those of each program by classification.
    """

    log_host: str | None
    provenance: Provenance
    shared: tuple[str, str | None, str, str | None, str | None, str]
    series: _SeriesCache


class Origins:
    """The origins of the lines of one source; ``current`` is that of the last line.

    ``host`` is the host of the events. Names of ``hosts`` in a line replace it; other names are
    kept as ``log_host``.
    """

    def __init__(self, host: str, source: str, hosts: Container[str]) -> None:
        self._host = host
        self._source = source
        self._hosts = hosts
        self._series: defaultdict[str, _SeriesCache] = defaultdict(partial(defaultdict, dict))
        self._known: dict[str | None, LineOrigin] = {}
        self.current = self._make(None, Provenance())

    def host_of(self, log_host: str | None) -> str:
        """Return the host of the events of lines that name ``log_host``."""
        return log_host if log_host and log_host in self._hosts else self._host

    def find(self, log_host: str | None, provenance: Provenance) -> LineOrigin:
        """Return the origin of a line; it becomes the current one."""
        if self.current.provenance is not provenance or len(self._known) >= _MOST_HOSTS:
            self._known.clear()
        origin = self._known.get(log_host)
        if origin is None:
            origin = self._known[log_host] = self._make(log_host, provenance)
        self.current = origin
        return origin

    def _make(self, log_host: str | None, provenance: Provenance) -> LineOrigin:
        host = self.host_of(log_host)
        foreign = log_host if log_host and log_host != host else None
        trust = "journal" if provenance.trusted else "file"
        path, unit = provenance.path, provenance.unit
        encoded = encode_origin(foreign, trust, path, unit)
        shared = (host, foreign, trust, path, unit, encoded)
        return LineOrigin(log_host, provenance, shared, self._series[host])

    def add_series(self, origin: LineOrigin, program: str, classification: Classification) -> str:
        """Return the series of a classification for the first time; it is cached in ``origin``."""
        series = series_of(origin.shared[0], self._source, program, *classification)
        origin.series[program][classification] = series
        return series

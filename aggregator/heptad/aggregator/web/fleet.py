"""The stores of a fleet as the views read them: two buckets of InfluxDB.

Connections and caches are separate from the aggregator's. The content of a bucket is untrusted:
anyone with an exporter's token can write to it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import msgspec

from heptad.aggregator.reports import REPORTED
from heptad.aggregator.web.source import PATIENCE, Opened
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.types import Duration
from heptad.core.http.deadline import limit
from heptad.core.influxdb.client import InfluxConnection, TooSlow
from heptad.core.influxdb.store import InfluxStore
from heptad.core.store.api import StoreError
from heptad.core.validation import Intake

_ANSWERED_WITHIN: Final = 4.0
_ROWS: Final = 500


class FleetStores:
    """The buckets of events and reports in InfluxDB; ``tick`` is a monotonic clock, in seconds."""

    def __init__(
        self,
        config: InfluxConfig,
        tick: Callable[[], float] = time.monotonic,
        intake: Intake | None = None,
    ) -> None:
        intake = intake or Intake(REPORTED)
        timeout = min(config.timeout, Duration(PATIENCE))
        self._is_pages_own = timeout == PATIENCE
        connection = InfluxConnection(msgspec.structs.replace(config, timeout=timeout))
        buckets = config.buckets
        make = partial(InfluxStore, connection, tick=tick, intake=intake, rows=_ROWS)
        self._events, self._reports = make(buckets.events, "page"), make(buckets.reports, "page")

    @contextmanager
    def open(self, *, needs_reports: bool) -> Iterator[Opened]:
        try:
            with limit(_ANSWERED_WITHIN):
                yield self._events, self._reports
        except TooSlow as error:
            if not self._is_pages_own:
                raise
            # a longer timeout, the usual remedy, has no effect here
            raise StoreError(
                f"InfluxDB did not answer within {_ANSWERED_WITHIN:.0f} s; choose a shorter "
                "range, or check that the server is not overloaded"
            ) from error

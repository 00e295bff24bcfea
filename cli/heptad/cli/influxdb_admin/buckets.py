"""The buckets that Heptad uses, and the measurements in each."""

from collections.abc import Mapping, Sequence
from typing import Final

from heptad.aggregator.reports import REPORTED
from heptad.core.influxdb.state_row import STATE
from heptad.core.store.event_row import EVENTS
from heptad.core.store.heartbeat_row import HEARTBEATS
from heptad.core.store.measurements import Measurement
from heptad.core.store.unparsed_row import UNPARSED_LINES

BUCKETS: Final[Mapping[str, Sequence[Measurement]]] = {
    "events": (EVENTS, UNPARSED_LINES),
    "reports": tuple(REPORTED.values()),
    "heptad": (HEARTBEATS, STATE),
}

"""Where the exporter of a host stopped, as its heartbeats tell."""

import time as clock
from typing import Final, NamedTuple

from heptad.heartbeat import MEASUREMENT
from heptad.influxdb.connection import Connection
from heptad.influxdb.reading import Reader
from heptad.units import SECOND

_DAY: Final = 86_400 * SECOND
_AHEAD: Final = 3600 * SECOND


class Last(NamedTuple):
    """The last heartbeat of a host, and the last position that one told; empty if none did."""

    sequence: int
    time: int
    position: str

"""Where the exporter of a host stopped, according to its heartbeats."""

import time
from typing import Final, NamedTuple

from heptad.core.influxdb.query import Reader
from heptad.core.store.heartbeat_row import MEASUREMENT
from heptad.core.store.measurements import join_text
from heptad.core.units import SECOND

_AHEAD: Final = 86_400 * SECOND


class LastHeartbeat(NamedTuple):
    """The last heartbeat of a host: its sequence, its time (ns), and the last position reported.

    ``position`` is empty if no heartbeat contains one.
    """

    sequence: int
    time: int
    position: str


def find_last(reader: Reader, host: str, machine_id: str, retention: float) -> LastHeartbeat | None:
    """Return the last heartbeat within ``retention`` seconds; raise StoreError."""
    now = time.time_ns()
    since = now - int(retention * SECOND)
    tags = {"host": host, "machine_id": machine_id}
    found: LastHeartbeat | None = None
    for point in reader.points(MEASUREMENT, since, now + _AHEAD, tags, newest_first=True):
        position = join_text("position", point.fields)
        if found is None:
            sequence = point.fields.get("sequence", 0)
            known = type(sequence) is int and 0 <= sequence < 2**62
            found = LastHeartbeat(int(sequence) if known else 0, point.time, position)
        if position:
            return found._replace(position=position)
    return found


def is_there(reader: Reader, host: str, machine_id: str, time: int) -> bool:
    """Return whether the heartbeat of a host at ``time`` (ns) is stored; raise StoreError."""
    tags = {"host": host, "machine_id": machine_id}
    return any(reader.points(MEASUREMENT, time, time + 1, tags, fields=("sequence",)))

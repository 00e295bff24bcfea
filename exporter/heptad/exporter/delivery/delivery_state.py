"""Heartbeats: what an exporter reports about itself to InfluxDB, once a minute at most.

The aggregator uses them to know what to read again and which exporters are alive, and an exporter
with an empty store to know where the previous one stopped. docs/influxdb.md explains the fields.
"""

import base64
import hashlib
import hmac
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from heptad.core import __version__
from heptad.core.host import host_name, machine_id
from heptad.core.store.heartbeat_row import HEARTBEATS, DeliveredInterval
from heptad.core.store.outbox import StoreSnapshot, Taken
from heptad.core.store.point import Row, Value
from heptad.exporter.delivery.encryption import decrypt, encrypt

MINUTE: Final = 60 * 10**9
EVERY: Final = 60.0
MOST_INTERVALS: Final = 200
_APPLICATION: Final = b"heptad: which host a heartbeat is of"
_LARGEST_POSITION: Final = 512 * 1024
_LARGEST_UNPACKED: Final = 16 * 2**20


class DeliveryState(msgspec.Struct):
    """The forwarder's state: its position, and what no heartbeat has reported yet.

    ``sequence`` and ``at`` (ns) are those of the last heartbeat, whether it was stored or not.
    ``watermark`` is the newest time (ns) that was delivered; ``oldest`` and ``newest`` are those of
    ``intervals``.
    """

    position: int = 0
    sequence: int = 0
    at: int = 0
    watermark: int = msgspec.field(default=0, name="passed")
    oldest: int = 0
    newest: int = 0
    intervals: list[DeliveredInterval] = msgspec.field(default_factory=list, name="spans")

    def deliver(self, position: int, times: Sequence[int]) -> None:
        """Record that everything up to ``position`` is delivered; ``times`` (ns) of the points."""
        self.position = position
        minutes = Counter([time // MINUTE for time in times])
        if minutes:
            self.oldest = min(self.oldest or times[0], *times)
            self.newest = max(self.newest, *times)
        self.watermark = max(self.watermark, self.newest)
        added = [(minute, minute + 1, points) for minute, points in minutes.items()]
        self.intervals = merge_delivered_intervals([*self.intervals, *added])

    def next_sequence(self, time: int) -> int:
        """Return the sequence of a heartbeat at ``time`` (ns); it exceeds that of a lost state."""
        return max(self.sequence + 1, time // 10**9)

    def record_heartbeat(self, time: int, *, told: bool) -> None:
        """Record that a heartbeat of ``time`` (ns) was sent; if not ``told``, the next repeats it.

        A failed heartbeat may be stored all the same, so the next one is a different point.
        """
        self.sequence = self.next_sequence(time)
        self.at = time
        if told:
            self.oldest = self.newest = 0
            self.intervals = []


def merge_delivered_intervals(intervals: list[DeliveredInterval]) -> list[DeliveredInterval]:
    """Sort and merge adjacent intervals; merge the nearest ones if there are too many."""
    merged: list[DeliveredInterval] = []
    for since, until, points in sorted(intervals):
        if merged and since <= merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], until), before[2] + points)
        else:
            merged.append((since, until, points))
    while len(merged) > MOST_INTERVALS:
        gaps = [later[0] - earlier[1] for earlier, later in pairwise(merged)]
        at = gaps.index(min(gaps))
        one, other = merged[at : at + 2]
        merged[at : at + 2] = [(one[0], other[1], one[2] + other[2])]
    return merged


class Health(msgspec.Struct):
    """The state of the exporter at a heartbeat.

    ``offset``: seconds that its clock is ahead of the server's; ``behind``: points not delivered;
    ``deaf``: whether a source is deaf; ``held``: see ``heptad.core.store.heartbeat_row``.
    """

    now: int
    offset: float
    behind: int
    caught_up: bool
    position: str | None
    deaf: bool = False
    held: str | None = None


def make_row(state: DeliveryState, health: Health, host: str, machine_id: str) -> Row:
    """Return the next heartbeat; its time is the server's, and after that of the previous one."""
    time = max(health.now - int(health.offset * 10**9), state.at + 1)
    watermark = health.now if health.caught_up else state.watermark
    fields: dict[str, Value | None] = {
        "sequence": state.next_sequence(time),
        "spans": msgspec.json.encode(state.intervals).decode(),
        "oldest": state.oldest or None,
        "newest": state.newest or None,
        "passed": watermark or None,
        "caught_up": health.caught_up,
        "behind": health.behind,
        "deaf": health.deaf or None,
        "held": health.held,
        "clock_offset": round(health.offset, 3),
        "version": __version__,
        "position": health.position,
    }
    return HEARTBEATS.row([("host", host), ("machine_id", machine_id)], time, fields)


def find_machine_id(root: Path = Path("/")) -> str:
    """Return an id of the machine with this root, without revealing its machine id.

    machine-id(5) requires a keyed hash. Without a machine id, the host name is used.
    """
    own = machine_id(root) or f"name:{host_name(root)}"
    return hmac.new(_APPLICATION, own.encode(), hashlib.sha256).hexdigest()[:32]


def find_machine_key(root: Path = Path("/")) -> bytes | None:
    """Return a key known only to this machine; like the machine id, it survives the store.

    None without a machine id: everything else that survives a store is known to others.
    """
    own = machine_id(root)
    if own is None:
        return None
    return hmac.digest(own.encode(), b"heptad: what only this machine may read", "sha512")


class _SealedState(msgspec.Struct):
    state: dict[str, bytes]
    taken: Taken


def write_position(snapshot: StoreSnapshot, key: bytes) -> str | None:
    """Encode a position, encrypted with ``key``; None if it is too long to store."""
    packed = zlib.compress(msgspec.json.encode(_SealedState(snapshot.state, snapshot.taken)))
    text = base64.b64encode(encrypt(packed, key)).decode()
    return text if len(text) <= _LARGEST_POSITION else None


def read_position(text: str, key: bytes) -> tuple[dict[str, bytes], Taken]:
    """Decode a position into state and taken times; raises ValueError if the key is wrong."""
    try:
        unpacker = zlib.decompressobj()
        packed = decrypt(base64.b64decode(text, validate=True), key)
        data = unpacker.decompress(packed, _LARGEST_UNPACKED)
        if not unpacker.eof:
            raise ValueError("incomplete")
        position = msgspec.json.decode(data, type=_SealedState)
    except (ValueError, zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a position of an exporter: {error}") from None
    return position.state, position.taken

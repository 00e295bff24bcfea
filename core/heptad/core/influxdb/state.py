"""The state of one owner in the bucket *heptad*; the last point of a key is valid.

Values are never overwritten: each has a later time than all before it.
"""

import base64
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import Final

from heptad.core.influxdb.paging import DAY
from heptad.core.influxdb.query import Reader
from heptad.core.influxdb.state_row import MEASUREMENT, STATE
from heptad.core.store.event_row import identify
from heptad.core.store.measurements import join_text
from heptad.core.store.point import Point, Row
from heptad.core.validation import Intake, Invalid

_LARGEST: Final = 64 * 2**20
_EVERY: Final = 10.0
_AGAIN: Final = 86_400.0
"""Unchanged values are written again after this many seconds, before their retention ends."""


class State:
    """Keys and values of ``owner``; ``remembers``: the retention of the bucket (ns).

    ``remember`` takes effect in this process at once; ``rows`` returns what must be written, and
    ``commit`` confirms that it was written.
    """

    def __init__(
        self,
        reader: Reader,
        owner: str,
        remembers: int,
        now: Callable[[], int] = time.time_ns,
        tick: Callable[[], float] = time.monotonic,
        intake: Intake | None = None,
    ) -> None:
        self._intake = intake or Intake()
        self._reader = reader
        self._owner = owner
        self._remembers = remembers
        self._now = now
        self._tick = tick
        self._values: dict[str, bytes | None] = {}
        self._changed: set[str] = set()
        self._written: dict[str, float] = {}
        self._last = 0
        self._due = 0.0

    def recall(self, key: str) -> bytes | None:
        """Return the value of a key; raise StoreError."""
        if key not in self._values:
            self._values[key] = self._ask(key)
        return self._values[key]

    def _ask(self, key: str) -> bytes | None:
        now = self._now()
        # this host's clock may have been ahead when it wrote the last one
        span = (now - self._remembers - DAY, now + 366 * DAY)
        tags = {"owner": self._owner, "key": key}
        with closing(
            self._reader.points(MEASUREMENT, *span, tags, newest_first=True, limit=1)
        ) as points:
            for point in points:
                self._last = max(self._last, point.time)
                self._written[key] = self._tick() - max(0, now - point.time) / 10**9
                # if it is incomplete, everything derived from it is recomputed
                unpacked = self._intake.sift("state", [point], _unpack, identify)
                return next(unpacked, None)
        return None

    def remember(self, key: str, value: bytes) -> None:
        """Set the value of a key."""
        if self._values.get(key) != value:
            self._values[key] = value
            self._changed.add(key)

    def rows(self, *, at_once: bool = False) -> list[Row]:
        """Return the rows to write: at most every ten seconds, or always with ``at_once``."""
        tick = self._tick()
        if tick < self._due and not at_once:
            return []
        self._due = tick + _EVERY
        return [
            self._row(key, value)
            for key in sorted(self._unwritten(tick))
            if (value := self._values.get(key)) is not None
        ]

    def commit(self) -> None:
        """Confirm that the result of ``rows`` is stored; call it before the next ``remember``."""
        tick = self._tick()
        self._written |= dict.fromkeys(self._unwritten(tick), tick)
        self._changed.clear()

    def _unwritten(self, tick: float) -> set[str]:
        """Return the keys that changed, and those whose last point is old."""
        return self._changed | {key for key, at in self._written.items() if tick - at >= _AGAIN}

    def _row(self, key: str, value: bytes) -> Row:
        self._last = max(self._now(), self._last + 1)
        text = base64.b64encode(zlib.compress(value)).decode()
        return STATE.row([("owner", self._owner), ("key", key)], self._last, {"value": text})


def _unpack(point: Point) -> bytes:
    """Decode the value; raise Invalid if it is incomplete or corrupt."""
    if STATE.always not in point.fields:
        raise Invalid("missing", f"no field `{STATE.always}`")
    if any(not isinstance(value, str) for value in point.fields.values()):
        raise Invalid("type", "state that is not text")
    unpacker = zlib.decompressobj()
    try:
        packed = base64.b64decode(join_text("value", point.fields), validate=True)
        value = unpacker.decompress(packed, _LARGEST)
    except (ValueError, zlib.error) as error:
        raise Invalid("corrupt", str(error)) from None
    if not unpacker.eof:
        raise Invalid("corrupt", "it is incomplete")
    return value

"""Offers points again that the server rejected because of a field's type, and reports them."""

import logging
import time
from typing import Final

import msgspec

from heptad.core.sink import Sink
from heptad.core.store.field_conflict import MOST_LISTED, HeldPoints, count_by_labels, describe
from heptad.core.store.outbox import Chunk, Outbox
from heptad.core.telemetry.log import Condition
from heptad.exporter.metrics import HELD, ExporterMetrics

log = logging.getLogger("heptad.forwarder")

EVERY: Final = 15.0
"""Seconds between two offers."""
_LOOK_EVERY: Final = 5.0
_MOST_GROUPS: Final = 5000


class Offers:
    """Decides when the held points of an outbox are offered again, and reports them.

    First, one point of each hour and field is offered; if one is accepted, all others follow.
    """

    def __init__(self, sink: Sink, metrics: ExporterMetrics) -> None:
        self._sink = sink
        self._metrics = metrics
        self._condition = Condition(log, "held")
        self._due = 0.0
        self._after: int | None = None
        self._tried = 0
        self._looked = 0.0
        self.changed = False
        """Whether more points may be held than at the last refresh."""
        self.held: list[HeldPoints] = []

    @property
    def problem(self) -> str | None:
        """What is held, and why."""
        return self._condition.problem

    def refresh(self, outbox: Outbox) -> bool:
        """Read what is held; return whether there is a new conflict. Raises StoreError."""
        self._looked, self.changed = time.monotonic(), False
        known = {(one.conflict, one.place.since) for one in self.held}
        groups = outbox.held_groups(_MOST_GROUPS)
        self.held = self._sink.gather(groups) if groups else []
        self._metrics.show(HELD, count_by_labels(self.held))
        self._condition.set(describe(self.held))
        return any((one.conflict, one.place.since) not in known for one in self.held)

    def is_stale(self) -> bool:
        """Return whether to refresh: at once if nothing was held, else every few seconds."""
        late = time.monotonic() - self._looked >= _LOOK_EVERY
        return self.changed and (late or not self.held)

    def is_due(self) -> bool:
        """Return whether points are to be offered now."""
        return bool(self.held) and time.monotonic() >= self._due

    def take(self, outbox: Outbox, max_lines: int, max_bytes: int, since: int) -> Chunk:
        """Return what to offer now, without points from before ``since`` (ns), which expire.

        Raises StoreError.
        """
        if self._after is not None:
            return outbox.take_held(self._after, max_lines, max_bytes)
        expired = outbox.expire_held(since)
        chunk = outbox.take_held(self._tried, max_lines, max_bytes, first=True)
        if not chunk.ids and self._tried:
            chunk = outbox.take_held(0, max_lines, max_bytes, first=True)
        # if they do not fit into one chunk, continue with later hours
        self._tried = chunk.position
        return chunk._replace(expired=expired)

    def go_on(self, chunk: Chunk, taken: int) -> bool:
        """Record how many points were accepted; return whether to offer others at once."""
        if self._after is None:
            self._after = 0 if taken else None
        else:
            self._after = chunk.position if chunk.ids else None
        if self._after is None:
            self.wait()
        return self._after is not None

    def wait(self) -> None:
        """Offer nothing for a while."""
        self._due = time.monotonic() + EVERY

    def hurry(self) -> None:
        """Offer held points at once."""
        self._due = 0.0

    def write(self) -> str | None:
        """Return what is held, encoded for heartbeats; None if nothing is."""
        if not self.held:
            return None
        told = [(*msgspec.structs.astuple(c), time, n) for c, _, time, n in self.held[:MOST_LISTED]]
        return msgspec.json.encode(told).decode()

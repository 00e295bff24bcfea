"""Deliver points again that were delivered before, for example after InfluxDB lost them.

`heptad exporter resend` stores the request in the store's state; the progress is kept there too.
"""

import logging
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec

from heptad.core.store.outbox import Chunk, Outbox
from heptad.core.validation import Intake

log = logging.getLogger("heptad.forwarder")

_REQUEST_KEY: Final = "resend"
_PROGRESS_KEY: Final = "resent"
_LOOK_EVERY: Final = 5.0
_PAUSE: Final = 15.0
"""Seconds until the next attempt if the sink did not accept a chunk."""


PointNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ResendRequest(msgspec.Struct):
    """A request to send all up to the position ``until`` again; ``at`` (ns) identifies it."""

    at: PointNumber = 0
    until: PointNumber = 0


class ResendProgress(msgspec.Struct):
    """The progress of the request ``at``: everything up to ``position`` is done."""

    at: PointNumber = 0
    position: PointNumber = 0


_decode_request: Final = msgspec.json.Decoder(ResendRequest).decode
_decode_progress: Final = msgspec.json.Decoder(ResendProgress).decode


class Redelivery:
    """The progress of the request in a store; ``intake`` counts state that cannot be decoded."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._asked = ResendRequest()
        self._done = ResendProgress()
        self._looked: float | None = None
        self._due = 0.0

    def refresh(self, outbox: Outbox) -> None:
        """Check now and then for a request; raises StoreError."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        asked = (
            self._intake.restore(_REQUEST_KEY, outbox.recall(_REQUEST_KEY), _decode_request)
            or ResendRequest()
        )
        if asked.at == self._done.at:
            return
        self._asked = asked
        done = self._intake.restore(_PROGRESS_KEY, outbox.recall(_PROGRESS_KEY), _decode_progress)
        self._done = done if done is not None and done.at == asked.at else ResendProgress(asked.at)
        if self.is_under_way:
            log.info("redelivery started", extra={"until": asked.until})

    def forget(self) -> None:
        """Reset, because the store was replaced."""
        self._asked, self._done, self._looked = ResendRequest(), ResendProgress(), None

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to send."""
        return self._done.position < self._asked.until

    @property
    def is_due(self) -> bool:
        """Whether something is to be sent now."""
        return self.is_under_way and time.monotonic() >= self._due

    def take(self, outbox: Outbox, max_lines: int, max_bytes: int, since: int) -> Chunk:
        """Return what to send next, without points from before ``since`` (ns)."""
        chunk = outbox.take(self._done.position, max_lines, max_bytes, since)
        return chunk._replace(expired=0)  # it was counted when it was sent first

    def go_on(self, chunk: Chunk) -> None:
        """Record that a chunk is delivered."""
        self._done.position = chunk.position if chunk.ids else self._asked.until
        if not self.is_under_way:
            log.info("redelivery finished")

    def wait(self) -> None:
        """Send nothing for a while."""
        self._due = time.monotonic() + _PAUSE

    def state(self) -> dict[str, bytes]:
        """Return the state to store with the outcome of a chunk."""
        return {_PROGRESS_KEY: msgspec.json.encode(self._done)} if self._done.at else {}


def request_resend(path: Path) -> int:
    """Request that the store at ``path`` is delivered again; return its number of points.

    Raises StoreError.
    """
    outbox = Outbox(path)
    try:
        asked = ResendRequest(time.time_ns(), outbox.newest())
        outbox.keep({_REQUEST_KEY: msgspec.json.encode(asked)})
        return outbox.count()
    finally:
        outbox.close()

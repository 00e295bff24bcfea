"""Points that were delivered before and are sent once more, as after InfluxDB lost them.

`heptad exporter resend` asks for it in the store's state; how far it got is kept beside that.
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
"""Seconds until another try where the sink did not take it."""


PointNumber = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class ResendRequest(msgspec.Struct):
    """Send all up to the position ``until`` once more; ``at`` (ns) tells requests apart."""

    at: PointNumber = 0
    until: PointNumber = 0


class ResendProgress(msgspec.Struct):
    """What is done of the request ``at``: all up to ``position``."""

    at: PointNumber = 0
    position: PointNumber = 0


_decode_request: Final = msgspec.json.Decoder(ResendRequest).decode
_decode_progress: Final = msgspec.json.Decoder(ResendProgress).decode


class Redelivery:
    """How far the request in a store is; ``intake`` counts what of its state cannot be read."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._asked = ResendRequest()
        self._done = ResendProgress()
        self._looked: float | None = None
        self._due = 0.0

    def refresh(self, outbox: Outbox) -> None:
        """See now and then whether something is asked for; raises StoreError."""
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
        """Another store took the place of the one that was looked at."""
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
        """What is to be sent next, without points from before ``since`` (ns)."""
        chunk = outbox.take(self._done.position, max_lines, max_bytes, since)
        return chunk._replace(expired=0)  # which was counted when it was sent first

    def go_on(self, chunk: Chunk) -> None:
        """A chunk is delivered."""
        self._done.position = chunk.position if chunk.ids else self._asked.until
        if not self.is_under_way:
            log.info("redelivery finished")

    def wait(self) -> None:
        """Send nothing for a while."""
        self._due = time.monotonic() + _PAUSE

    def state(self) -> dict[str, bytes]:
        """What is to be kept with the outcome of a chunk."""
        return {_PROGRESS_KEY: msgspec.json.encode(self._done)} if self._done.at else {}


def request_resend(path: Path) -> int:
    """Ask whoever delivers the store at ``path`` to send it all once more; how many points it has.

    Raises StoreError.
    """
    outbox = Outbox(path)
    try:
        asked = ResendRequest(time.time_ns(), outbox.newest())
        outbox.keep({_REQUEST_KEY: msgspec.json.encode(asked)})
        return outbox.count()
    finally:
        outbox.close()

"""Points that were delivered before and are sent once more, as after InfluxDB lost them.

`heptad exporter resend` asks for it in the store's state; how far it got is kept beside that.
"""

import logging
import time as clock
from pathlib import Path
from typing import Annotated, Final

import msgspec

from heptad.core.store.outbox import Chunk, Outbox
from heptad.core.validation import Intake

log = logging.getLogger("heptad.forwarder")

_ASKED: Final = "resend"
_DONE: Final = "resent"
_LOOK_EVERY: Final = 5.0
_PAUSE: Final = 15.0
"""Seconds until another try where the sink did not take it."""


Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Asked(msgspec.Struct):
    """Send all up to the position ``until`` once more; ``at`` (ns) tells requests apart."""

    at: Number = 0
    until: Number = 0


class Done(msgspec.Struct):
    """What is done of the request ``at``: all up to ``position``."""

    at: Number = 0
    position: Number = 0


_decode_asked: Final = msgspec.json.Decoder(Asked).decode
_decode_done: Final = msgspec.json.Decoder(Done).decode


class Redelivery:
    """How far the request in a store is; ``intake`` counts what of its state cannot be read."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._asked = Asked()
        self._done = Done()
        self._looked: float | None = None
        self._due = 0.0

    def look(self, outbox: Outbox) -> None:
        """See now and then whether something is asked for; raises StoreError."""
        now = clock.monotonic()
        if self._looked is not None and now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        asked = self._intake.restore(_ASKED, outbox.recall(_ASKED), _decode_asked) or Asked()
        if asked.at == self._done.at:
            return
        self._asked = asked
        done = self._intake.restore(_DONE, outbox.recall(_DONE), _decode_done)
        self._done = done if done is not None and done.at == asked.at else Done(asked.at)
        if self.is_under_way:
            log.info("sends again what was delivered", extra={"until": asked.until})

    def forget(self) -> None:
        """Another store took the place of the one that was looked at."""
        self._asked, self._done, self._looked = Asked(), Done(), None

    @property
    def is_under_way(self) -> bool:
        """Whether there is more to send."""
        return self._done.position < self._asked.until

    @property
    def is_due(self) -> bool:
        """Whether something is to be sent now."""
        return self.is_under_way and clock.monotonic() >= self._due

    def take(self, outbox: Outbox, max_lines: int, max_bytes: int, since: int) -> Chunk:
        """What is to be sent next, without points from before ``since`` (ns)."""
        chunk = outbox.take(self._done.position, max_lines, max_bytes, since)
        return chunk._replace(expired=0)  # which was counted when it was sent first

    def go_on(self, chunk: Chunk) -> None:
        """A chunk is delivered."""
        self._done.position = chunk.position if chunk.ids else self._asked.until
        if not self.is_under_way:
            log.info("has sent everything again")

    def wait(self) -> None:
        """Send nothing for a while."""
        self._due = clock.monotonic() + _PAUSE

    def state(self) -> dict[str, bytes]:
        """What is to be kept with the outcome of a chunk."""
        return {_DONE: msgspec.json.encode(self._done)} if self._done.at else {}


def ask_again(path: Path) -> int:
    """Ask whoever delivers the store at ``path`` to send it all once more; how many points it has.

    Raises StoreError.
    """
    outbox = Outbox(path)
    try:
        asked = Asked(clock.time_ns(), outbox.newest())
        outbox.keep({_ASKED: msgspec.json.encode(asked)})
        return outbox.count()
    finally:
        outbox.close()

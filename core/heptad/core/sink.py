"""The destination of a delivery: it accepts lines and reports the outcome.

A batch may be sent again after any outcome: points that are stored already overwrite themselves.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from heptad.core.store.field_conflict import Conflict, HeldGroup, HeldPoints


class Payload(msgspec.Struct):
    """Lines of line protocol, and their encoded form."""

    lines: Sequence[str]
    data: bytes


class Delivered(msgspec.Struct):
    """All lines are stored except the ``rejected`` ones (index → the destination's reason).

    ``expired``: number of lines older than the destination's retention. ``held``: lines rejected
    for the type of a field, which will be accepted once the data with the other type is gone.
    """

    rejected: dict[int, str] = {}
    expired: int = 0
    held: dict[int, Conflict] = {}

    def missing(self) -> str | None:
        """Return why lines are missing that are not expired; None if all others are stored."""
        for reasons in (self.rejected, self.held):
            for reason in reasons.values():
                return str(reason)
        return None


class Retry(msgspec.Struct):
    """The lines may not be stored: the destination has a problem; retry after ``after`` seconds."""

    reason: str
    after: float = 0.0


class Blocked(msgspec.Struct):
    """Nothing is stored, and manual action is required; ``reason`` says which."""

    reason: str


Failure = Retry | Blocked
DeliveryOutcome = Delivered | Failure


class Sink(Protocol):
    """A destination of batches; InfluxDB is the first."""

    def encode(self, lines: Sequence[str]) -> Payload:
        """Encode the lines; this may run while another batch is being delivered."""
        ...

    def deliver(self, payload: Payload) -> DeliveryOutcome:
        """Deliver the payload and wait for the outcome; raise nothing."""
        ...

    def gather(self, groups: Iterable[HeldGroup]) -> list[HeldPoints]:
        """Group held points by conflict and shard; raise nothing."""
        ...

"""The other end of a delivery, whatever it is: takes lines, and says what became of them.

A batch may be given again after any outcome: a point that is there already is written over with
itself.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from heptad.core.store.field_conflict import Conflict, HeldGroup, HeldPoints


class Payload(msgspec.Struct):
    """Lines of line protocol, and the same as they go over the wire."""

    lines: Sequence[str]
    data: bytes


class Delivered(msgspec.Struct):
    """All is there but for the ``refused`` lines (index → the other end's reason).

    ``expired``: lines that were older than what the other end keeps. ``held``: lines that it does
    not take for the type of a field, and will take once what has the other type is gone.
    """

    rejected: dict[int, str] = {}
    expired: int = 0
    held: dict[int, Conflict] = {}

    def missing(self) -> str | None:
        """Why lines are not there that are not too old; None where all others are."""
        for reasons in (self.rejected, self.held):
            for reason in reasons.values():
                return str(reason)
        return None


class Retry(msgspec.Struct):
    """It may not be there: the other end is not well, and asks for ``after`` seconds of rest."""

    reason: str
    after: float = 0.0


class Blocked(msgspec.Struct):
    """Nothing is there, and only a person can help; ``reason`` says how."""

    reason: str


Failure = Retry | Blocked
DeliveryOutcome = Delivered | Failure


class Sink(Protocol):
    """Where batches go; InfluxDB is the first."""

    def encode(self, lines: Sequence[str]) -> Payload:
        """Make the lines ready for the wire: while another batch is under way."""
        ...

    def deliver(self, payload: Payload) -> DeliveryOutcome:
        """Deliver and wait for what becomes of it; raises nothing."""
        ...

    def gather(self, groups: Iterable[HeldGroup]) -> list[HeldPoints]:
        """Held points by conflict and shard; raises nothing."""
        ...

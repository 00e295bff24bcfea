"""The other end of a delivery, whatever it is: takes lines, and says what became of them.

A batch may be given again after any outcome: a point that is there already is written over with
itself.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Parcel(msgspec.Struct):
    """Lines of line protocol, and the same as they go over the wire."""

    lines: Sequence[str]
    data: bytes


class Delivered(msgspec.Struct):
    """All is there but for the ``refused`` lines (index → the other end's reason).

    ``expired``: lines that were older than what the other end keeps.
    """

    refused: dict[int, str] = {}
    expired: int = 0


class TryAgain(msgspec.Struct):
    """It may not be there: the other end is not well, and asks for ``after`` seconds of rest."""

    reason: str
    after: float = 0.0


class Hold(msgspec.Struct):
    """Nothing is there, and only a person can help; ``reason`` says how."""

    reason: str


Outcome = Delivered | TryAgain | Hold


class Sink(Protocol):
    """Where batches go; InfluxDB is the first."""

    def pack(self, lines: Sequence[str]) -> Parcel:
        """Make the lines ready for the wire: while another batch is under way."""
        ...

    def deliver(self, parcel: Parcel) -> Outcome:
        """Deliver and wait for what becomes of it; raises nothing."""
        ...

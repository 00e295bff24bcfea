"""A field whose type differs between this host and the server, and the points held for it.

The first type that a field has in a shard of InfluxDB applies to all writers, so a single foreign
point can block a day's events of all hosts. The ``host`` of that point is what its writer claims:
anyone with write access can claim any.
"""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

MOST_LISTED: Final = 20
"""The maximum number of conflicts that are listed one by one."""
LABELS: Final = (
    *("measurement", "field", "sent", "stored", "shard_start", "shard_end", "claimed_host"),
)
"""Labels of the metrics of held points."""


class Conflict(msgspec.Struct, frozen=True):
    """A field that is ``sent`` with one type and ``stored`` with another, in InfluxDB's terms."""

    measurement: str
    field: str
    sent: str
    stored: str

    def __str__(self) -> str:
        return (
            f"field `{self.field}` of `{self.measurement}` is sent as {self.sent} and stored as "
            f"{self.stored}"
        )


HeldGroup = tuple[Conflict, int, int]
"""Held points: the conflict, the time (ns) of one of them, and their number."""


class Shard(msgspec.Struct, frozen=True):
    """A shard, since <= time < until (ns); 0 to 0 if a type applies to all times.

    ``host``: the host that the oldest point of the other type claims; None if none was found, or if
    the token may not read.
    """

    since: int = 0
    until: int = 0
    host: str | None = None

    def labels(self) -> tuple[str, str, str]:
        """Return the range and the host, as labels of a metric."""
        if not self.until:
            return "", "", self.host or ""
        return _write(self.since), _write(self.until), self.host or ""

    def describe(self) -> str:
        """Return the range and the host, as text for a message."""
        shard = f"shard {_write(self.since)} to {_write(self.until)}" if self.until else "all times"
        claim = "the token of this host may not read which host wrote the point"
        if self.host is not None:
            claim = f"its point says that it is from host {self.host!r}, which is not verified"
        return f"{shard}; {claim}"


class HeldPoints(NamedTuple):
    """The number of points held for a conflict in a shard; ``time`` (ns) is that of one of them."""

    conflict: Conflict
    place: Shard
    time: int
    points: int


def count_by_labels(held: Sequence[HeldPoints]) -> dict[tuple[str, ...], float]:
    """Count points by LABELS; beyond 20 conflicts, they are counted together without labels."""
    counts: dict[tuple[str, ...], float] = {}
    for number, (conflict, place, _, points) in enumerate(held):
        names = msgspec.structs.astuple(conflict)
        labels = (*names, *place.labels()) if number < MOST_LISTED else ("",) * len(LABELS)
        counts[labels] = counts.get(labels, 0) + points
    return counts


def describe(held: Sequence[HeldPoints]) -> str | None:
    """Return what is held, and why, in a sentence; None if nothing is."""
    if not held:
        return None
    told = [f"{conflict} ({place.describe()})" for conflict, place, *_ in held[:3]]
    if len(held) > len(told):
        told.append(f"and {len(held) - len(told)} more")
    points = sum(one.points for one in held)
    return (
        f"InfluxDB rejects {points} points, which are held and retried: {'; '.join(told)}; to "
        "resolve this, delete the points with the wrong type, see runbook HeptadFieldConflict"
    )


def _write(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(moment // 10**9))

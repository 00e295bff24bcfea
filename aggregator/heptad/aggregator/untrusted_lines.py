"""Rejected lines of a fleet: lines whose provenance is not trusted."""

from collections import Counter
from typing import Final

from heptad.aggregator.reports.counting import cut
from heptad.core.store.point import Point

_MOST: Final = 20


class UntrustedCounter:
    """Counts the rejected lines of a fleet by program, host and binary."""

    def __init__(self) -> None:
        self._places: Counter[tuple[str, str, str]] = Counter()

    def add(self, point: Point) -> None:
        exe = cut(str(point.fields.get("exe", ""))) or "an unknown binary"
        key = (point.tags.get("program", ""), point.tags.get("host", ""), exe)
        if key in self._places or len(self._places) < 1000:
            self._places[key] += 1

    def results(self) -> list[str]:
        """Return a sentence for each of the most frequent."""
        return [
            f"{lines} lines of {program} on {host} come from {exe}, which is not trusted; "
            "`heptad report --local` on that host shows what to do"
            for (program, host, exe), lines in self._places.most_common(_MOST)
        ]

"""Events as they come into the store on one host, by their arrival."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from heptad.core.store.api import TagFilter
from heptad.core.store.event_row import MEASUREMENT
from heptad.core.store.point import Point

if TYPE_CHECKING:
    from heptad.core.store.sqlite_reading import Points

_AT_ONCE: Final = 500


class SqliteTail:
    """Events since ``since`` (ns) with these ``tags``; ``pause``: seconds between two looks."""

    pause: Final = 0.3

    def __init__(self, store: "Points", since: int, tags: TagFilter) -> None:
        self._store = store
        self._since = since
        self._tags = tags
        self._position = store.newest_position()

    def history(self) -> Iterator[Point]:
        """What is there already, in order of time."""
        return self._store.read(MEASUREMENT, self._since, 2**63 - 1, self._tags)

    def poll(self) -> Iterator[Point]:
        """What came since the last look, in order of arrival."""
        before = -1
        while before != self._position:
            before = self._position
            points, self._position = self._store.since_arrival(before, _AT_ONCE, self._tags)
            yield from points

"""One walk through the events of some windows for all reports.

Reading is most of what a report costs, so it is done once, and an event is added to the smallest
of its windows only: the larger ones are made of the smaller ones. A report that raises drops out
of the walk; the others go on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from heptad.aggregator.detection.dispatch import Pace
from heptad.aggregator.progress import MINUTE, merge_intervals
from heptad.aggregator.reports import WINDOWS, Accumulator, Report
from heptad.aggregator.stopping import until_stopped
from heptad.core.event import Event
from heptad.core.store.api import EventStore
from heptad.core.store.line_protocol import encode_series
from heptad.core.store.point import Value

log = logging.getLogger("heptad.aggregator")

_STEP: Final = WINDOWS["5m"]
_MOST_EVENTS: Final = 500
"""So many events are held before the folds take them."""

ReportRows = dict[str, dict[str, Value]]
"""Series → fields, without what tells the revision."""


class Window(NamedTuple):
    """One window: its start in nanoseconds, and the name of its size."""

    start: int
    size: str

    @property
    def end(self) -> int:
        """The first nanosecond behind it."""
        return self.start + WINDOWS[self.size]


class OpenWindow(msgspec.Struct):
    """A window that is open: what has been folded of it, and of how many events."""

    window: Window
    accumulator: Accumulator
    events: int = 0


@lru_cache(maxsize=8192)
def _series_of(report: str, size: str, *tags: tuple[str, str]) -> str:
    return encode_series(report, sorted([*tags, ("window", size)]))


class ReportAggregation:
    """One report's part of a walk.

    ``rows`` of each of ``windows`` that has events, with their number; ``error``, if the report
    raised; the ``seconds`` that it took.
    """

    def __init__(self, report: Report, windows: list[Window]) -> None:
        self.windows = windows
        self.rows: dict[Window, tuple[int, ReportRows]] = {}
        self.error: Exception | None = None
        self.seconds = 0.0
        self._report = report
        self._wanted = frozenset(windows)
        self._open: dict[str, OpenWindow] = {}

    def take(self, time: int, events: Mapping[str, list[Event]]) -> None:
        """Events of one step by action, none of them earlier than ``time`` or than those before.

        All of them lie in the same windows as ``time`` does (ns).
        """
        self._guard(lambda: self._add(time, events))

    def end(self) -> None:
        """There are no more events."""
        self._guard(lambda: self._close(2**63))

    def _guard(self, work: Callable[[], None]) -> None:
        if self.error is not None:
            return
        begun = time.perf_counter()
        try:
            work()
        except Exception as error:
            log.debug("failed", exc_info=True)
            self.error = error
            self._open.clear()
        self.seconds += time.perf_counter() - begun

    def _add(self, time: int, events: Mapping[str, list[Event]]) -> None:
        self._close(time)
        actions = self._report.actions
        own = [some for action, some in events.items() if not actions or action in actions]
        if not own:
            return
        window = self._smallest(time, 0)
        if window is None:
            return
        part = self._open.get(window.size)
        if part is None:
            part = self._open[window.size] = OpenWindow(window, self._report.begin())
        for some in own:
            part.events += len(some)
            part.accumulator.add(some)

    def _smallest(self, time: int, beyond: int) -> Window | None:
        """The smallest window longer than ``beyond`` that holds ``time`` and is wanted."""
        for size, length in WINDOWS.items():
            window = Window(time // length * length, size)
            if length > beyond and window in self._wanted:
                return window
        return None

    def _close(self, time: int) -> None:
        """Take the rows of the windows that are over at ``time``, and join them to larger ones."""
        for size, length in WINDOWS.items():
            part = self._open.get(size)
            if part is None or part.window.end > time:
                continue
            del self._open[size]
            rows = {
                _series_of(self._report.name, size, *tags.items()): fields
                for tags, fields in part.accumulator.rows()
            }
            self.rows[part.window] = (part.events, rows)
            window = self._smallest(part.window.start, length)
            if window is None:
                continue
            larger = self._open.get(window.size)
            if larger is None:
                self._open[window.size] = OpenWindow(window, part.accumulator, part.events)
            else:
                larger.accumulator.merge(part.accumulator)
                larger.events += part.events


def aggregate_events(
    events: EventStore,
    parts: Sequence[ReportAggregation],
    pause: Callable[[], None],
    stop: threading.Event,
) -> None:
    """Read the events of all windows of ``parts``, and let each take them.

    ``pause`` is called every second or so. Raises Stopped where ``stop`` is set.
    """
    pace = Pace()
    windows = {window for part in parts for window in part.windows}
    for since, until in merge_intervals([(window.start, window.end) for window in windows]):
        for begin, end in pace.cut(since // MINUTE, until // MINUTE):
            found = events.events(begin * MINUTE, end * MINUTE)
            for step in _steps(until_stopped(found, stop)):
                actions: dict[str, list[Event]] = {}
                for event in step:
                    actions.setdefault(event.action, []).append(event)
                for part in parts:
                    part.take(step[0].time, actions)
            pause()
    for part in parts:
        part.end()


def _steps(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The events, some at a time, all of which lie in the same windows."""
    step: list[Event] = []
    turn = 0
    for event in events:
        if step and (event.time >= turn or len(step) >= _MOST_EVENTS):
            yield step
            step = []
        if not step:
            turn = (event.time // _STEP + 1) * _STEP
        step.append(event)
    if step:
        yield step

"""One pass over the events of some windows for all reports.

Reading events is the largest cost of a report, so it is done once. An event is added only to the
smallest of its windows; larger windows merge the smaller ones. A report that raises is left out of
the rest of the pass; the others continue.
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
"""Maximum number of events that are buffered before the accumulators take them."""

ReportRows = dict[str, dict[str, Value]]
"""Series → fields, without the revision."""


class Window(NamedTuple):
    """A window: its start in nanoseconds, and its size, a key of ``WINDOWS``."""

    start: int
    size: str

    @property
    def end(self) -> int:
        """The first nanosecond after the window."""
        return self.start + WINDOWS[self.size]


class OpenWindow(msgspec.Struct):
    """A window in progress: its accumulator and its number of events."""

    window: Window
    accumulator: Accumulator
    events: int = 0


@lru_cache(maxsize=8192)
def _series_of(report: str, size: str, *tags: tuple[str, str]) -> str:
    return encode_series(report, sorted([*tags, ("window", size)]))


class ReportAggregation:
    """One report's part of a pass.

    ``rows`` are the rows and the number of events of each of ``windows`` that has events. ``error``
    is set if the report raised. ``seconds`` is the time that it took.
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
        """Add events of one step by action, none earlier than ``time`` or the events before.

        All of them belong to the same windows as ``time`` (ns).
        """
        self._guard(lambda: self._add(time, events))

    def end(self) -> None:
        """Signal that there are no more events."""
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
        """Return the smallest requested window longer than ``beyond`` that contains ``time``."""
        for size, length in WINDOWS.items():
            window = Window(time // length * length, size)
            if length > beyond and window in self._wanted:
                return window
        return None

    def _close(self, time: int) -> None:
        """Take the rows of the windows that end by ``time``, and merge these into larger ones."""
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
    """Read the events of all windows of ``parts``, and pass them to each part.

    ``pause`` is called about once a second. Raises Stopped if ``stop`` is set.
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
    """Group consecutive events that belong to the same windows."""
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

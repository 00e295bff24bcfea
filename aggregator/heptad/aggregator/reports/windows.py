"""Schedule the windows of a report, and compute the rows that changed.

A window is dirty from the arrival of one of its events until it is computed. It is computed after
its end: when an event from after its end has arrived and ``GRACE`` has passed, or at the latest
``max_wait`` after its end. Later events make it dirty again. It is then computed when none has
arrived for ``max_wait``, or at the latest after ten times that. Changes are written as a new
revision: rows with time = window start + revision in nanoseconds. A revision holds all rows of its
window; readers take the last revision.

Events are never revoked. If a window has fewer events than in its last revision, they were pruned,
and that revision is kept.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec

from heptad.aggregator.reports import REPORTED, WINDOWS, Report, measurement_of
from heptad.aggregator.reports.aggregation import ReportAggregation, ReportRows, Window
from heptad.core.event import Time
from heptad.core.intervals import MINUTE, Interval
from heptad.core.store.api import EventStore
from heptad.core.store.event_row import identify
from heptad.core.store.line_protocol import encode_series
from heptad.core.store.point import Point, Row
from heptad.core.validation import Invalid, check_text

GRACE: Final = 5 * 10**9
"""Nanoseconds that an event may take from its source to the store."""
_DAY: Final = WINDOWS["1d"]
_MOST_DIRTY: Final = 200_000
_MOST_REVISIONS: Final = 10**6
_MOST_NUMBER: Final = 2**62
_ALWAYS: Final = {"revision", "events"}


_decode_dirty: Final = msgspec.json.Decoder(
    dict[str, Annotated[list[Time], msgspec.Meta(max_length=_MOST_DIRTY)]]
).decode


class Touch(msgspec.Struct):
    """First and last time (ns) at which events arrived for a window that had ended; 0 if none."""

    first: int = 0
    last: int = 0


class Written(msgspec.Struct):
    """The last revision of a window."""

    number: int = -1
    events: int = 0
    rows: ReportRows = {}


class WindowResult(msgspec.Struct):
    """The result of computing windows: the rows to write, the windows, and the number revised."""

    rows: list[Row] = []
    windows: list[Window] = []
    reported: dict[str, int] = {}
    revised: int = 0

    def join(self, other: "WindowResult") -> None:
        """Add the result of computing other windows."""
        self.rows += other.rows
        self.windows += other.windows
        for size, amount in other.reported.items():
            self.reported[size] = self.reported.get(size, 0) + amount
        self.revised += other.revised


class WindowSchedule:
    """The dirty windows of one report."""

    def __init__(self, report: Report, reports: EventStore, max_wait: int) -> None:
        self.name = report.name
        self.report = report
        self.key = f"report/{report.name}"
        self._measurement = measurement_of(report)
        self._reports = reports
        self._max_wait = max_wait
        stored = reports.recall(self.key)
        kept = reports.intake.restore(self.key, stored, _decode_dirty)
        self.is_whole = kept is not None or stored is None
        """False if the stored list of dirty windows is damaged."""
        self._dirty = {
            Window(start, size): Touch()
            for size, starts in (kept or {}).items()
            if size in WINDOWS
            for start in starts
        }
        self._touched: set[Window] = set()
        """Windows with events that arrived after the last call of ``due``."""

    def state(self, without: Iterable[Window] = ()) -> bytes:
        """Return the dirty windows, encoded for the commit."""
        kept: dict[str, list[int]] = {}
        done = set(without) - self._touched
        for start, size in sorted(self._dirty.keys() - done):
            kept.setdefault(size, []).append(start)
        return msgspec.json.encode(kept)

    def touch(self, intervals: Iterable[Interval], now: int) -> None:
        """Mark the windows of these minutes as dirty; the events arrived at ``now`` (ns)."""
        for since, until in intervals:
            for size, length in WINDOWS.items():
                begin = since * MINUTE // length * length
                for start in range(begin, until * MINUTE, length):
                    window = Window(start, size)
                    touch = self._dirty.setdefault(window, Touch())
                    self._touched.add(window)
                    if now >= window.end + GRACE:
                        touch.first = touch.first or now
                        touch.last = now

    def backfill(self, intervals: Iterable[Interval], since: int, until: int) -> None:
        """Mark the windows of the minutes [since, until) within ``intervals`` as due at once."""
        within = [(max(begin, since), min(end, until)) for begin, end in intervals]
        self.touch([(begin, end) for begin, end in within if begin < end], 0)

    def due(self, now: int, watermark: int, *, everything: bool) -> dict[int, list[Window]]:
        """Return the windows to compute now by UTC day; ``everything``: all that have ended.

        All events up to ``watermark`` are taken to have arrived; times are nanoseconds.
        """
        self._touched.clear()
        days: dict[int, list[Window]] = {}
        for window, touch in self._dirty.items():
            if now >= window.end and (everything or self._is_due(window, touch, now, watermark)):
                days.setdefault(window.start // _DAY, []).append(window)
        return {day: sorted(windows) for day, windows in sorted(days.items())}

    def _is_due(self, window: Window, touch: Touch, now: int, watermark: int) -> bool:
        if touch.last:
            quiet = now - touch.last >= self._max_wait
            return quiet or now - touch.first >= 10 * self._max_wait
        waited = now - window.end
        return waited >= self._max_wait or (waited >= GRACE and watermark >= window.end)

    def commit(self, windows: Iterable[Window]) -> None:
        """Mark windows as computed and stored; those with newer events stay dirty."""
        for window in windows:
            if window not in self._touched:
                self._dirty.pop(window, None)

    def reconcile(self, aggregation: ReportAggregation) -> WindowResult:
        """Return what changed in the windows of one UTC day; raises the report's error."""
        if aggregation.error is not None:
            raise aggregation.error
        day = aggregation.windows[0].start // _DAY * _DAY
        written = last_revisions(self._reports, self.name, day, day + _DAY)
        outcome = WindowResult(windows=aggregation.windows)
        for window, (events, rows) in aggregation.rows.items():
            last = written.get(window, Written())
            if rows == last.rows or events < last.events:
                continue
            number = last.number + 1
            told = self._measurement.encode({"events": events, "revision": number})
            for series, fields in rows.items():
                body = f"{self._measurement.encode(fields)},{told}"
                outcome.rows.append(Row(series, window.start + number, body))
            outcome.reported[window.size] = outcome.reported.get(window.size, 0) + (number == 0)
            outcome.revised += number > 0
        return outcome


def last_revisions(
    store: EventStore, report: str, since: int, until: int, tags: Mapping[str, str] | None = None
) -> dict[Window, Written]:
    """Return the last revision of every window of a report with since <= start < until.

    With ``tags``, only rows with these tags, for example ``window``.
    """
    found: dict[Window, Written] = {}
    points = store.read(report, since, until, tags)
    for point, window, number, events in store.intake.sift("report", points, _window_of, identify):
        fields = {n: v for n, v in point.fields.items() if n not in ("revision", "events")}
        last = found.get(window)
        if last is None or last.number < number:
            last = found[window] = Written(number, events, {})
        if last.number == number:
            last.rows[encode_series(report, sorted(point.tags.items()))] = fields
    return found


def _window_of(point: Point) -> tuple[Point, Window, int, int]:
    """Validate a row; return it with its window, revision and number of events, or raise FAULTS."""
    declared = REPORTED.get(point.measurement)
    known, fields = declared.fields if declared else {}, point.fields
    if not (fields.keys() >= _ALWAYS and point.tags.keys() >= {"window"}):
        raise Invalid("missing", f"one of {', '.join(sorted(_ALWAYS))} and window")
    for name, value in fields.items():
        field = known.get(name)
        if field is not None and type(value) is not field.type:
            raise Invalid("type", f"{name} is {type(value).__name__}")
        if isinstance(value, str):
            check_text(value)
        elif not 0 <= value < _MOST_NUMBER:
            raise Invalid("number", f"{name} is {value}")
    check_text("".join(point.tags.values()))
    size, number, events = point.tags["window"], int(fields["revision"]), int(fields["events"])
    if size not in WINDOWS:
        raise Invalid("word", f"a window of {size[:40]!r}")
    if number > _MOST_REVISIONS or events < 1:
        raise Invalid("number", f"revision {number} of {events} events")
    window = Window(point.time - number, size)
    if window.start < 0 or window.start % WINDOWS[size]:
        raise Invalid("time", f"a window of {size} that starts at {window.start}")
    return point, window, number, events

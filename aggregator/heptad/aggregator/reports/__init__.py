"""The reports: one module per report, and the list of them.

A report is a pure function from the events of one window to rows. It is written as an accumulator,
so that a window of a million events needs no list of them: ``begin`` an empty one, ``add`` the
events, take the ``rows``. A larger window ``merge``s the accumulators of the smaller windows in it.
``heptad.aggregator.reports.windows`` decides when windows are computed and how late events are
handled.

A report must keep two rules. Its rows depend on the set of events, not on their order. Its tags
come from closed vocabularies or the configuration; a value from a log is a field.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol, Self

from heptad.aggregator.detection.current import CURRENT, LOOKED
from heptad.aggregator.detection.evidence import EVIDENCE
from heptad.aggregator.detection.finding import FINDINGS, SESSIONS
from heptad.aggregator.reports.accounts import AccountsReport
from heptad.aggregator.reports.attempts import AttemptsReport
from heptad.aggregator.reports.distinct import DistinctReport
from heptad.aggregator.reports.hosts import HostsReport
from heptad.aggregator.reports.privilege import PrivilegeReport
from heptad.aggregator.reports.sessions import SessionsReport
from heptad.aggregator.reports.top import TopReport
from heptad.core.event import Event
from heptad.core.store.measurements import Field, Measurement
from heptad.core.store.point import Value

WINDOWS: Final[dict[str, int]] = {"5m": 300 * 10**9, "1h": 3600 * 10**9, "1d": 86_400 * 10**9}
"""The windows of every report, in nanoseconds: aligned to UTC, each a multiple of the shorter ones.
"""


class Accumulator(Protocol):
    """A report of one window in progress."""

    def add(self, events: Sequence[Event]) -> None:
        """Add some events of the window with one of the ``actions``, in any order."""
        ...

    def merge(self, other: Self) -> None:
        """Add all events of another window, whose ``rows`` may have been taken already."""
        ...

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """Yield the rows as (tags, fields)."""
        ...


class Report(Protocol):
    """A kind of report."""

    @property
    def name(self) -> str:
        """The name of its measurement."""
        ...

    @property
    def about(self) -> str:
        """A description in a sentence or two."""
        ...

    @property
    def actions(self) -> frozenset[str]:
        """The actions of the events that it needs; empty: all events."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags, each with a description."""
        ...

    @property
    def fields(self) -> Mapping[str, Field]: ...

    def begin(self) -> Accumulator:
        """Return an accumulator for an empty window."""
        ...


REPORTS: Final[tuple[Report, ...]] = (
    AttemptsReport(),
    DistinctReport(),
    TopReport(),
    PrivilegeReport(),
    AccountsReport(),
    SessionsReport(),
    HostsReport(),
)


def measurement_of(report: Report) -> Measurement:
    """Return the measurement of a report, including the tag ``window`` and the revision."""
    return Measurement(
        name=report.name,
        about=report.about,
        always="events",
        tags={**report.tags, "window": ", ".join(f"`{size}`" for size in WINDOWS)},
        fields={
            **report.fields,
            "events": Field(int, "events of the window that the report looked at"),
            "revision": Field(int, "the number of the revision, from 0"),
        },
    )


REPORTED: Final = {
    m.name: m
    for m in (FINDINGS, CURRENT, LOOKED, SESSIONS, EVIDENCE, *map(measurement_of, REPORTS))
}
"""All measurements in the store of findings and reports, by name."""

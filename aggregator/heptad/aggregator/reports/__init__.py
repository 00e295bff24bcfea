"""The reports: one file per report, and the list of them.

A report is a pure function from one window's events to rows, written as a fold so that a window
of a million events needs no list of them: ``begin`` an empty one, ``add`` the events, take the
``rows``. A larger window is made of the smaller ones within it: ``merge`` their folds. Which
windows are computed when, and what becomes of events that come late, is the business of
``heptad.aggregator.reports.windows``.

Two promises are asked of a report. Its rows follow from the set of events, not from their order.
And its tags come from closed vocabularies or the configuration: a value from a log is a field.
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
"""The windows of every report, in nanoseconds: aligned to UTC, the shorter within the longer."""


class Accumulator(Protocol):
    """A report of one window in the making."""

    def add(self, events: Sequence[Event]) -> None:
        """Some events of the window, those of ``actions``; in whatever order they come."""
        ...

    def merge(self, other: Self) -> None:
        """All events of another window, of which ``rows`` may have been taken."""
        ...

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """The rows as (tags, fields)."""
        ...


class Report(Protocol):
    """One kind of report."""

    @property
    def name(self) -> str:
        """Its measurement."""
        ...

    @property
    def about(self) -> str:
        """What it tells, in a sentence or two."""
        ...

    @property
    def actions(self) -> frozenset[str]:
        """The actions of the events that it looks at; none: all."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags, each with its meaning."""
        ...

    @property
    def fields(self) -> Mapping[str, Field]:
        """Its fields."""
        ...

    def begin(self) -> Accumulator:
        """An empty window."""
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
    """What is written of a report: also its window, and what tells the revision."""
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
"""What is written to the store of findings and reports, by name."""

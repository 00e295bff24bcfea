"""The findings: one file per rule, and the list of them.

A rule looks at one subject at a time (an address, a user) and sees its events as cells, one a
minute. It gives a chain: fed with a subject's cells in order of time, the chain tells what it
finds in them. That is all that a rule is: when cells are read, kept, dropped and read again is
the business of ``aggregator.watch``, and what is written of ``aggregator.ledger``.

A rule keeps this promise, on which everything that is said about determinism rests: its findings
of one UTC day follow from the cells of that day and of ``reach`` minutes before and after it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

from aggregator.finding import Finding
from aggregator.findings.brute_force import BruteForce
from heptad.config import FindingsConfig
from heptad.event import Event


class Chain(Protocol):
    """What a rule knows of one subject, from its cells up to a minute."""

    def add(self, minute: int, cell: Any) -> None:
        """The next cell; minutes (since the epoch) only grow."""
        ...

    def copy(self) -> Self:
        """A chain of its own that knows the same."""
        ...

    def findings(self, subject: str) -> Iterator[Finding]:
        """What there is to tell, each once."""
        ...

    def forget(self, day: int) -> None:
        """Drop the findings of the days before ``day`` (since the epoch)."""
        ...

    def is_idle(self, minute: int) -> bool:
        """Whether a cell at or after ``minute`` finds nothing here that matters to it."""
        ...


class Rule(Protocol):
    """One kind of finding."""

    @property
    def name(self) -> str:
        """Its name in the tag ``rule`` and in metrics."""
        ...

    @property
    def wants(self) -> Mapping[str, str]:
        """The tags of the events that it looks at."""
        ...

    @property
    def reach(self) -> int:
        """How many minutes before and after a day have a say in that day's findings."""
        ...

    def subject_of(self, event: Event) -> str | None:
        """Whom the event is about; None if the rule has no use for it."""
        ...

    def add(self, cell: Any | None, event: Event) -> Any:
        """The cell of a minute with one more event; in whatever order they come."""
        ...

    def chain(self) -> Chain:
        """An empty chain."""
        ...


def rules_of(config: FindingsConfig) -> list[Rule]:
    """Every rule, with its thresholds."""
    return [BruteForce(config.brute_force)]

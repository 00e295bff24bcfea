"""The findings: one file per rule, and the list of them.

A rule looks at one subject at a time (an address, a user) and sees its events as cells, one a
minute. It gives a chain: fed with a subject's cells in order of time, the chain tells what it
finds in them. That is all that a rule is: when cells are read, kept, dropped and read again is
the business of ``heptad.aggregator.detection.runner``, and what is written of
``heptad.aggregator.detection.revisions``.

A rule keeps this promise, on which everything that is said about determinism rests: its findings
of one UTC day follow from the cells of that day, of ``before`` minutes before and of ``after``
minutes after it. What several rules need to keep it is in ``heptad.aggregator.detection``.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol, Self

from heptad.aggregator.detection.facts import EventBatch
from heptad.aggregator.detection.finding import Finding
from heptad.aggregator.detection.rules.account_change import AccountChange
from heptad.aggregator.detection.rules.brute_force import BruteForce
from heptad.aggregator.detection.rules.distributed import Distributed
from heptad.aggregator.detection.rules.first_sudo import FirstSudo
from heptad.aggregator.detection.rules.new_account_login import NewAccountLogin
from heptad.aggregator.detection.rules.new_host import NewHost
from heptad.aggregator.detection.rules.new_network import NewNetwork
from heptad.aggregator.detection.rules.password_change import PasswordChange
from heptad.aggregator.detection.rules.root_password_login import RootPasswordLogin
from heptad.aggregator.detection.rules.second_factor import SecondFactor
from heptad.aggregator.detection.rules.slow_brute_force import SlowBruteForce
from heptad.aggregator.detection.rules.spraying import Spraying
from heptad.aggregator.detection.rules.su_to_root import SuToRoot
from heptad.aggregator.detection.rules.success_after_failures import SuccessAfterFailures
from heptad.aggregator.detection.rules.sudo_refused import SudoRefused
from heptad.aggregator.detection.rules.sweep import Sweep
from heptad.aggregator.detection.rules.unusual_hour import UnusualHour
from heptad.core.config.findings import FindingsConfig
from heptad.core.event import Event


class Detector(Protocol):
    """What a rule knows of one subject, from its cells up to a minute."""

    def add(self, minute: int, bucket: Any) -> None:
        """The next cell; minutes (since the epoch) only grow."""
        ...

    def copy(self) -> Self:
        """A chain of its own that knows the same."""
        ...

    def findings(self, key: str) -> Iterator[Finding]:
        """What there is to tell, each once."""
        ...

    def forget(self, day: int) -> None:
        """Drop the findings of the days before ``day`` (since the epoch)."""
        ...

    def is_expired(self, minute: int) -> bool:
        """Whether a cell at or after ``minute`` finds nothing here that matters to it."""
        ...


class DetectionRule(Protocol):
    """One kind of finding."""

    @property
    def name(self) -> str:
        """Its name in the tag ``rule`` and in metrics."""
        ...

    @property
    def filter(self) -> Mapping[str, Collection[str]]:
        """The actions of the events that it looks at, and perhaps their outcomes."""
        ...

    @property
    def before(self) -> int:
        """How many minutes before a day have a say in that day's findings."""
        ...

    @property
    def after(self) -> int:
        """How many minutes after a day have a say in that day's findings."""
        ...

    @property
    def shares_buckets(self) -> bool:
        """Whether ``subject_of`` and ``add`` look at nothing but what they are given.

        Rules that have both from the same class then share their cells.
        """
        ...

    @property
    def most(self) -> int:
        """So many findings of a day are told each by itself; see
        ``heptad.aggregator.detection.flood``.
        """
        ...

    @property
    def noun(self) -> tuple[str, str]:
        """What a subject is, one and many."""
        ...

    @property
    def title(self) -> str:
        """Its name for a person; this and the following are what docs/findings.md is made of."""
        ...

    @property
    def technique(self) -> str:
        """A MITRE ATT&CK identifier, or empty."""
        ...

    @property
    def description(self) -> str:
        """What it tells, and how grave it is."""
        ...

    @property
    def false_positives(self) -> str:
        """When it is a false positive, and what it does not see."""
        ...

    def key_of(self, event: Event) -> str | None:
        """Whom the event is about; None if the rule has no use for it."""
        ...

    def add(self, bucket: Any | None, told: EventBatch) -> Any:
        """The cell of a minute with more events and their facts; in whatever order they come.

        None where there is still nothing to keep.
        """
        ...

    def needs_past(self, bucket: Any) -> bool:
        """Whether the cell is worth reading again what its subject did before, if forgotten."""
        ...

    def detector(self) -> Detector:
        """An empty chain."""
        ...


def rules_of(config: FindingsConfig) -> list[DetectionRule]:
    """Every rule, with its thresholds."""
    baseline = config.baseline
    return [
        BruteForce(config.brute_force),
        SlowBruteForce(config.slow_brute_force),
        SuccessAfterFailures(config.success_after_failures),
        Spraying(config.spraying),
        Distributed(config.distributed),
        Sweep(config.sweep),
        NewNetwork(baseline, config.new_network),
        NewHost(baseline, config.new_host),
        UnusualHour(baseline, config.unusual_hour),
        RootPasswordLogin(),
        SecondFactor(),
        NewAccountLogin(config.new_account_login),
        SudoRefused(),
        FirstSudo(baseline, config.first_sudo),
        SuToRoot(),
        AccountChange(),
        PasswordChange(),
    ]

"""The detection rules: one module per rule, and the list of them.

A rule evaluates one key (an address, a user) at a time. Its events arrive as buckets, one per
minute. The rule creates a detector, which is fed with the buckets of a key in order of time and
returns the findings. ``heptad.aggregator.detection.runner`` decides when buckets are read, kept,
dropped and read again; ``heptad.aggregator.detection.revisions`` decides what is written.

Results are deterministic only if every rule keeps this contract: its findings of one UTC day depend
only on the buckets of that day, of ``before`` minutes before it and of ``after`` minutes after it.
``heptad.aggregator.detection`` has what several rules need for that.
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
    """The state of a rule for one key, from its buckets up to a minute."""

    def add(self, minute: int, bucket: Any) -> None:
        """Add the next bucket; minutes (since the epoch) must increase."""
        ...

    def copy(self) -> Self:
        """Return an independent copy."""
        ...

    def findings(self, key: str) -> Iterator[Finding]:
        """Yield the findings, each once."""
        ...

    def forget(self, day: int) -> None:
        """Drop the findings of the days before ``day`` (since the epoch)."""
        ...

    def is_expired(self, minute: int) -> bool:
        """Return whether nothing here affects a bucket at or after ``minute``."""
        ...


class DetectionRule(Protocol):
    """A kind of finding."""

    @property
    def name(self) -> str:
        """The value of the tag ``rule`` and of the label in metrics."""
        ...

    @property
    def filter(self) -> Mapping[str, Collection[str]]:
        """The actions, and optionally outcomes, of the events that it needs."""
        ...

    @property
    def before(self) -> int:
        """How many minutes before a day affect that day's findings."""
        ...

    @property
    def after(self) -> int:
        """How many minutes after a day affect that day's findings."""
        ...

    @property
    def shares_buckets(self) -> bool:
        """Whether ``key_of`` and ``add`` depend only on their arguments.

        Rules that inherit both from the same class then share their buckets.
        """
        ...

    @property
    def most(self) -> int:
        """Maximum number of findings of a day that are reported separately; see
        ``heptad.aggregator.detection.flood``.
        """
        ...

    @property
    def noun(self) -> tuple[str, str]:
        """What a key is, singular and plural."""
        ...

    @property
    def title(self) -> str:
        """The title; docs/findings.md is generated from this and the following texts."""
        ...

    @property
    def technique(self) -> str:
        """A MITRE ATT&CK identifier, or empty."""
        ...

    @property
    def description(self) -> str:
        """What it detects, and its severity."""
        ...

    @property
    def false_positives(self) -> str:
        """False positives, and what it cannot detect."""
        ...

    def key_of(self, event: Event) -> str | None:
        """Return the key of an event; None if the rule does not need it."""
        ...

    def add(self, bucket: Any | None, told: EventBatch) -> Any:
        """Return the bucket of a minute with more events added, in any order.

        None if there is still nothing to keep.
        """
        ...

    def needs_past(self, bucket: Any) -> bool:
        """Return whether evicted earlier events of the bucket's key must be read again."""
        ...

    def detector(self) -> Detector:
        """Return a detector without events."""
        ...


def rules_of(config: FindingsConfig) -> list[DetectionRule]:
    """Return all rules with their thresholds."""
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

"""The thresholds of the findings."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from heptad.core.config.options import Fault, Section, option
from heptad.core.config.types import Duration

_MOST_NAMES: Final = 50
_SECOND: Final = Duration("1s")
_MINUTE: Final = Duration("1m")
_HOUR: Final = Duration("1h")
_DAY: Final = Duration("1d")
_WEEK: Final = Duration("7d")
_YEAR: Final = Duration("366d")
LONGER_THAN_KEPT: Final = (
    "must not be longer than store.max_age, because older events may have been deleted"
)
_LOOK_BACK: Final = Duration("28d")
_Span = Annotated[Duration, option("… within this time are a finding", _SECOND, Duration("6h"))]


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write for example 198.51.100.0/24") from None


class IgnoreConfig(Section):
    """Events that are excluded from findings: those of monitoring, scanners and automation."""

    networks: Annotated[
        list[Annotated[str, option("", check=_check_network)]],
        option(
            "events from these addresses or networks (192.0.2.7, 198.51.100.0/24) never cause a "
            "finding"
        ),
    ] = []
    users: Annotated[list[str], option("events of these users never cause a finding")] = []
    hosts: Annotated[list[str], option("events of these hosts never cause a finding")] = []


class BaselineConfig(Section):
    """How much history a rule needs before it can call something unusual."""

    look_back: Annotated[
        Duration | None,
        option(
            "something is new if it did not happen within this time before; default: 28d, or "
            "store.max_age if that is shorter",
            _DAY,
            _YEAR,
        ),
    ] = None
    settle: Annotated[
        Duration | None,
        option(
            "a user is not judged before they have been known for this long; default: a quarter "
            "of look_back …",
            _DAY,
            _YEAR,
        ),
    ] = None
    events: Annotated[int, option("… and before they have this many events", 1, 10**6)] = 5

    def resolve(self, max_age: Duration = _LOOK_BACK) -> tuple[Duration, Duration]:
        """Return ``look_back`` and ``settle``; ``max_age`` of the events limits their defaults."""
        look_back = self.look_back or min(_LOOK_BACK, max_age)
        return look_back, self.settle or Duration(look_back / 4)


class BruteForceConfig(Section):
    """The threshold for failed logins from one address."""

    attempts: Annotated[int, option("this many failed logins from one address …", 2, 10**6)] = 5
    span: _Span = Duration("10m")


class SlowBruteForceConfig(Section):
    """The threshold for failed logins from one address in different hours."""

    hours: Annotated[
        int, option("failed logins from one address in this many different hours …", 2, 12)
    ] = 4
    span: Annotated[
        Duration, option("… within this time are a finding", _HOUR, Duration("12h"))
    ] = Duration("12h")

    def faults(self) -> Iterator[Fault]:
        """Report more hours than the span has."""
        if self.hours > self.span // 3600:
            text = "must not be more than the number of hours in `span`"
            yield Fault(("hours",), text, (("span",),))


class SuccessAfterFailuresConfig(Section):
    """The threshold for a login that follows failed ones."""

    failures: Annotated[
        int, option("a login after this many failed logins from its address …", 1, 10**6)
    ] = 5
    span: Annotated[Duration, option("… within this time is a finding", _MINUTE, _DAY)] = _HOUR


class SprayingConfig(Section):
    """The threshold for one address that tries many users."""

    users: Annotated[
        int, option("failed logins as this many users from one address …", 2, _MOST_NAMES)
    ] = 10
    span: _Span = _HOUR


class DistributedConfig(Section):
    """The threshold for one user who is tried from many addresses."""

    addresses: Annotated[
        int, option("failed logins as one user from this many addresses …", 2, _MOST_NAMES)
    ] = 20
    span: _Span = _HOUR


class SweepConfig(Section):
    """The threshold for one address that tries many hosts."""

    hosts: Annotated[
        int, option("failed logins on this many hosts from one address …", 2, _MOST_NAMES)
    ] = 3
    span: _Span = _HOUR


class NewNetworkConfig(Section):
    """The size of a network, and which users are not reported."""

    ipv4_prefix: Annotated[int, option("prefix length of an IPv4 network", 1, 32)] = 24
    ipv6_prefix: Annotated[int, option("prefix length of an IPv6 network", 1, 128)] = 64
    most: Annotated[
        int, option("users who log in from more networks than this are not reported", 1, 1000)
    ] = 10


class NewHostConfig(Section):
    """Which users are not reported."""

    most: Annotated[
        int, option("users who log in on more hosts than this are not reported", 1, 1000)
    ] = 20


def _check_probability(value: float) -> None:
    if not 0 < value < 1:
        raise ValueError("must be between 0 and 1")


class UnusualHourConfig(Section):
    """How rare an hour must be, and how much history is required."""

    hours: Annotated[
        int,
        option(
            "an hour can be unusual for a user who logged in during at least this many hours …",
            1,
            10**4,
        ),
    ] = 20
    probability: Annotated[
        float,
        option(
            "… and is unusual if a login around that time is less likely than this",
            check=_check_probability,
        ),
    ] = 0.05


class NewAccountLoginConfig(Section):
    """How long an account is new."""

    span: Annotated[
        Duration,
        option(
            "a login within this time after its account was created is a finding", _MINUTE, _WEEK
        ),
    ] = _DAY


class FirstSudoConfig(Section):
    """Which hosts are not reported."""

    most: Annotated[
        int, option("hosts on which more users than this use sudo are not reported", 1, 1000)
    ] = 50


class SessionConfig(Section):
    """How long a session without an end stays open."""

    longest: Annotated[
        Duration, option("a session without an end is open for this long", _HOUR, _WEEK)
    ] = Duration("3d")


class FindingsConfig(Section):
    """The thresholds of the findings."""

    ignore: IgnoreConfig = msgspec.field(default_factory=IgnoreConfig)
    baseline: BaselineConfig = msgspec.field(default_factory=BaselineConfig)
    brute_force: BruteForceConfig = msgspec.field(default_factory=BruteForceConfig)
    slow_brute_force: SlowBruteForceConfig = msgspec.field(default_factory=SlowBruteForceConfig)
    success_after_failures: SuccessAfterFailuresConfig = msgspec.field(
        default_factory=SuccessAfterFailuresConfig
    )
    spraying: SprayingConfig = msgspec.field(default_factory=SprayingConfig)
    distributed: DistributedConfig = msgspec.field(default_factory=DistributedConfig)
    sweep: SweepConfig = msgspec.field(default_factory=SweepConfig)
    new_network: NewNetworkConfig = msgspec.field(default_factory=NewNetworkConfig)
    new_host: NewHostConfig = msgspec.field(default_factory=NewHostConfig)
    unusual_hour: UnusualHourConfig = msgspec.field(default_factory=UnusualHourConfig)
    new_account_login: NewAccountLoginConfig = msgspec.field(default_factory=NewAccountLoginConfig)
    first_sudo: FirstSudoConfig = msgspec.field(default_factory=FirstSudoConfig)
    session: SessionConfig = msgspec.field(default_factory=SessionConfig)

    def faults_within(self, max_age: Duration) -> Iterator[Fault]:
        """Report spans that are longer than events are stored, and a `settle` that is too long."""
        look_back, settle = self.baseline.resolve(max_age)
        if settle > max(look_back - _DAY, look_back / 2):
            text = "must be at least a day shorter than look_back, or the rule never fires"
            yield Fault(("baseline", "settle"), text, (("baseline", "look_back"),))
        for name in self.__struct_fields__:
            section = getattr(self, name)
            for key in section.__struct_fields__:
                span = getattr(section, key)
                if isinstance(span, Duration) and span > max_age:
                    yield Fault((name, key), LONGER_THAN_KEPT)

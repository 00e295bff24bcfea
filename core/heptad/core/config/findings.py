"""The thresholds of the findings: their keys, their defaults, and what makes no sense."""

import ipaddress
from collections.abc import Iterator
from typing import Final

import msgspec

from heptad.core import units

_MOST_NAMES: Final = 50
_LONGEST_SPAN: Final = 6 * 3600
_DAY: Final = 86_400


class IgnoreConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Whose events are kept out of findings: monitoring, scanners, automation."""

    networks: list[str] = []
    users: list[str] = []
    hosts: list[str] = []


class BaselineConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What must be known before anything is unusual."""

    look_back: str = ""
    settle: str = ""
    events: int = 5


class BruteForceConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When failed logins from one address are a finding."""

    attempts: int = 5
    span: str = "10m"


class SlowBruteForceConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When failed logins that are far apart are a finding."""

    hours: int = 4
    span: str = "12h"


class SuccessAfterFailuresConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When a login after failed ones is a finding."""

    failures: int = 5
    span: str = "1h"


class SprayingConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When one address that tries many users is a finding."""

    users: int = 10
    span: str = "1h"


class DistributedConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When one user who is tried from many addresses is a finding."""

    addresses: int = 20
    span: str = "1h"


class SweepConfig(msgspec.Struct, forbid_unknown_fields=True):
    """When one address that tries many hosts is a finding."""

    hosts: int = 3
    span: str = "1h"


class NewNetworkConfig(msgspec.Struct, forbid_unknown_fields=True):
    """What a network is, and who is not told of."""

    ipv4_prefix: int = 24
    ipv6_prefix: int = 64
    most: int = 10


class NewHostConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Who is not told of."""

    most: int = 20


class UnusualHourConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How rare an hour must be, and how much must be known to say so."""

    hours: int = 20
    probability: float = 0.05


class NewAccountLoginConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How long an account is new."""

    span: str = "1d"


class FirstSudoConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Which hosts are not told of."""

    most: int = 50


class SessionConfig(msgspec.Struct, forbid_unknown_fields=True):
    """How long the end of a session is waited for."""

    longest: str = "3d"


class FindingsConfig(msgspec.Struct, forbid_unknown_fields=True):
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


KEYS: Final[dict[str, str]] = {
    "ignore.networks": (
        "events from these addresses or networks (192.0.2.7, 198.51.100.0/24) never cause a finding"
    ),
    "ignore.users": "events of these users never cause a finding",
    "ignore.hosts": "events of these hosts never cause a finding",
    "baseline.look_back": "something is new if it did not happen within this time before; "
    "default: 28d, or store.max_age if that is shorter",
    "baseline.settle": "a user is not judged before they have been known for this long; "
    "default: a quarter of look_back …",
    "baseline.events": "… and before they have this many events",
    "brute_force.attempts": "this many failed logins from one address …",
    "brute_force.span": "… within this time are a finding",
    "slow_brute_force.hours": "failed logins from one address in this many different hours …",
    "slow_brute_force.span": "… within this time are a finding",
    "success_after_failures.failures": "a login after this many failed logins from its address …",
    "success_after_failures.span": "… within this time is a finding",
    "spraying.users": "failed logins as this many users from one address …",
    "spraying.span": "… within this time are a finding",
    "distributed.addresses": "failed logins as one user from this many addresses …",
    "distributed.span": "… within this time are a finding",
    "sweep.hosts": "failed logins on this many hosts from one address …",
    "sweep.span": "… within this time are a finding",
    "new_network.ipv4_prefix": "prefix length of an IPv4 network",
    "new_network.ipv6_prefix": "prefix length of an IPv6 network",
    "new_network.most": "users who log in from more networks than this are not reported",
    "new_host.most": "users who log in on more hosts than this are not reported",
    "unusual_hour.hours": (
        "an hour can be unusual for a user who logged in during at least this many hours …"
    ),
    "unusual_hour.probability": (
        "… and is unusual if a login around that time is less likely than this"
    ),
    "new_account_login.span": "a login within this time after its account was created is a finding",
    "first_sudo.most": "hosts on which more users than this use sudo are not reported",
    "session.longest": "a session without an end is open for this long",
}

_COUNTS: Final = {
    ("baseline", "events"): (1, 10**6),
    ("brute_force", "attempts"): (2, 10**6),
    ("slow_brute_force", "hours"): (2, 12),
    ("success_after_failures", "failures"): (1, 10**6),
    ("spraying", "users"): (2, _MOST_NAMES),
    ("distributed", "addresses"): (2, _MOST_NAMES),
    ("sweep", "hosts"): (2, _MOST_NAMES),
    ("new_network", "ipv4_prefix"): (1, 32),
    ("new_network", "ipv6_prefix"): (1, 128),
    ("new_network", "most"): (1, 1000),
    ("new_host", "most"): (1, 1000),
    ("unusual_hour", "hours"): (1, 10**4),
    ("first_sudo", "most"): (1, 1000),
}
_SPANS: Final = {
    ("brute_force", "span"): (1, _LONGEST_SPAN),
    ("slow_brute_force", "span"): (3600, _DAY // 2),
    ("success_after_failures", "span"): (60, _DAY),
    ("spraying", "span"): (1, _LONGEST_SPAN),
    ("distributed", "span"): (1, _LONGEST_SPAN),
    ("sweep", "span"): (1, _LONGEST_SPAN),
    ("new_account_login", "span"): (60, 7 * _DAY),
    ("session", "longest"): (3600, 7 * _DAY),
    ("baseline", "look_back"): (_DAY, 366 * _DAY),
    ("baseline", "settle"): (_DAY, 366 * _DAY),
}

FindingsFault = tuple[tuple[str | int, ...], str]


def check_findings(config: FindingsConfig, max_age: float | None) -> Iterator[FindingsFault]:
    """What the types do not say; ``max_age`` of the events in seconds, None if it is faulty."""
    for place, (least, most) in _COUNTS.items():
        number = getattr(getattr(config, place[0]), place[1])
        if not least <= number <= most:
            yield place, f"must be at least {least} and at most {most}"
    timespans: dict[tuple[str, str], float] = {}
    for place, (shortest, longest) in _SPANS.items():
        text = getattr(getattr(config, place[0]), place[1])
        if not text and place[0] == "baseline":
            continue
        try:
            timespans[place] = span = units.parse_duration(text)
        except ValueError as error:
            yield place, str(error)
            continue
        if not shortest <= span <= longest:
            yield place, f"must be at least {shortest}s and at most {longest}s"
    if not 0 < config.unusual_hour.probability < 1:
        yield ("unusual_hour", "probability"), "must be between 0 and 1"
    yield from _check_spans(config, timespans, max_age)
    for number, network in enumerate(config.ignore.networks):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield ("ignore", "networks", number), f"{error}; write for example 198.51.100.0/24"


def look_back_of(config: BaselineConfig, max_age: float | None = None) -> tuple[float, float]:
    """How long is looked back, and how much of it must be known, in seconds.

    ``max_age`` of the events bounds what is not configured; faulty values count as none.
    """
    look_back = _seconds(config.look_back) or min(28.0 * _DAY, max_age or 28.0 * _DAY)
    return look_back, _seconds(config.settle) or look_back / 4


def _seconds(duration: str) -> float:
    try:
        return units.parse_duration(duration)
    except ValueError:
        return 0.0


def _check_spans(
    config: FindingsConfig, timespans: dict[tuple[str, str], float], max_age: float | None
) -> Iterator[FindingsFault]:
    look_back, settle = look_back_of(config.baseline, max_age)
    if settle > max(look_back - _DAY, look_back / 2):
        yield (
            ("baseline", "settle"),
            ("must be at least a day shorter than look_back, or the rule never fires"),
        )
    for place, span in timespans.items():
        if max_age is not None and span > max_age:
            text = (
                "must not be longer than store.max_age, because older events may have been deleted"
            )
            yield place, text
    span = timespans.get(("slow_brute_force", "span"), _DAY / 2)
    if config.slow_brute_force.hours > span // 3600:
        yield ("slow_brute_force", "hours"), "must not be more than the number of hours in `span`"

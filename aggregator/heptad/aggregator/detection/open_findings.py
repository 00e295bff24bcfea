"""Current findings as metrics show them: how many, the newest, and on which hosts.

A host's name becomes a label only where it is vouched for, which is the caller's to say, and only
while it has an open medium or high finding. All other hosts are one, ``OTHER``.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from heptad.aggregator.detection.finding import RANKS, SEVERITIES, FindingKey, Revision
from heptad.core.units import SECOND

WITHIN: Final = {"1h": 3600, "24h": 86_400}
"""The values of the label `within`, in seconds."""
OPEN_FOR: Final = max(WITHIN.values())
"""So long (s) after its last event a finding is open."""
REPORTED_SEVERITIES: Final = tuple(severity for severity in SEVERITIES if severity != "info")
OTHER: Final = "other"
MOST_HOSTS: Final = 200
_MOST_NAMES: Final = 5000
"""So many names are labels in the life of a process: each is new series in Prometheus."""

Numbers = dict[tuple[str, ...], float]
"""Values of labels → the value of the metric."""


class _Open(msgspec.Struct, frozen=True):
    """What of a finding is counted; ``last`` in seconds."""

    rule: str
    severity: str
    last: float
    hosts: tuple[str, ...]
    is_cut: bool
    """Whether it has more hosts than these."""


class OpenFindings:
    """The current findings of the last day, as revisions tell them."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules = tuple(rules)
        self._lock = threading.Lock()
        self._open: dict[FindingKey, _Open] = {}
        self._vouched: frozenset[str] = frozenset()
        self._names: set[str] = set()

    def vouch(self, hosts: Collection[str]) -> None:
        """These names of hosts, and no others, may be labels."""
        self._vouched = frozenset(hosts) - {OTHER}

    def note(self, revision: Revision) -> None:
        """A finding is now as this revision tells it."""
        finding = revision.finding
        with self._lock:
            if revision.is_current:
                self._open[finding.key] = _Open(
                    finding.rule,
                    finding.severity,
                    finding.last / SECOND,
                    finding.hosts,
                    "hosts" in finding.more,
                )
            else:
                self._open.pop(finding.key, None)

    def current(self, now: float) -> list[_Open]:
        """Those that are open at ``now`` (s); the others are forgotten."""
        with self._lock:
            gone = [key for key, one in self._open.items() if now - one.last >= OPEN_FOR]
            for key in gone:
                del self._open[key]
            return list(self._open.values())

    def count(self, now: float, found: Iterable[_Open]) -> Numbers:
        """(rule, severity, within) → how many; zero is a number, too."""
        counts: Numbers = {
            (rule, severity, within): 0.0
            for rule in self._rules
            for severity in REPORTED_SEVERITIES
            for within in WITHIN
        }
        for one in found:
            for within in _windows_of(one, now):
                key = (one.rule, one.severity, within)
                if key in counts:
                    counts[key] += 1
        return counts

    def count_by_host(self, now: float, found: Iterable[_Open]) -> tuple[Numbers, Numbers]:
        """Of medium and high ones, by host: how many, and the time (s) of the newest last event.

        (host, severity, within) → findings of that host, and (host, rule, severity) → time.
        ``OTHER`` stands for hosts without a label, so a finding counts there once.
        """
        grave = [one for one in found if RANKS[one.severity] >= RANKS["medium"]]
        named = self._choose(grave)
        counts: Counter[tuple[str, ...]] = Counter()
        newest: Numbers = {}
        for one in grave:
            hosts = {host if host in named else OTHER for host in one.hosts}
            if one.is_cut or not hosts:
                hosts.add(OTHER)
            for host in hosts:
                counts.update((host, one.severity, within) for within in _windows_of(one, now))
                key = (host, one.rule, one.severity)
                newest[key] = max(one.last, newest.get(key, one.last))
        return {key: float(number) for key, number in counts.items()}, newest

    def _choose(self, grave: Iterable[_Open]) -> set[str]:
        """The hosts that have a label: those with high findings first, then the newest."""
        worst: dict[str, tuple[int, float]] = {}
        for one in grave:
            for host in one.hosts:
                if host in self._vouched:
                    level = (RANKS[one.severity], one.last)
                    worst[host] = max(level, worst.get(host, level))
        named: set[str] = set()
        for host in sorted(worst, key=lambda host: (*(-part for part in worst[host]), host)):
            if len(named) == MOST_HOSTS:
                break
            if host in self._names or len(self._names) < _MOST_NAMES:
                named.add(host)
        self._names |= named
        return named


def _windows_of(one: _Open, now: float) -> list[str]:
    """The values of `within` for which it is open."""
    return [within for within, seconds in WITHIN.items() if now - one.last < seconds]

"""Current findings for metrics: how many, the newest, and on which hosts.

A host name becomes a label only if the caller vouches for it, and only while the host has an open
medium or high finding. All other hosts are counted as ``OTHER``.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from heptad.aggregator.detection.finding import RANKS, SEVERITIES, FindingKey, Revision
from heptad.core.units import SECOND

WITHIN: Final = {"1h": 3600, "24h": 86_400}
"""Values of the label `within` → seconds."""
OPEN_FOR: Final = max(WITHIN.values())
"""A finding is open for this long (s) after its last event."""
REPORTED_SEVERITIES: Final = tuple(severity for severity in SEVERITIES if severity != "info")
OTHER: Final = "other"
MOST_HOSTS: Final = 200
_MOST_NAMES: Final = 5000
"""Maximum number of host names used as labels per process: each is a new series in Prometheus."""

Numbers = dict[tuple[str, ...], float]
"""Label values → value of the metric."""


class _Open(msgspec.Struct, frozen=True):
    """The counted part of a finding; ``last`` is in seconds."""

    rule: str
    severity: str
    last: float
    hosts: tuple[str, ...]
    is_cut: bool
    """Whether ``hosts`` is truncated."""


class OpenFindings:
    """The current findings of the last day."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._rules = tuple(rules)
        self._lock = threading.Lock()
        self._open: dict[FindingKey, _Open] = {}
        self._vouched: frozenset[str] = frozenset()
        self._names: set[str] = set()

    def vouch(self, hosts: Collection[str]) -> None:
        """Replace the host names that may become labels."""
        self._vouched = frozenset(hosts) - {OTHER}

    def note(self, revision: Revision) -> None:
        """Update a finding with a revision."""
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
        """Return the findings that are open at ``now`` (s); the others are dropped."""
        with self._lock:
            gone = [key for key, one in self._open.items() if now - one.last >= OPEN_FOR]
            for key in gone:
                del self._open[key]
            return list(self._open.values())

    def count(self, now: float, found: Iterable[_Open]) -> Numbers:
        """Return (rule, severity, within) → number of findings, including zeros."""
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
        """Return the numbers of medium and high findings by host, and their newest times.

        (host, severity, within) → number, and (host, rule, severity) → time (s) of the last event.
        ``OTHER`` counts a finding once, on however many hosts without a label.
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
        """Choose the hosts with a label: hosts with high findings first, then the newest."""
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
    """Return the values of `within` for which the finding is open."""
    return [within for within, seconds in WITHIN.items() if now - one.last < seconds]

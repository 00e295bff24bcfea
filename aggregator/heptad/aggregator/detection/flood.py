"""Joins many findings of one rule and UTC day into one, so that a flood cannot hide others.

Up to ``most`` findings are reported separately. If there are more, one joined finding represents
all of them, and only two kinds are also reported separately: the most severe ones, down to a
severity that at most half of ``most`` findings reach, and those that started on a host where at
most a quarter of ``most`` did, so that noise on one host does not hide another host. The result
depends on the events, not on their order. A joined finding has the empty subject, which no event
has.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final

import msgspec

from heptad.aggregator.detection.facts import MOST_EVIDENCE, MOST_NAMES
from heptad.aggregator.detection.finding import LISTS, RANKS, SEVERITIES, Finding, parse_identity
from heptad.aggregator.detection.rules import DetectionRule
from heptad.aggregator.detection.threshold import severity_of
from heptad.aggregator.summary.wording import Words, length_of
from heptad.core.store.line_protocol import decode_series
from heptad.core.store.point import Identity
from heptad.core.wording import count_of, list_names

JOINED: Final = ""
_STEP: Final = 10
_BITS: Final = 2
_QUIET: Final = 4
_HOST_AT: Final = 64
"""A finding is packed into a number: severity, count and, from this bit on, the host."""
_MOST_QUIET: Final = 1000
"""Maximum number of findings on quiet hosts that are reported separately; above it, none is."""
_NAMES: Final = tuple(SEVERITIES)


class Crowd:
    """The findings of one day; packed into a number per key, because there may be very many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: dict[str, int | tuple[int, ...]] = {}
        self._ranks = [0] * len(RANKS)
        self._hosts: dict[str, int] = {}
        self._on_host = Counter[int]()
        self._number_quiet = 0
        self.count = 0
        """The number of their events."""
        self.first: tuple[int, str] | None = None
        """The first event: its time (ns) and identity."""
        self.last = 0
        """The time of the last event (ns)."""

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, key: str, findings: Sequence[Finding]) -> None:
        """Replace the findings of a key."""
        known = self._keys.pop(key, ())
        for packed in (known,) if isinstance(known, int) else known:
            self._add(packed, -1)
        new = list(map(self._to_number, findings))
        for packed in new:
            self._add(packed, 1)
        if new:
            self._keys[key] = new[0] if len(new) == 1 else tuple(new)
            self.last = max(self.last, *[finding.last for finding in findings])
            first = min((finding.first, finding.first_event) for finding in findings)
            self.first = min(self.first or first, first)

    def complete(self, joined: Finding, noun: tuple[str, str]) -> Finding:
        """Complete a joined finding with the totals that include evicted keys.

        ``noun`` is what a key is, singular and plural.
        """
        first = self.first or (joined.first, joined.first_event)
        last = max(self.last, joined.last)
        told = joined.title, joined.hosts, "hosts" in joined.more
        number = f"{count_of(self.number, 'finding')} about {count_of(len(self), *noun)}"
        words = _joined_finding(*told, number, self.count, last - first[0])
        return msgspec.structs.replace(
            joined,
            first=first[0],
            first_event=first[1],
            last=last,
            count=self.count,
            joined=self.number,
            sentence=words.sentence,
            facts=words.facts,
        )

    def _to_number(self, finding: Finding) -> int:
        return self._host(finding) << _HOST_AT | finding.count << _BITS | finding.rank

    def _host(self, finding: Finding) -> int:
        """Return the number of the host of the first event, which later events cannot change."""
        tags = decode_series(parse_identity(finding.first_event).series)[1]
        return self._hosts.setdefault(tags.get("host", ""), len(self._hosts))

    def _add(self, packed: int, times: int) -> None:
        self._ranks[packed & (1 << _BITS) - 1] += times
        self.count += times * (packed % (1 << _HOST_AT) >> _BITS)
        host = packed >> _HOST_AT
        self._number_quiet -= self._number_on(host)
        self._on_host[host] += times
        self._number_quiet += self._number_on(host)

    def _number_on(self, host: int) -> int:
        """Return how many findings started on the host if it is quiet, else 0."""
        number = self._on_host[host]
        return number if number <= self._most // _QUIET else 0

    @property
    def number(self) -> int:
        """The number of findings."""
        return sum(self._ranks)

    @property
    def level(self) -> int:
        """The lowest rank that is reported separately; 0: all are."""
        if self.number <= self._most:
            return 0
        first = RANKS["medium"]
        for rank in range(first, len(self._ranks)):
            if sum(self._ranks[rank:]) <= self._most // 2:
                return rank
        return len(self._ranks)

    @property
    def rank(self) -> int:
        """The rank of the joined finding: the highest that it hides, or by number of findings."""
        return max(self.level - 1, RANKS[severity_of(self.number, _STEP * self._most // 2)])

    @property
    def quiet(self) -> frozenset[int]:
        """The hosts, by number, whose findings are reported separately whatever their severity."""
        if self._number_quiet > _MOST_QUIET:
            return frozenset()
        return frozenset(filter(self._number_on, self._on_host))

    def tells(self, finding: Finding, level: int) -> bool:
        """Return whether a finding is reported separately, given the ``level``."""
        if finding.rank >= level:
            return True
        return self._number_quiet <= _MOST_QUIET and self._number_on(self._host(finding)) > 0

    def keys(self, level: int) -> set[str]:
        """Return the keys with a finding that is reported separately, given the ``level``."""
        quiet, mask = self.quiet, (1 << _BITS) - 1
        return {
            key
            for key, held in self._keys.items()
            if any(
                one & mask >= level or one >> _HOST_AT in quiet
                for one in ((held,) if isinstance(held, int) else held)
            )
        }


class Joint(msgspec.Struct, frozen=True):
    """Which findings of a day are reported separately (those of ``keys``), and the joined finding.

    ``level``: the lowest rank that is reported separately; if 0, nothing is joined. ``join``
    computes the joined finding.
    """

    day: int
    level: int
    keys: Set[str]
    count: int
    rank: int
    last: int
    join: Callable[[], Finding]
    is_whole: bool = True
    """Whether none of the joined findings was evicted."""
    is_over: bool = False
    """Whether the day is over, so that this is the last chance to join."""


def join_findings(rule: DetectionRule, day: int, rank: int, findings: Iterable[Finding]) -> Finding:
    """Join findings, of which there must be at least one, into one finding."""
    keys: set[str] = set()
    names: dict[str, set[str]] = {name: set() for name in LISTS}
    more: set[str] = set()
    evidence: list[Identity] = []
    count, number = 0, 0
    begin: tuple[int, str] | None = None
    end = (0, "")
    for finding in findings:
        keys.add(finding.subject)
        number += 1
        count += finding.count
        more.update(finding.more)
        for name in LISTS:
            names[name].update(getattr(finding, name))
        evidence += finding.evidence
        if len(evidence) > 4 * MOST_EVIDENCE:
            evidence = sorted(set(evidence))[:MOST_EVIDENCE]
        begin = min(
            begin or (finding.first, finding.first_event), (finding.first, finding.first_event)
        )
        end = max(end, (finding.last, finding.last_event))
    assert begin is not None  # noqa: S101 - there is at least one
    lists = {name: sorted(found) for name, found in names.items()}
    more |= {name for name, found in lists.items() if len(found) > MOST_NAMES}
    told: dict[str, Any] = {name: tuple(found[:MOST_NAMES]) for name, found in lists.items()}
    words = _joined_finding(
        rule.title,
        told["hosts"],
        "hosts" in more,
        f"{count_of(number, 'finding')} about {count_of(len(keys), *rule.noun)}",
        count,
        end[0] - begin[0],
    )
    return Finding(
        rule=rule.name,
        subject=JOINED,
        first=begin[0],
        last=end[0],
        day=day,
        severity=_NAMES[rank],
        sentence=words.sentence,
        title=words.title,
        facts=words.facts,
        count=count,
        technique=rule.technique,
        more=tuple(name for name in LISTS if name in more),
        first_event=begin[1],
        last_event=end[1],
        evidence=tuple(sorted(set(evidence))[:MOST_EVIDENCE]),
        joined=number,
        **told,
    )


def _joined_finding(
    title: str, hosts: Sequence[str], more: bool, number: str, count: int, length: int
) -> Words:
    """Return the wording; ``number`` is how many it represents, ``length`` its duration (ns)."""
    facts = f"{number}, {count_of(count, 'event')} within {length_of(length)}"
    return Words(title, f"on {list_names(hosts, more=more)}", facts)

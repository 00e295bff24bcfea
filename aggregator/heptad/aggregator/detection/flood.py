"""Many findings of one rule and UTC day become one, so that a flood cannot bury the others.

Up to ``most`` findings are told each by itself. Where there are more, one joined finding stands
for all of them, and only some are told besides: those of the lowest severity that is not reached
by more than half of ``most``, and those that began on a host on which no more than a quarter of
``most`` did: the noise of one host hides nothing on another one. All of that follows from the
events, in whatever order they come. A joined finding has the empty subject, which no event has.
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
"""A finding is one number: severity, count and, from this bit on, the host."""
_MOST_QUIET: Final = 1000
"""Of quiet hosts so many findings are told besides; of more of them, none for being there."""
_NAMES: Final = tuple(SEVERITIES)


class Crowd:
    """Whose findings there are of one day; a number a subject, for there may be very many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: dict[str, int | tuple[int, ...]] = {}
        self._ranks = [0] * len(RANKS)
        self._hosts: dict[str, int] = {}
        self._on_host = Counter[int]()
        self._number_quiet = 0
        self.count = 0
        """Their events."""
        self.first: tuple[int, str] | None = None
        """The time of the first event (ns), and the event."""
        self.last = 0
        """The time of the last event (ns)."""

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, key: str, findings: Sequence[Finding]) -> None:
        """These are the subject's findings now."""
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
        """What was joined while some of the subjects were forgotten, with what is known of all.

        ``noun`` is what a subject is, one and many.
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
        """Where it began, as a number; what comes after its first event does not change that."""
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
        """How many findings began there, if the host is quiet."""
        number = self._on_host[host]
        return number if number <= self._most // _QUIET else 0

    @property
    def number(self) -> int:
        """How many findings there are."""
        return sum(self._ranks)

    @property
    def level(self) -> int:
        """The lowest rank that is told by itself; 0: all are."""
        if self.number <= self._most:
            return 0
        first = RANKS["medium"]
        for rank in range(first, len(self._ranks)):
            if sum(self._ranks[rank:]) <= self._most // 2:
                return rank
        return len(self._ranks)

    @property
    def rank(self) -> int:
        """How severe the joined finding is: as the worst that it hides, and by their number."""
        return max(self.level - 1, RANKS[severity_of(self.number, _STEP * self._most // 2)])

    @property
    def quiet(self) -> frozenset[int]:
        """The hosts, by number, whose findings are told by themselves, however severe they are."""
        if self._number_quiet > _MOST_QUIET:
            return frozenset()
        return frozenset(filter(self._number_on, self._on_host))

    def tells(self, finding: Finding, level: int) -> bool:
        """Whether this one is told by itself, where those of at least this rank are."""
        if finding.rank >= level:
            return True
        return self._number_quiet <= _MOST_QUIET and self._number_on(self._host(finding)) > 0

    def keys(self, level: int) -> set[str]:
        """Those with a finding that is told by itself, where those of at least this rank are."""
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
    """What of a day's findings is told: those of ``subjects``, and what ``join`` makes of all.

    ``level``: the lowest rank that is told by itself; where it is 0 nothing is joined.
    """

    day: int
    level: int
    keys: Set[str]
    count: int
    rank: int
    last: int
    join: Callable[[], Finding]
    is_whole: bool = True
    """Whether nothing was forgotten of those that are joined."""
    is_over: bool = False
    """Whether the day is over: what is not joined now never is."""


def join_findings(rule: DetectionRule, day: int, rank: int, findings: Iterable[Finding]) -> Finding:
    """The one finding that stands for all of these, of which there is at least one."""
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
    """A joined finding in words; ``number``: how many it stands for, ``length``: its span (ns)."""
    facts = f"{number}, {count_of(count, 'event')} within {length_of(length)}"
    return Words(title, f"on {list_names(hosts, more=more)}", facts)

"""Many findings of one rule and UTC day become one, so that a flood cannot bury the others.

Up to ``most`` findings are told each by itself. Where there are more, one joined finding stands
for all of them, and only the more severe are told besides: those of the lowest severity that is
not reached by more than half of ``most``. All of that follows from the events, in whatever order
they come. A joined finding has the empty subject, which no event has.
"""

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final

import msgspec

from aggregator.chains.dense import severity_of
from aggregator.chains.facts import MOST_EVIDENCE, MOST_NAMES
from aggregator.finding import LISTS, RANKS, SEVERITIES, Finding
from aggregator.findings import Rule
from aggregator.wording import count_of, length_of, list_names, minute_of
from heptad.store import Identity

JOINED: Final = ""
_STEP: Final = 10
_BITS: Final = 2
_NAMES: Final = tuple(SEVERITIES)


class Crowd:
    """Whose findings there are of one day; a number a subject, for there may be very many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._subjects: dict[str, int | tuple[int, ...]] = {}
        self._ranks = [0] * len(RANKS)
        self.count = 0
        """Their events."""
        self.first: tuple[int, str] | None = None
        """The time of the first event (ns), and the event."""
        self.last = 0
        """The time of the last event (ns)."""

    def __len__(self) -> int:
        return len(self._subjects)

    def note(self, subject: str, findings: Sequence[Finding]) -> None:
        """These are the subject's findings now."""
        known = self._subjects.pop(subject, ())
        for packed in (known,) if isinstance(known, int) else known:
            self._add(packed, -1)
        new = [finding.count << _BITS | finding.rank for finding in findings]
        for packed in new:
            self._add(packed, 1)
        if new:
            self._subjects[subject] = new[0] if len(new) == 1 else tuple(new)
            self.last = max(self.last, *[finding.last for finding in findings])
            first = min((finding.first, finding.first_event) for finding in findings)
            self.first = min(self.first or first, first)

    def complete(self, joined: Finding) -> Finding:
        """What was joined while some of the subjects were forgotten, with what is known of all."""
        first = self.first or (joined.first, joined.first_event)
        return msgspec.structs.replace(
            joined, first=first[0], first_event=first[1], count=self.count, joined=self.number
        )

    def _add(self, packed: int, times: int) -> None:
        self._ranks[packed & (1 << _BITS) - 1] += times
        self.count += times * (packed >> _BITS)

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

    def subjects(self, level: int) -> set[str]:
        """Those with a finding of at least this rank."""
        mask = (1 << _BITS) - 1
        return {
            subject
            for subject, held in self._subjects.items()
            if (held & mask if isinstance(held, int) else max(p & mask for p in held)) >= level
        }


class Joint(msgspec.Struct, frozen=True):
    """What of a day's findings is told: those of ``subjects``, and what ``join`` makes of all.

    ``level``: the lowest rank that is told by itself; where it is 0 nothing is joined.
    """

    day: int
    level: int
    subjects: Set[str]
    count: int
    rank: int
    last: int
    join: Callable[[], Finding]
    is_whole: bool = True
    """Whether nothing was forgotten of those that are joined."""
    is_over: bool = False
    """Whether the day is over: what is not joined now never is."""


def join_findings(rule: Rule, day: int, rank: int, findings: Iterable[Finding]) -> Finding:
    """The one finding that stands for all of these, of which there is at least one."""
    subjects: set[str] = set()
    names: dict[str, set[str]] = {name: set() for name in LISTS}
    more: set[str] = set()
    evidence: list[Identity] = []
    count, number = 0, 0
    begin: tuple[int, str] | None = None
    end = (0, "")
    for finding in findings:
        subjects.add(finding.subject)
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
    hosts = list_names(lists["hosts"][:MOST_NAMES], more="hosts" in more)
    length = length_of(end[0] - begin[0])
    return Finding(
        rule=rule.name,
        subject=JOINED,
        first=begin[0],
        last=end[0],
        day=day,
        severity=_NAMES[rank],
        sentence=(
            f"{rule.title}: {count_of(number, 'finding')} about "
            f"{count_of(len(subjects), *rule.noun)} on {hosts}, {count_of(count, 'event')} within "
            f"{length}, from {minute_of(begin[0])}"
        ),
        count=count,
        technique=rule.technique,
        more=tuple(name for name in LISTS if name in more),
        first_event=begin[1],
        last_event=end[1],
        evidence=tuple(sorted(set(evidence))[:MOST_EVIDENCE]),
        joined=number,
        **told,
    )

"""Events added up: how many, the first and the last, and who, whom, from where, where, what.

Adding and merging give the same in whatever order and grouping: names are the first ones by
name, evidence is the first events by time.
"""

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec

from aggregator.finding import LISTS, Finding, Identity, identity_of
from aggregator.wording import list_names
from heptad.event import Event

MOST_NAMES: Final = 50
"""So many of each list are told; one more is kept, to know that there are more."""
MOST_EVIDENCE: Final = 10
_LONGEST_NAME: Final = 256

Names = tuple[str, ...]
Wants = Mapping[str, tuple[str, ...]]
"""Actions, and perhaps outcomes, of the events that a rule looks at."""


class Facts(msgspec.Struct, gc=False):
    """What some events of one subject have in common; do not change it after it was handed on."""

    count: int
    first: Identity
    last: Identity
    evidence: tuple[Identity, ...] = ()
    users: Names = ()
    targets: Names = ()
    addresses: Names = ()
    hosts: Names = ()
    programs: Names = ()
    actions: Names = ()
    reasons: Names = ()
    objects: Names = ()


def add_event(facts: Facts | None, event: Event) -> Facts:
    """The facts with one more event, changed in place."""
    identity = identity_of(event)
    if facts is None:
        facts = Facts(0, identity, identity)
    facts.count += event.count
    facts.first = min(facts.first, identity)
    facts.last = max(facts.last, identity)
    if len(facts.evidence) < MOST_EVIDENCE or identity < facts.evidence[-1]:
        facts.evidence = tuple(sorted((*facts.evidence, identity))[:MOST_EVIDENCE])
    facts.users = _include(facts.users, event.user)
    facts.targets = _include(facts.targets, event.target_user)
    facts.addresses = _include(facts.addresses, origin_of(event))
    facts.hosts = _include(facts.hosts, event.host)
    facts.programs = _include(facts.programs, event.program)
    facts.actions = _include(facts.actions, event.action)
    facts.reasons = _include(facts.reasons, event.reason or None)
    facts.objects = _include(facts.objects, event.object)
    return facts


def origin_of(event: Event) -> str | None:
    """Where it came from, as exactly as is told: address, name or terminal."""
    return event.source_ip or event.source_domain or event.tty


def _include(names: Names, name: str | None) -> Names:
    if name is None or name in names:
        return names
    name = name[:_LONGEST_NAME]
    if name in names or (len(names) > MOST_NAMES and name > names[-1]):
        return names
    listed = list(names)
    insort(listed, name)
    return tuple(listed[: MOST_NAMES + 1])


def merge(one: Facts, other: Facts) -> Facts:
    """The facts of the events of both."""
    return Facts(
        one.count + other.count,
        min(one.first, other.first),
        max(one.last, other.last),
        tuple(sorted({*one.evidence, *other.evidence})[:MOST_EVIDENCE]),
        *(_unite(getattr(one, name), getattr(other, name)) for name in LISTS),
    )


def _unite(one: Names, other: Names) -> Names:
    if one == other or not other:
        return one
    return tuple(sorted({*one, *other})[: MOST_NAMES + 1]) if one else other


def list_some(names: Sequence[str]) -> str:
    """Names as ``Facts`` holds them: one beyond the most says that there are more."""
    return list_names(names[:MOST_NAMES], more=len(names) > MOST_NAMES)


def tell_identity(identity: Identity) -> str:
    """An event as evidence."""
    return f"{identity[1]} {identity[0]}"


class Telling:
    """What the rules have in common whose cells are Facts, or hold some.

    ``titles`` and notes are what docs/findings.md says of the rule.
    """

    name: str
    title: str
    technique: str = ""
    """A MITRE ATT&CK identifier, where one fits: https://attack.mitre.org/techniques/."""
    meaning: str
    wrong_where: str
    """When it is a false positive, and what it does not see."""
    wants: ClassVar[Wants]
    before: int = 0
    after: int = 0

    def add(self, cell: Any | None, event: Event) -> Any:
        """The cell with one more event."""
        return add_event(cell, event)

    def sentence_of(self, subject: str, facts: Facts) -> str:
        """The finding in words."""
        raise NotImplementedError

    def severity_of(self, facts: Facts) -> str:
        """How grave it is."""
        return "low"

    def tell(self, subject: str, day: int, facts: Facts) -> Finding:
        """The finding."""
        sentence = self.sentence_of(subject, facts)
        return finding_of(self, subject, day, facts, (self.severity_of(facts), sentence))


def finding_of(
    rule: Telling, subject: str, day: int, facts: Facts, told: tuple[str, str]
) -> Finding:
    """The finding of these facts; ``told`` is its severity and its sentence."""
    lists = {name: list(getattr(facts, name)[:MOST_NAMES]) for name in LISTS}
    return Finding(
        rule=rule.name,
        subject=subject,
        first=facts.first[0],
        last=facts.last[0],
        day=day,
        severity=told[0],
        sentence=told[1],
        count=facts.count,
        technique=rule.technique,
        more=[name for name in LISTS if len(getattr(facts, name)) > MOST_NAMES],
        first_event=tell_identity(facts.first),
        last_event=tell_identity(facts.last),
        evidence=[tell_identity(identity) for identity in facts.evidence],
        **lists,
    )


Tell = Callable[[str, int, Facts], Finding]
"""(subject, UTC day, facts) → the finding."""

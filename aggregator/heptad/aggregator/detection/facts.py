"""Sums up events: their number, the first and last, and the answers to the 7W questions.

The result does not depend on order and grouping: lists keep the first names in alphabetical order,
evidence keeps the first events by time.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

import msgspec

from heptad.aggregator.detection.finding import LISTS, Finding, format_identity, identity_of
from heptad.aggregator.summary.wording import Words, length_of, shorten_apart
from heptad.core.event import Event
from heptad.core.store.point import Identity
from heptad.core.wording import count_of, list_names

MOST_NAMES: Final = 50
"""Maximum number of names shown of each list; one more is kept to know that there are more."""
MOST_EVIDENCE: Final = 1000
"""Maximum number of events kept as the evidence of a finding, the first ones by time."""
_EMBEDS_IPV4: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LONGEST_NAME: Final = 200
"""Characters. With every character as a JSON escape of six, a list fits into a string of 64 KiB."""

NameTuple = tuple[str, ...]
EventFilter = Mapping[str, tuple[str, ...]]
"""Actions, and optionally outcomes, of the events that a rule needs."""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The sum of some events of one key; ``lists`` are the names of ``LISTS``."""

    count: int
    first: Identity
    last: Identity
    evidence: tuple[Identity, ...]
    lists: tuple[NameTuple, ...]

    @property
    def users(self) -> NameTuple:
        """The accounts that acted."""
        return self.lists[0]

    @property
    def targets(self) -> NameTuple:
        """The target accounts."""
        return self.lists[1]

    @property
    def addresses(self) -> NameTuple:
        """The sources."""
        return self.lists[2]

    @property
    def hosts(self) -> NameTuple:
        """The hosts."""
        return self.lists[3]

    @property
    def programs(self) -> NameTuple:
        """The programs."""
        return self.lists[4]

    @property
    def actions(self) -> NameTuple:
        """The actions."""
        return self.lists[5]

    @property
    def reasons(self) -> NameTuple:
        """The reasons of the outcome."""
        return self.lists[6]

    @property
    def objects(self) -> NameTuple:
        """The objects."""
        return self.lists[7]


EventFacts = tuple[Event, Facts]


def facts_of(event: Event, *, shown: bool = True) -> Facts:
    """Return the facts of one event; ``shown``: keep it as evidence."""
    identity = identity_of(event)
    user, target, origin, what = event.user, event.target_user, origin_of(event), event.object
    lists = (
        () if user is None else _name(user),
        () if target is None else _name(target),
        () if origin is None else _name(origin),
        *_names_of_tags(event.host, event.program, event.action, event.reason),
        () if what is None else _name(what),
    )
    return Facts(event.count, identity, identity, (identity,) if shown else (), lists)


@lru_cache(maxsize=16_384)
def _name(name: str) -> NameTuple:
    """Cached, so that equal names share memory and are merged by identity."""
    return (shorten_apart(name, _LONGEST_NAME),)


@lru_cache(maxsize=4096)
def _names_of_tags(host: str, program: str, action: str, reason: str) -> tuple[NameTuple, ...]:
    """Return the names in an event's tags. Cached for the same reason as ``_name``."""
    return _name(host), _name(program), _name(action), _name(reason) if reason else ()


def address_of(event: Event) -> str | None:
    """Return ``owner_of`` the source address, or None: a host name alone proves nothing."""
    return None if event.source_ip is None else owner_of(event.source_ip)


@lru_cache(maxsize=16_384)
def owner_of(text: str) -> str:
    """Return an IPv4 address, or the /64 of an IPv6 address, which belongs to one owner.

    An IPv6 address that maps an IPv4 address (RFC 4291, 2.5.5.2; RFC 6052) or is link-local (RFC
    4291, 2.5.6) is returned as one address.
    """
    if ":" not in text:
        return text
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_link_local or address.is_loopback or address in _EMBEDS_IPV4:
        return text
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def origin_of(event: Event) -> str | None:
    """Return the source, as exactly as it is known: address, name or terminal."""
    return event.source_ip or event.source_domain or event.tty


def merge(parts: Sequence[Facts]) -> Facts:
    """Return the sum of all parts, of which there must be at least one."""
    whole = parts[0]
    if len(parts) == 1:
        return whole
    count, first, last, evidence = whole.count, whole.first, whole.last, list(whole.evidence)
    ordered = True
    for part in parts[1:]:
        count += part.count
        if part.first > last:
            last = part.last
            if len(evidence) < MOST_EVIDENCE:
                evidence += part.evidence
        else:
            first, last = min(first, part.first), max(last, part.last)
            evidence += part.evidence
            ordered = False
    if not ordered:
        evidence = sorted(set(evidence))
    number, columns = len(parts), zip(*[part.lists for part in parts], strict=True)
    lists = [own[0] if own.count(own[0]) == number else _unite(own) for own in columns]
    return Facts(count, first, last, tuple(evidence[:MOST_EVIDENCE]), tuple(lists))


def _unite(lists: Sequence[NameTuple]) -> NameTuple:
    """Return the first names of all lists in alphabetical order; each list must be sorted."""
    whole = lists[0]
    if len(whole) > MOST_NAMES:
        last = whole[-1]
        before = {name for own in lists[1:] for name in own if name < last}.difference(whole)
        return tuple(sorted([*whole, *before])[: MOST_NAMES + 1]) if before else whole
    names: set[str] = set()
    names.update(*lists)
    number = len(names)
    for own in lists:
        if len(own) == number:
            return own
    return tuple(sorted(names)[: MOST_NAMES + 1])


class EventBatch(list[EventFacts]):
    """One or more events of one key, minute, action and outcome, with their facts."""

    _merged: Facts | None = None

    def merged(self) -> Facts:
        """Return the sum of all facts; cached, because several rules need it."""
        if len(self) == 1:
            return self[0][1]
        if self._merged is None:
            self._merged = merge([facts for _, facts in self])
        return self._merged


def name_owner(key: str, facts: Facts) -> NameTuple:
    """Return the source for a path: the address if there is only one, else the key."""
    return facts.addresses if len(facts.addresses) == 1 else (key,)


def list_some(names: Sequence[str]) -> str:
    """Format names of ``Facts``; one above the maximum means that there are more."""
    return list_names(names[:MOST_NAMES], more=len(names) > MOST_NAMES)


def number_of(names: NameTuple, noun: str, plural: str = "") -> str:
    """Format a number of names: ``3 hosts``, or ``more than 50 hosts`` if the list is truncated."""
    more = "more than " if len(names) > MOST_NAMES else ""
    return more + count_of(min(len(names), MOST_NAMES), noun, plural)


def path_of(hosts: NameTuple, *steps: NameTuple) -> str:
    """Format ``203.0.113.9 → bob@web-1``: source, user, target; empty parts are left out.

    With several names: ``203.0.113.9 → alice and bob on web-1 and web-2``.
    """
    told = [step for step in steps if step]
    if not told:
        return list_some(hosts)
    joint = "@" if len(told[-1]) == len(hosts) == 1 else " on "
    return f"{' → '.join(map(list_some, told))}{joint}{list_some(hosts)}"


def often(facts: Facts, noun: str, plural: str = "") -> str:
    """Format ``1 login`` or ``5 logins within 20 minutes``."""
    times = count_of(facts.count, noun, plural)
    if facts.count == 1:
        return times
    return f"{times} within {length_of(facts.last.time - facts.first.time)}"


class FactsRule:
    """Base class of all rules whose buckets contain ``Facts``.

    docs/findings.md shows the attributes that are texts.
    """

    name: str
    title: str
    technique: str = ""
    """A MITRE ATT&CK identifier, if one fits: https://attack.mitre.org/techniques/."""
    description: str
    false_positives: str
    """False positives, and what the rule cannot detect."""
    filter: ClassVar[EventFilter]
    before: int = 0
    after: int = 0
    shares_buckets: bool = False
    most: int = 20
    """Maximum number of findings of a day that are reported separately; see
    ``heptad.aggregator.detection.flood``."""
    noun: tuple[str, str] = ("user", "users")
    """What a key is, singular and plural."""

    def add(self, bucket: Any | None, told: EventBatch) -> Any:
        """Return the bucket with more events added."""
        return told.merged() if bucket is None else merge([bucket, told.merged()])

    def needs_past(self, bucket: Any) -> bool:
        """Return whether evicted earlier events of the bucket's key must be read again."""
        return False

    def title_of(self, facts: Facts) -> str:
        return self.title

    def path_of(self, key: str, facts: Facts) -> str:
        """Return the subject: source, users and hosts."""
        return path_of(facts.hosts, name_owner(key, facts), facts.users)

    def facts_of(self, key: str, facts: Facts) -> str:
        """Return what happened: how many, how often, within what time."""
        raise NotImplementedError

    def severity_of(self, facts: Facts) -> str:
        return "low"

    def to_finding(self, key: str, day: int, facts: Facts) -> Finding:
        title, path = self.title_of(facts), self.path_of(key, facts)
        words = Words(title, path, self.facts_of(key, facts))
        return finding_of(self, key, day, facts, (self.severity_of(facts), words))


def finding_of(
    rule: FactsRule, key: str, day: int, facts: Facts, told: tuple[str, Words]
) -> Finding:
    """Return the finding of these facts; ``told`` is its severity and wording."""
    lists: dict[str, Any] = dict(zip(LISTS, facts.lists, strict=True))
    more = tuple([name for name, names in lists.items() if len(names) > MOST_NAMES])
    for name in more:
        lists[name] = lists[name][:MOST_NAMES]
    return Finding(
        rule=rule.name,
        subject=key,
        first=facts.first.time,
        last=facts.last.time,
        day=day,
        severity=told[0],
        sentence=told[1].sentence,
        title=told[1].title,
        facts=told[1].facts,
        count=facts.count,
        technique=rule.technique,
        more=more,
        first_event=format_identity(facts.first),
        last_event=format_identity(facts.last),
        evidence=facts.evidence,
        **lists,
    )


FindingFactory = Callable[[str, int, Facts], Finding]
"""(key, UTC day, facts) → finding."""

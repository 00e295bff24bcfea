"""What happened on the hosts in some time, put together for a person from events and findings.

Reads the events once, in order, and keeps bounded tables only: whatever the number of events,
of addresses and of names, the memory stays the same.
"""

import json
from collections import Counter
from typing import Final

import msgspec

from aggregator.finding import RANKS, Finding, latest_findings
from aggregator.tally import MOST_KEYS, Tally, Top
from aggregator.wording import count_of, list_names
from heptad.event import Event
from heptad.event_row import MEASUREMENT, event_of_point
from heptad.store import Store
from heptad.store.local import LocalStore
from heptad.units import format_time

MOST_ROWS: Final = 10
_MOST_GAPS: Final = 10
_MOST_SAMPLES: Final = 3
_MOST_FIRST: Final = 10
_MANY_FAILURES: Final = 5
_TYPED: Final = ("password", "keyboard-interactive")
_NAME: Final = 256


class EventCount(msgspec.Struct):
    """How often something happened."""

    program: str
    action: str
    outcome: str
    count: int


class LoginCount(msgspec.Struct):
    """Login attempts of one host, program and method."""

    host: str
    program: str
    method: str
    attempts: int = 0
    successes: int = 0
    failures: int = 0


class Access(msgspec.Struct):
    """Who got in, or became whom: the same answers to the 7W questions, told once."""

    who: str
    source: str
    host: str
    program: str
    method: str = ""
    target: str = ""
    what: str = ""
    outcome: str = ""
    count: int = 0
    last: str = ""


class Accesses(msgspec.Struct):
    """The latest of them, and how many events of others there were."""

    rows: list[Access]
    others: int


class NotUnderstood(msgspec.Struct):
    """Lines of a program that no rule understood since the store was begun, with the latest."""

    program: str
    lines: int
    samples: list[str]


class Gap(msgspec.Struct):
    """A part of a log that could not be read."""

    time: str
    host: str
    source: str
    reason: str
    what: str


class Report(msgspec.Struct):
    """Everything; times are RFC 3339, UTC."""

    since: str
    until: str
    hosts: list[str]
    total: int
    first: list[str]
    findings: list[Finding]
    logins: list[LoginCount]
    failing_addresses: Top
    failing_users: Top
    successes: Accesses
    privileges: Accesses
    events: list[EventCount]
    not_understood: list[NotUnderstood]
    gaps: list[Gap]
    gaps_number: int


class _Latest:
    """Accesses that differ in more than their time, the latest of them."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], tuple[Access, int]] = {}
        self._others = 0

    def add(self, event: Event) -> None:
        access = Access(
            who=_cut(event.user),
            source=_cut(event.source_ip or event.source_domain or event.tty),
            host=event.host,
            program=event.program,
            method=event.method,
            target=_cut(event.target_user),
            what=_cut(event.object) if event.action == "privilege" else "",
            outcome=event.outcome,
        )
        key = msgspec.structs.astuple(access)
        known, _ = self._rows.pop(key, (access, 0))
        known.count += event.count
        self._rows[key] = (known, event.time)
        if len(self._rows) > MOST_KEYS:
            dropped, _ = self._rows.pop(next(iter(self._rows)))
            self._others += dropped.count

    def rows(self) -> list[Access]:
        """All that are kept, the latest first."""
        return [
            msgspec.structs.replace(access, last=format_time(time))
            for access, time in reversed(self._rows.values())
        ]

    def take(self, number: int) -> Accesses:
        rows = self.rows()
        others = self._others + sum(row.count for row in rows[number:])
        return Accesses(rows[:number], others)


class _Reader:
    """Takes up the events of a report."""

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        self.events: Tally[tuple[str, str, str]] = Tally()
        self.logins: dict[tuple[str, str, str], LoginCount] = {}
        self.addresses: Tally[str] = Tally()
        self.users: Tally[str] = Tally()
        self.successes = _Latest()
        self.privileges = _Latest()
        self.gaps: list[Gap] = []
        self.gaps_number = 0

    def add(self, event: Event) -> None:
        self.hosts.add(event.host)
        self.events.add((event.program, event.action, event.outcome), event.count)
        if event.action == "login":
            self._add_login(event)
        elif event.action == "privilege":
            self.privileges.add(event)
        elif event.action == "gap":
            self.gaps_number += 1
            what = _cut(event.object or event.path)
            told = Gap(format_time(event.time), event.host, event.source, event.reason, what)
            self.gaps = [*self.gaps[-_MOST_GAPS + 1 :], told]

    def _add_login(self, event: Event) -> None:
        key = (event.host, event.program, event.method)
        counts = self.logins.get(key)
        if counts is None:
            counts = self.logins[key] = LoginCount(*key)
        counts.attempts += event.count
        if event.outcome == "success":
            counts.successes += event.count
            self.successes.add(event)
        elif event.outcome == "failure":
            counts.failures += event.count
            self.addresses.add(_cut(event.source_ip or event.source_domain), event.count)
            self.users.add(_cut(event.user), event.count)


def compose(events: LocalStore, findings: Store | None, since: int, until: int) -> Report:
    """The report of since <= t < until (ns); ``findings`` is None where nobody computed any."""
    reader = _Reader()
    for point in events.read(MEASUREMENT, since, until):
        reader.add(event_of_point(point))
    found = latest_findings(findings, since, until) if findings else []
    found.sort(key=lambda finding: (-finding.rank, -finding.count, finding.first))
    return Report(
        since=format_time(since),
        until=format_time(until),
        hosts=sorted(reader.hosts),
        total=sum(count for _, count in reader.events.ranked()) + reader.events.others,
        first=_look_first(reader, found),
        findings=found,
        logins=[counts for _, counts in sorted(reader.logins.items())],
        failing_addresses=reader.addresses.top(MOST_ROWS),
        failing_users=reader.users.top(MOST_ROWS),
        successes=reader.successes.take(MOST_ROWS),
        privileges=reader.privileges.take(MOST_ROWS),
        events=[EventCount(*key, count) for key, count in reader.events.ranked()],
        not_understood=_read_not_understood(events),
        gaps=reader.gaps,
        gaps_number=reader.gaps_number,
    )


def _look_first(reader: _Reader, findings: list[Finding]) -> list[str]:
    """What a person should look at first, most urgent first."""
    entered = _judge_entries(reader, {f.subject for f in findings if f.rank > 0})
    found = [finding.sentence for finding in findings if finding.rank > RANKS["low"]]
    refused: Counter[str] = Counter()
    for access in reader.privileges.rows():
        if access.outcome == "failure":
            target = f" to act as {access.target}" if access.target else ""
            where = f"by {access.program} on {access.host}{target}"
            refused[f"{access.who or '(no name)'} was refused {where}"] += access.count
    told = [f"{what}, {count_of(count, 'time')}" for what, count in refused.items()]
    return [*entered, *found, *told][:_MOST_FIRST]


def _judge_entries(reader: _Reader, accused: set[str]) -> list[str]:
    """The successful logins that a person should look at: one sentence an address and host."""
    groups: dict[tuple[int, str, str], list[str]] = {}
    for access in reader.successes.rows():
        failed = reader.addresses.counts.get(access.source, 0) if access.source else 0
        where = f"from {access.source or '?'} on {access.host} ({access.program})"
        if access.source in accused:
            key = (0, where, "and that address is in a finding")
        elif failed >= _MANY_FAILURES:
            key = (1, where, f"and {failed} logins from there failed in this time")
        elif access.who == "root" and access.method in _TYPED:
            key = (2, where, f"by {access.method}")
        else:
            continue
        names = groups.setdefault(key, [])
        if access.who not in names:
            names.append(access.who)
    return [
        f"{list_names(names)} logged in {where}, {why}"
        for (_, where, why), names in sorted(groups.items(), key=lambda item: item[0][0])
    ]


def _read_not_understood(events: LocalStore) -> list[NotUnderstood]:
    lines = {"": 0}
    for (name, labels), value in events.counters().items():
        told = json.loads(labels)
        if name == "heptad_lines_not_understood_total":
            lines[told["program"]] = lines.get(told["program"], 0) + int(value)
        elif name == "heptad_lines_total" and told.get("result") == "no_header":
            lines[""] += int(value)
    found = []
    for program, number in sorted(lines.items(), key=lambda item: (-item[1], item[0])):
        kept = events.recall(f"not_understood/{program}")
        samples = msgspec.json.decode(kept, type=list[str])[-_MOST_SAMPLES:] if kept else []
        if number or samples:
            found.append(NotUnderstood(program, number, samples))
    return found


def _cut(text: str | None) -> str:
    return (text or "")[:_NAME]

"""Brute force: many failed logins from one address within a short time.

An episode is made of every minute that lies in a span with enough attempts: at least
``attempts`` failed logins within ``span``. Spans that touch are one episode. An attack may go on
for ever, so an episode that crosses midnight (UTC) is cut there, if both sides have enough
attempts by themselves; a smaller side stays with the other. A day's episodes therefore follow
from that day's minutes and those of two spans around it.

Times are kept to the minute. A span is rounded up to whole minutes and one more, so that no
attack within ``span`` is missed; attempts up to two minutes further apart may count together.

What it cannot see: an attack from many addresses, a slow one, and one whose lines carry no
address. An address that stands for many people (a proxy, a gateway) can look like an attacker
when several of them mistype within the span.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from aggregator.finding import Finding, Identity, identity_of
from aggregator.wording import count_of, list_names
from heptad import units
from heptad.config import BruteForceConfig
from heptad.event import Event

NAME: Final = "brute_force"
TECHNIQUE: Final = "T1110"
"""MITRE ATT&CK: Brute Force, https://attack.mitre.org/techniques/T1110/."""
MOST_NAMES: Final = 50
"""So many users and hosts are kept of a minute and of an episode, the first ones by name."""
_MINUTES_A_DAY: Final = 1440
_LONGEST_NAME: Final = 256

Names = tuple[str, ...]


class Cell(msgspec.Struct, frozen=True, gc=False):
    """The failed logins of one address in one minute, or in all minutes of an episode."""

    attempts: int
    first: Identity
    last: Identity
    users: Names
    hosts: Names
    users_more: bool = False
    hosts_more: bool = False


def merge(one: Cell, other: Cell) -> Cell:
    """The cell of the events of both; in whatever order and grouping cells are merged."""
    users, users_more = _unite(one.users, other.users)
    hosts, hosts_more = _unite(one.hosts, other.hosts)
    return Cell(
        one.attempts + other.attempts,
        min(one.first, other.first),
        max(one.last, other.last),
        users,
        hosts,
        users_more or one.users_more or other.users_more,
        hosts_more or one.hosts_more or other.hosts_more,
    )


def _unite(one: Names, other: Names) -> tuple[Names, bool]:
    if one == other:
        return one, False
    names = sorted({*one, *other})
    return tuple(names[:MOST_NAMES]), len(names) > MOST_NAMES


class Part(msgspec.Struct, frozen=True, gc=False):
    """What of an episode lies in one UTC day (since the epoch)."""

    day: int
    total: Cell


class Chain:
    """The episodes of one address, from its cells in order of time."""

    def __init__(self, attempts: int, width: int) -> None:
        self._attempts = attempts
        self._width = width
        self._recent: list[tuple[int, Cell]] = []
        self._end = -1
        self._episodes: list[list[Part]] = []

    def copy(self) -> "Chain":
        """A chain of its own that knows the same."""
        twin = Chain(self._attempts, self._width)
        twin._recent = self._recent.copy()
        twin._end = self._end
        twin._episodes = [episode.copy() for episode in self._episodes]
        return twin

    def add(self, minute: int, cell: Cell) -> None:
        """The next cell; ``minute`` is later than all before."""
        begin = minute - self._width + 1
        self._recent = [known for known in self._recent if known[0] >= begin]
        self._recent.append((minute, cell))
        if sum(known.attempts for _, known in self._recent) < self._attempts:
            return
        if not self._episodes or begin > self._end + 1:
            self._episodes.append([])
        for at, known in self._recent:
            if at > self._end:
                self._extend(self._episodes[-1], at // _MINUTES_A_DAY, known)
        self._end = minute

    @staticmethod
    def _extend(episode: list[Part], day: int, cell: Cell) -> None:
        if episode and episode[-1].day == day:
            episode[-1] = Part(day, merge(episode[-1].total, cell))
        else:
            episode.append(Part(day, cell))

    def is_idle(self, minute: int) -> bool:
        """Whether nothing here matters to a cell at or after ``minute``."""
        late = bool(self._recent) and self._recent[-1][0] + self._width > minute
        return not late and not self._episodes

    def forget(self, day: int) -> None:
        """Drop the episodes that ended before ``day``."""
        self._episodes = [episode for episode in self._episodes if episode[-1].day >= day]

    def findings(self, subject: str) -> Iterator[Finding]:
        """Every episode, cut at midnight."""
        for episode in self._episodes:
            for part in _cut(episode, self._attempts):
                yield _finding(subject, part, self._attempts)


def _cut(episode: list[Part], attempts: int) -> list[Part]:
    """Join a side of midnight that has not enough attempts of its own to the other side."""
    parts: list[Part] = []
    for part in episode:
        if parts and parts[-1].total.attempts < attempts:
            parts[-1] = Part(part.day, merge(parts[-1].total, part.total))
        else:
            parts.append(part)
    if len(parts) > 1 and parts[-1].total.attempts < attempts:
        last = parts.pop()
        parts[-1] = Part(parts[-1].day, merge(parts[-1].total, last.total))
    return parts


class BruteForce:
    """The rule with its thresholds."""

    name: Final = NAME
    wants: Final = {"action": "login", "outcome": "failure"}

    def __init__(self, config: BruteForceConfig) -> None:
        self._attempts = config.attempts
        self._width = math.ceil(units.parse_duration(config.span) / 60) + 1
        self.reach: Final = 2 * self._width

    def subject_of(self, event: Event) -> str | None:
        """The address; a name in its place is no evidence of where an attempt came from."""
        return event.source_ip

    def add(self, cell: Cell | None, event: Event) -> Cell:
        """The cell with one more event."""
        identity = identity_of(event)
        users = (event.user[:_LONGEST_NAME],) if event.user is not None else ()
        new = Cell(event.count, identity, identity, users, (event.host,))
        return new if cell is None else merge(cell, new)

    def chain(self) -> Chain:
        """An empty chain."""
        return Chain(self._attempts, self._width)


def severity_of(attempts: int, threshold: int) -> str:
    """How far beyond the threshold it went: up to tenfold, up to a hundredfold, or more."""
    if attempts < 10 * threshold:
        return "low"
    return "medium" if attempts < 100 * threshold else "high"


def _finding(subject: str, part: Part, threshold: int) -> Finding:
    total = part.total
    return Finding(
        rule=NAME,
        subject=subject,
        first=total.first[0],
        last=total.last[0],
        day=part.day,
        severity=severity_of(total.attempts, threshold),
        sentence=_sentence(subject, total),
        attempts=total.attempts,
        technique=TECHNIQUE,
        users=list(total.users),
        users_more=total.users_more,
        hosts=list(total.hosts),
        hosts_more=total.hosts_more,
        first_event=_evidence(total.first),
        last_event=_evidence(total.last),
    )


def _evidence(identity: Identity) -> str:
    return f"{identity[1]} {identity[0]}"


def _sentence(subject: str, total: Cell) -> str:
    begin = datetime.fromtimestamp(total.first[0] // units.SECOND, UTC)
    minutes = max(1, math.ceil((total.last[0] - total.first[0]) / (60 * units.SECOND)))
    took = count_of(minutes, "minute") if minutes < 120 else count_of(minutes // 60, "hour")
    users = f" as {list_names(total.users, more=total.users_more)}" if total.users else ""
    hosts = list_names(total.hosts, more=total.hosts_more)
    return (
        f"{subject} failed to log in {total.attempts} times{users} on {hosts} "
        f"within {took}, from {begin:%Y-%m-%d %H:%M} UTC"
    )

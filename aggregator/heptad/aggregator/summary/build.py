"""Build the summary of a range of time from its events and findings.

Events are read once, in order. All tables are bounded, so memory does not grow with the number of
events, addresses or names.
"""

import json
from collections import Counter
from typing import Final

import msgspec

from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.facts import owner_of
from heptad.aggregator.detection.finding import RANKS, Finding, program_of
from heptad.aggregator.detection.latest import latest_findings, latest_sessions
from heptad.aggregator.detection.rules.sudo_refused import SudoRefused
from heptad.aggregator.reports.accounts import ACTIONS
from heptad.aggregator.reports.counting import LONGEST, MOST_KEYS, SpillCounter, cut
from heptad.aggregator.reports.distinct import DistinctReport
from heptad.aggregator.reports.hosts import HostsReport
from heptad.aggregator.reports.sessions import SessionsReport
from heptad.aggregator.summary.model import (
    AccessRow,
    AccessTable,
    DistinctCount,
    EventCount,
    FindingEvents,
    GapRow,
    HostSeen,
    Line,
    LoginCount,
    SessionCount,
    SessionRow,
    Slot,
    Summary,
    UnparsedProgram,
)
from heptad.aggregator.untrusted_lines import UntrustedCounter
from heptad.core.event import Event
from heptad.core.store.api import EventStore, StoreError
from heptad.core.store.event_row import UNPARSED
from heptad.core.store.point import Point
from heptad.core.units import SECOND, format_time
from heptad.core.wording import count_of, list_names, shorten

DISTINCT: Final = DistinctReport()
HOSTS: Final = HostsReport()
SESSIONS: Final = SessionsReport()
MOST_ROWS: Final = 10
_MOST_GAPS: Final = 10
_MOST_SAMPLES: Final = 3
_MOST_FIRST: Final = 10
MOST_SESSIONS: Final = 20
MOST_FINDINGS: Final = 10
"""Evidence is included for at most this many findings."""
_MOST_SLOTS: Final = 48
_STEPS: Final = tuple(minutes * 60 * SECOND for minutes in (1, 5, 15, 30, 60, 180, 360, 1440))
_MANY_FAILURES: Final = 5
_decode_samples: Final = msgspec.json.Decoder(list[str]).decode
_TYPED: Final = ("password", "keyboard-interactive")


class _LatestAccesses:
    """Keeps the latest accesses; those that differ only in their time are counted as one."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], tuple[AccessRow, int]] = {}
        self._others = 0

    def add(self, event: Event) -> None:
        row = AccessRow(
            who=cut(event.user),
            source=cut(event.source_ip or event.source_domain or event.tty),
            host=event.host,
            program=event.program,
            method=event.method,
            target=cut(event.target_user),
            what="" if event.action == "login" else cut(event.object),
            action=event.action if event.action in ACTIONS else "",
            outcome=event.outcome,
        )
        key = msgspec.structs.astuple(row)
        known, _ = self._rows.pop(key, (row, 0))
        known.count += event.count
        self._rows[key] = (known, event.time)
        if len(self._rows) > MOST_KEYS:
            dropped, _ = self._rows.pop(next(iter(self._rows)))
            self._others += dropped.count

    def rows(self) -> list[AccessRow]:
        """Return all rows that are kept, the latest first."""
        return [
            msgspec.structs.replace(row, last=format_time(time))
            for row, time in reversed(self._rows.values())
        ]

    def take(self, number: int) -> AccessTable:
        rows = self.rows()
        others = self._others + sum(row.count for row in rows[number:])
        return AccessTable(rows[:number], others)


class _SummaryBuilder:
    """Accumulates the events of a summary."""

    def __init__(self, since: int, until: int) -> None:
        self._since = since
        self._step = _step_of(until - since)
        self._accumulators = (
            (DISTINCT.actions, distinct := DISTINCT.begin()),
            (SESSIONS.actions, sessions := SESSIONS.begin()),
        )
        self.distinct = distinct
        self.sessions = sessions
        self.hosts = HOSTS.begin()
        self.changes = _LatestAccesses()
        self.slots = [[0, 0] for _ in range(-(-(until - since) // self._step))]
        self.events = Counter[tuple[str, str, str]]()
        self.logins: dict[tuple[str, str, str], LoginCount] = {}
        self.addresses = SpillCounter()
        self.users = SpillCounter()
        self.successes = _LatestAccesses()
        self.privileges = _LatestAccesses()
        self.gaps: list[GapRow] = []
        self.gaps_number = 0

    def add(self, event: Event) -> None:
        self.hosts.add([event])
        for actions, accumulator in self._accumulators:
            if event.action in actions:
                accumulator.add([event])
        self.events[event.program, event.action, event.outcome] += event.count
        if event.action == "login":
            self._add_login(event)
        elif event.action == "privilege":
            self.privileges.add(event)
        elif event.action in ACTIONS:
            self.changes.add(event)
        elif event.action == "gap":
            self.gaps_number += 1
            what = cut(event.object or event.path)
            told = GapRow(format_time(event.time), event.host, event.source, event.reason, what)
            self.gaps = [*self.gaps[-_MOST_GAPS + 1 :], told]

    def _add_login(self, event: Event) -> None:
        key = (event.host, event.program, event.method)
        counts = self.logins.get(key)
        if counts is None:
            counts = self.logins[key] = LoginCount(*key)
        counts.attempts += event.count
        slot = self.slots[(event.time - self._since) // self._step]
        if event.outcome == "success":
            slot[0] += event.count
            counts.successes += event.count
            self.successes.add(event)
        elif event.outcome == "failure":
            slot[1] += event.count
            counts.failures += event.count
            self.addresses.add(cut(event.source_ip or event.source_domain), event.count)
            self.users.add(cut(event.user), event.count)

    def seen(self, strange: Counter[str]) -> list[HostSeen]:
        """Return the hosts by name; ``strange`` is the number of lines not understood by host."""
        return [
            HostSeen(
                host, format_time(s.first), format_time(s.last), s.count, s.gaps, strange[host]
            )
            for host, s in sorted(self.hosts.seen.items())
        ]

    def numbers(self) -> list[DistinctCount]:
        """Return the numbers of different users and addresses by outcome."""
        return [
            DistinctCount(tags["outcome"], int(fields["users"]), int(fields["addresses"]))
            for tags, fields in self.distinct.rows()
        ]

    def session_counts(self) -> list[SessionCount]:
        """Return the sessions by host and program."""
        return [
            SessionCount(
                *key,
                count.opened,
                count.closed,
                count.open,
                count.length / SECOND / count.complete if count.complete else 0.0,
                count.longest / SECOND,
            )
            for key, count in self.sessions.counts().items()
        ]

    def timeline(self) -> list[Slot]:
        return [
            Slot(format_time(self._since + place * self._step), *slot)
            for place, slot in enumerate(self.slots)
        ]


class _UnparsedLines:
    """Counts lines that no rule understood by program, and keeps the latest of each."""

    def __init__(self) -> None:
        self.hosts: Counter[str] = Counter()
        self._programs: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}

    def add(self, point: Point) -> None:
        program = point.tags.get("program", "")
        self.hosts[point.tags.get("host", "")] += 1
        self._programs[program] += 1
        samples = self._samples.setdefault(program, [])
        samples.append(shorten(str(point.fields.get("raw", "")), LONGEST))
        del samples[:-_MOST_SAMPLES]

    def results(self) -> list[UnparsedProgram]:
        """Return the programs, those with most lines first."""
        ordered = sorted(self._programs.items(), key=lambda item: (-item[1], item[0]))
        return [UnparsedProgram(program, n, self._samples[program]) for program, n in ordered]


def _step_of(length: int) -> int:
    """Return the length of a slot of the timeline, so that there are at most ``_MOST_SLOTS``."""
    fitting = (step for step in _STEPS if length <= step * _MOST_SLOTS)
    return next(fitting, -(-length // _MOST_SLOTS))


def build_summary(
    events: EventStore, findings: EventStore | None, since: int, until: int
) -> Summary:
    """Build the summary of since <= t < until (ns); ``findings`` is None without an aggregator."""
    reader = _SummaryBuilder(since, until)
    for event in events.events(since, until):
        reader.add(event)
    strange, untrusted = _UnparsedLines(), UntrustedCounter()
    for point in events.read(UNPARSED, since, until):
        if "refused" not in point.fields:
            strange.add(point)
        elif events.is_shared:  # on a single host, ``problems`` reports these
            untrusted.add(point)
    stored = latest_findings(findings, since, until) if findings else []
    people = latest_sessions(findings, since, until) if findings else []
    found = [finding.at(until) for finding in stored]
    found.sort(key=lambda finding: (-finding.rank, -finding.count, finding.first))
    return Summary(
        since=format_time(since),
        until=format_time(until),
        hosts=sorted(reader.hosts.seen),
        looked_until=_looked_until(events),
        total=reader.events.total(),
        first=_look_first(reader, found),
        findings=found,
        logins=[counts for _, counts in sorted(reader.logins.items())],
        failing_addresses=reader.addresses.top(MOST_ROWS),
        failing_users=reader.users.top(MOST_ROWS),
        successes=reader.successes.take(MOST_ROWS),
        privileges=reader.privileges.take(MOST_ROWS),
        events=[
            EventCount(*key, count)
            for key, count in sorted(reader.events.items(), key=lambda item: (-item[1], item[0]))
        ],
        not_understood=(strange.results() if events.is_shared else _read_not_understood(events)),
        gaps=reader.gaps,
        gaps_number=reader.gaps_number,
        seen=reader.seen(strange.hosts),
        distinct=reader.numbers(),
        sessions=reader.session_counts(),
        changes=reader.changes.take(MOST_ROWS),
        timeline=reader.timeline(),
        was_on=[session_row(session, until) for session in people[:MOST_SESSIONS]],
        was_on_number=len(people),
        evidence=[_show(findings, events, f) for f in found[:MOST_FINDINGS]] if findings else [],
        unheard=[*events.problems(since), *untrusted.results()],
    )


def _looked_until(events: EventStore) -> str:
    try:
        looked = events.watermark()
    except StoreError:  # a token may grant access to events but not to heartbeats
        looked = None
    return "" if looked is None else format_time(looked)


def session_row(session: Finding, now: int) -> SessionRow:
    """Return a session as it is at ``now`` (ns)."""
    over = bool(session.overdue) and session.overdue <= now
    return SessionRow(
        begin=format_time(session.first),
        last=format_time(session.last),
        host=session.subject,
        program=program_of(session),
        user=list_names(session.users),
        address=list_names(session.addresses),
        end="never" if over else session.end,
        seconds=max(0, session.last - session.first) / SECOND,
        id=session.id,
    )


def _show(findings: EventStore, events: EventStore, finding: Finding) -> FindingEvents:
    evidence = read_evidence(findings, events, finding)
    lines = [
        Line(format_time(event.time), event.count, event.raw or _format_event(event))
        for event in evidence.events
    ]
    return FindingEvents(finding.id, lines, evidence.note(finding))


def _format_event(event: Event) -> str:
    """Return an event that has no raw line as text, from its answers to the 7W questions."""
    answers = (event.host, event.program, event.action, event.outcome, event.user)
    told = (*answers, event.target_user, event.source_ip or event.source_domain, event.object)
    return " ".join(filter(None, told))


def _look_first(reader: _SummaryBuilder, findings: list[Finding]) -> list[str]:
    """Return what to check first, most urgent first."""
    entered = _judge_entries(reader, {f.subject for f in findings if f.rank > 0})
    urgent = [finding for finding in findings if finding.rank > RANKS["low"]]
    found = [f"{one.sentence} · {format_time(one.first)[:16].replace('T', ' ')}" for one in urgent]
    by_sudo = [finding for finding in urgent if finding.rule == SudoRefused.name]
    told_of = {(user, host) for f in by_sudo for user in f.users for host in f.hosts}
    untrusted: Counter[str] = Counter()
    for row in reader.privileges.rows():
        known = row.program == "sudo" and (row.who, row.host) in told_of
        if row.outcome == "failure" and not known:
            who = row.who or "(no name)"
            act = f"did not let {who} act as {row.target}" if row.target else f"refused {who}"
            untrusted[f"{row.program} {act} on {row.host}"] += row.count
    told = [f"{what}, {count_of(count, 'time')}" for what, count in untrusted.items()]
    return [*entered, *found, *told][:_MOST_FIRST]


def _judge_entries(reader: _SummaryBuilder, accused: set[str]) -> list[str]:
    """Return the suspicious successful logins: one sentence per address and host."""
    groups: dict[tuple[int, str, str], list[str]] = {}
    for row in reader.successes.rows():
        failed = reader.addresses.count(row.source) if row.source else 0
        where = f"from {row.source or '?'} on {row.host} ({row.program})"
        if owner_of(row.source) in accused:
            key = (0, where, "and that address is in a finding")
        elif failed >= _MANY_FAILURES:
            key = (1, where, f"and {failed} logins from there failed in this time")
        elif row.who == "root" and row.method in _TYPED:
            key = (2, where, f"by {row.method}")
        else:
            continue
        names = groups.setdefault(key, [])
        if row.who not in names:
            names.append(row.who)
    return [
        f"{list_names(names)} logged in {where}, {why}"
        for (_, where, why), names in sorted(groups.items(), key=lambda item: item[0][0])
    ]


def _read_not_understood(events: EventStore) -> list[UnparsedProgram]:
    lines = {"": 0}
    for (name, labels), value in events.counters().items():
        told = json.loads(labels)
        if name == "heptad_lines_not_understood_total":
            lines[told["program"]] = lines.get(told["program"], 0) + int(value)
        elif name == "heptad_lines_total" and told.get("result") == "no_header":
            lines[""] += int(value)
    found = []
    for program, number in sorted(lines.items(), key=lambda item: (-item[1], item[0])):
        key = f"not_understood/{program}"
        kept = events.intake.restore(key, events.recall(key), _decode_samples) or []
        samples = kept[-_MOST_SAMPLES:]
        if number or samples:
            found.append(UnparsedProgram(program, number, samples))
    return found

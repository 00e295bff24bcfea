"""Thirty days of a fleet's events, findings and reports, as lines for InfluxDB."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

from msgspec.structs import replace

from bench.dashboards.series import DAYS, name_of
from heptad.aggregator.detection.current import current_row, looked_row
from heptad.aggregator.detection.evidence import EVIDENCE
from heptad.aggregator.detection.finding import Finding, Revision
from heptad.aggregator.reports import REPORTED
from heptad.core.event import TAGS, Event
from heptad.core.store.event_row import row_of_event
from heptad.core.store.line_protocol import line_of
from heptad.core.store.point import Value

HOUR: Final = 3600 * 10**9
_SPAN: Final = DAYS * 24 * HOUR
_WINDOWS: Final = {"5m": HOUR // 12, "1h": HOUR, "1d": 24 * HOUR}
_TOP: Final = 10
_EVIDENCE: Final = 7
INTRUDER: Final = "203.0.113.7"


class Fleet(NamedTuple):
    """The numbers of hosts, events, findings and sessions, and the end time (ns)."""

    hosts: int
    until: int
    events: int
    findings: int
    sessions: int


def fleet_of(hosts: int, until: int) -> Fleet:
    """Return a fleet: 1,000 events, 30 findings and 60 sessions per host."""
    return Fleet(hosts, until, hosts * 1000, hosts * 30, hosts * 60)


def make_events(fleet: Fleet) -> Iterator[Event]:
    """Yield events; four of five are failed logins, as on hosts that face the internet."""
    chance = random.Random(7)  # noqa: S311 - reproducible
    for number in range(fleet.events):
        time = fleet.until - _SPAN + number * (_SPAN // fleet.events)
        host, pid = name_of(chance.randrange(fleet.hosts)), 1000 + number % 30_000
        yield _event(chance, number, time, host, pid)


def _event(chance: random.Random, number: int, time: int, host: str, pid: int) -> Event:
    user = f"user{chance.randrange(50)}"
    login = Event(time, host, "auth", "sshd", "login", "success", "publickey", pid=pid, user=user)
    kind = number % 20
    if kind < 16:
        place = min(int(chance.paretovariate(0.4)), 20_000)
        address = INTRUDER if number % 5000 == 0 else f"198.51.{place // 250}.{place % 250}"
        user = "root" if kind < 8 else f"name{chance.randrange(2000)}"
        told = {"user": user, "source_ip": address, "outcome": "failure", "method": "password"}
        told["reason"] = "bad_credential" if kind < 8 else "invalid_user"
        told["raw"] = f"{host} sshd[{pid}]: Failed password for {user} from {address} port 4022"
    elif kind == 16:
        address = f"192.0.2.{chance.randrange(250)}"
        raw = f"{host} sshd[{pid}]: Accepted publickey for {user} from {address} port 4022 ssh2"
        told = {"source_ip": address, "raw": raw}
    elif kind == 17:
        raw = f"{host} sshd[{pid}]: session opened for user {user}"
        told = {"action": "session_open", "method": "", "raw": raw}
    elif kind == 18:
        outcome = "failure" if number % 400 == 18 else "success"
        told = {"action": "privilege", "program": "sudo", "method": "", "outcome": outcome}
        told |= {"target_user": "root", "object": "/usr/bin/apt update", "raw": f"sudo: {user}"}
    else:
        made = number % 2000 == 19
        told = {"action": "account_create" if made else "session_open", "user": "root"}
        told |= {"program": "useradd" if made else "cron", "method": "", "raw": f"cron {number}"}
    return replace(login, **told)


class Reports:
    """Counts the logins, and creates the rows of the reports."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, int, str, str, str], list[int]] = {}
        self.tops: dict[tuple[str, int, str, str], Counter[str]] = {}

    def add(self, event: Event) -> None:
        """Add an event."""
        if event.action != "login":
            return
        for window, size in _WINDOWS.items():
            place = event.time // size * size
            key = (window, place, event.host, event.program, event.method)
            counts = self.attempts.setdefault(key, [0, 0])
            counts[event.outcome == "failure"] += 1
            if window != "5m":
                target = f"{event.host}/{event.program}"
                told = {"address": event.source_ip, "user": event.user, "target": target}
                for top, value in (told | {"reason": event.reason}).items():
                    if value:
                        one = self.tops.setdefault((window, place, event.outcome, top), Counter())
                        one[value] += 1

    def lines(self) -> Iterator[str]:
        """Yield a line per window, as the aggregator writes them."""
        measurement = REPORTED["report_attempts"]
        for (window, place, host, program, method), (good, bad) in self.attempts.items():
            tags = [("host", host), ("method", method), ("program", program), ("window", window)]
            counts: dict[str, Value] = {"attempts": good + bad, "successes": good, "failures": bad}
            counts |= {"events": good + bad, "revision": 0}
            yield line_of(measurement.row(tags, place, counts))
        measurement = REPORTED["report_top"]
        for (window, place, outcome, top), tally in self.tops.items():
            for rank, (value, count) in enumerate(tally.most_common(_TOP), 1):
                tags = [("outcome", outcome), ("rank", str(rank)), ("top", top), ("window", window)]
                row: dict[str, Value] = {"value": value, "count": count}
                row |= {"events": tally.total(), "revision": 0}
                yield line_of(measurement.row(tags, place, row))


_RULES: Final = (
    *(("brute_force", "low"),) * 12,
    *(("spraying", "low"),) * 4,
    *(("sweep", "low"),) * 2,
    ("new_network", "medium"),
    ("sudo_refused", "medium"),
)


def make_findings(fleet: Fleet) -> Iterator[Finding]:
    """Yield findings; nine of ten are low, one of two hundred is high."""
    chance = random.Random(8)  # noqa: S311 - reproducible
    for number in range(fleet.findings):
        high = number % 200 == 199
        rule, severity = _RULES[number % len(_RULES)]
        rule, severity = ("success_after_failures", "high") if high else (rule, severity)
        first = fleet.until - _SPAN + number * (_SPAN // fleet.findings)
        address = INTRUDER if high else f"198.51.{number // 250 % 250}.{number % 250}"
        hosts = tuple(name_of(chance.randrange(fleet.hosts)) for _ in range(1 + number % 3))
        sentence = f"{address} made 7 attempts on {hosts[0]} and went on for some time, {rule}"
        yield Finding(
            rule=rule,
            subject=f"{address} {number}",
            first=first,
            last=min(first + HOUR // 2, fleet.until),
            day=first // (24 * HOUR),
            severity=severity,
            sentence=sentence,
            count=_EVIDENCE,
            technique="T1110",
            users=("root", f"name{number % 2000}"),
            addresses=(address,),
            hosts=hosts,
        )


def lines_of_findings(fleet: Fleet) -> Iterator[str]:
    """Yield for each finding a revision, its current row and its evidence."""
    event = next(make_events(fleet))
    told = {tag: getattr(event, tag) or "password" for tag in TAGS if tag != "host"}
    for finding in make_findings(fleet):
        revision = Revision(finding, 1)
        yield line_of(revision.row())
        yield line_of(current_row(revision, replaces=True))
        tags = [("host", finding.hosts[0]), ("rule", finding.rule)]
        for number in range(_EVIDENCE):
            time = finding.first + number * (10**9)
            fields: dict[str, Value] = {"finding": finding.id, "event_time": time, "revision": 0}
            fields |= {"state": "current", **told, "count": 1, "user": "root", "raw": event.raw}
            yield line_of(EVIDENCE.row(tags, time, fields))


def lines_of_sessions(fleet: Fleet) -> Iterator[str]:
    """Yield sessions that were opened and closed."""
    for number in range(fleet.sessions):
        first = fleet.until - _SPAN + number * (_SPAN // fleet.sessions)
        session = Finding(
            rule="session",
            subject=name_of(number % fleet.hosts),
            first=first,
            last=min(first + HOUR, fleet.until),
            day=first // (24 * HOUR),
            severity="info",
            sentence="",
            count=2,
            users=(f"user{number % 50}",),
            addresses=(f"192.0.2.{number % 250}",),
            programs=("sshd",),
            end="closed",
        )
        yield line_of(Revision(session, 1).row())


def lines_of_events(fleet: Fleet, reports: Reports) -> Iterator[str]:
    """Yield the events, and add them to ``reports``."""
    for event in make_events(fleet):
        reports.add(event)
        yield line_of(row_of_event(event))


def lines_of_reports(fleet: Fleet, reports: Reports) -> Iterator[str]:
    """Yield the content of the bucket of reports; call it after the events were counted."""
    looked = range(fleet.until - _SPAN, fleet.until, 30 * 10**9)
    return chain(
        reports.lines(),
        lines_of_findings(fleet),
        lines_of_sessions(fleet),
        (line_of(looked_row(time)) for time in looked),
    )

"""Records become events: rules say what a line tells, attempts what it counts as."""

import pwd
import time as clock
from collections.abc import Container
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from exporter.attempts import Attempts, Judged
from exporter.parsers.engine import Found, Program, Rulebook, load_rulebook, method_of
from exporter.parsers.header import Clock, HeaderParser
from exporter.privacy import Privacy
from exporter.record import Origin, Record
from exporter.strangers import Strangers
from heptad.event import Event
from heptad.event_row import event_of_point, head_of
from heptad.line_protocol import quote
from heptad.store import Row, point_of


class Result(StrEnum):
    """What became of a line."""

    EVENT = "event"
    IGNORED = "ignored"
    NOT_UNDERSTOOD = "not_understood"
    UNTRUSTED = "untrusted"
    OTHER_PROGRAM = "other_program"
    NO_HEADER = "no_header"
    OVERSIZED = "oversized"


RESULTS: Final[dict[Result, str]] = {
    Result.EVENT: "became an event",
    Result.IGNORED: "was understood and tells nothing of its own",
    Result.NOT_UNDERSTOOD: "was written by a known program, and no rule understood it",
    Result.UNTRUSTED: "stood in the journal under a name that another program used",
    Result.OTHER_PROGRAM: "was written by a program of which no rule speaks",
    Result.NO_HEADER: "has no header that a syslog daemon writes",
    Result.OVERSIZED: "was longer than the maximum",
}

# an attribute of an enumeration costs as much as a look into a dictionary, for every line
IGNORED: Final = Result.IGNORED
NOT_UNDERSTOOD: Final = Result.NOT_UNDERSTOOD
UNTRUSTED: Final = Result.UNTRUSTED
OTHER_PROGRAM: Final = Result.OTHER_PROGRAM

_HIGHEST_COUNT: Final = 10**6


class _EveryHost:
    """Contains every name: for a log that is only looked at."""

    def __contains__(self, name: object) -> bool:
        return True


EVERY_HOST: Final = _EveryHost()

Understood = tuple[Program, Judged, int, Found, str]
"""A line's program, what it is, how often, and what its fields are made of."""


class Interpreter:
    """Turns the records of one source into events.

    ``host`` is the name events carry; a line's own host name is believed only if it is among
    ``hosts`` (a relay's configuration lists them), else it is kept as ``log_host``. ``privacy``
    masks what is not to be kept before anything else sees it; without it nothing is masked.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        host: str,
        source: str,
        hosts: Container[str] = frozenset(),
        programs: frozenset[str] | None = None,
        privacy: Privacy | None = None,
    ) -> None:
        self.attempts = Attempts()
        self.strangers = Strangers()
        self._privacy = privacy
        self._programs = {
            tag: program
            for tag, program in rulebook.programs.items()
            if programs is None or program.name in programs
        }
        self._host = host
        self._source = source
        self._hosts = hosts
        self._heads: dict[str, dict[tuple[Program, Judged], str]] = {}
        self._where = self._locate(None, Origin())

    def program_of(self, tag: str) -> str | None:
        """The normalised name of the program that logs as ``tag``; None if no rule speaks of it."""
        program = self._programs.get(tag)
        return program.name if program else None

    def tags(self) -> list[str]:
        """Every name under which the programs log that this interpreter reads."""
        return list(self._programs)

    def understand(self, record: Record) -> Understood | Result:  # noqa: PLR0911 - as many reasons
        """What a record tells, or why it tells nothing."""
        _, _, tag, pid, message, _, count, origin = record
        program = self._programs.get(tag)
        if program is None:
            return OTHER_PROGRAM
        found = program.read(message)
        doubt = _doubt(origin, program, found) if origin.trusted else None
        if doubt is not None:
            return doubt
        if found is None:
            known = program.complete or message.startswith("pam_")
            return NOT_UNDERSTOOD if known else OTHER_PROGRAM
        rule = found.rule
        part = rule.part
        heard = part is not None and (part == "nobody" or self.strangers.may_know(pid))
        if found.masked_by is self._privacy and not heard:
            found = found.masked or found
        else:
            found = self._mask(program, found, record)
        if rule.is_fixed:
            return program, rule.fixed, count, found, ""
        if rule.ignore:
            return IGNORED
        values = found.values
        if rule.at_count >= 0:
            count = min(count * int(values[rule.at_count] or 1), _HIGHEST_COUNT)
        if rule.step is not None:
            name = program.name
            judged, told, count = self.attempts.judge(rule, values, name, record, count)
            return program, judged, count, found, told
        judged = rule.fixed
        if rule.at_method >= 0:
            judged = (judged[0], judged[1], method_of(values[rule.at_method]), judged[3])
        return program, judged, count, found, ""

    def _mask(self, program: Program, found: Found, record: Record) -> Found:
        """What may be kept of what was found; not asked again where that is remembered."""
        privacy = self._privacy
        if privacy is None:
            return found
        part = found.rule.part
        if part is not None and record[3]:
            process = f"{record[1]} {program.name} {record[3]}"
            if self.strangers.hear(part, process, record[4], record[0]):
                return privacy.mask_stranger(found, record[4])
        masked = found.masked if found.masked_by is privacy else privacy.mask(found, record[4])
        return masked or found

    def host_of(self, log_host: str | None) -> str:
        """The host to which a line belongs that names ``log_host``."""
        return log_host if log_host and log_host in self._hosts else self._host

    def keep_line(self, raw: str) -> str | None:
        """A line that no rule understood, as far as it may be kept."""
        return raw if self._privacy is None else self._privacy.keep_line(raw)

    def row(self, record: Record, understood: Understood) -> Row:
        """The event of a record as the store takes it."""
        time, log_host, _, pid, message, raw, _, origin = record
        program, judged, count, found, told = understood
        where = self._where
        if where.log_host != log_host or where.origin is not origin:
            where = self._where = self._locate(log_host, origin)
        key = program, judged
        head = where.heads.get(key)
        if head is None:
            head = where.heads[key] = head_of(where.host, self._source, program.name, *judged)
        written = found.written
        if written is None:
            written = found.write(message)
        own = f",pid={pid}i" if pid else ""
        body = f"count={count}i{written}{told}{own}{where.tail}"
        return (head, time, body, "" if found.hides_line else raw)

    def _locate(self, log_host: str | None, origin: Origin) -> "_Where":
        host, tail = self.host_of(log_host), f',trust="{"journal" if origin.trusted else "file"}"'
        if log_host and log_host != host:
            tail += f",log_host={quote(log_host)}"
        if origin.path is not None:
            tail += f",path={quote(origin.path)}"
        if origin.unit is not None:
            tail += f",unit={quote(origin.unit)}"
        return _Where(log_host, origin, host, tail, self._heads.setdefault(host, {}))


class _Where(msgspec.Struct, frozen=True):
    """What lines of one host and origin share: the event's host, its fields, and its heads."""

    log_host: str | None
    origin: Origin
    host: str
    tail: str
    heads: dict[tuple[Program, Judged], str]


def _is_program(origin: Origin, program: Program) -> bool:
    """Whether the journal's trusted fields name the program's own binary.

    Where journald came too late to see the binary, only root is believed. See
    systemd.journal-fields(7) for what journald vouches for.
    """
    if program.transport == "kernel" or origin.transport == "kernel":
        return program.transport == origin.transport
    return origin.uid == 0 if origin.exe is None else origin.exe in program.exe


def _is_privileged(origin: Origin, program: Program) -> bool:
    """Whether the program ran with rights that its caller does not have.

    The path of the binary alone is not enough: whoever runs a program without setuid may preload
    code into it (ld.so(8), LD_PRELOAD), and then speaks under its path. A setuid program keeps
    the caller's user id but has capabilities, which it loses when it is traced (execve(2)). They
    say nothing of any other program: in a user namespace everybody has them.
    """
    if origin.transport == "kernel" or origin.uid in _uids(program.runs_as):
        return True
    return origin.capable and origin.exe in program.setuid


def _doubt(origin: Origin, program: Program, found: Found | None) -> Result | None:
    """What a line is that the program did not write, or with no more rights than its caller's."""
    if not _is_program(origin, program):
        return UNTRUSTED
    if _is_privileged(origin, program):
        return None
    if found is None:
        return UNTRUSTED if program.complete else OTHER_PROGRAM
    # a line that a child without rights writes too cannot be told from a forged one
    return IGNORED if found.rule.rule.runs_as == "any" else UNTRUSTED


@lru_cache(maxsize=64)
def _uids(names: tuple[str, ...]) -> frozenset[int]:
    found = set()
    for name in names:
        try:
            found.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    return frozenset(found)


def interpret_text(text: str, *, timezone: str = "UTC") -> list[Event]:
    """The events of a log given as text: what tests and examples need."""
    header = HeaderParser(Clock(ZoneInfo(timezone), reference=clock.time_ns()), Origin())
    interpreter = Interpreter(load_rulebook(), "localhost", "text")
    records, _ = header.parse_text(text)
    return [event for record in records if (event := interpret_record(interpreter, record))]


def interpret_record(interpreter: Interpreter, record: Record) -> Event | None:
    """The event of one record, if it is one."""
    understood = interpreter.understand(record)
    if isinstance(understood, Result):
        return None
    return event_of_point(point_of(*interpreter.row(record, understood)))

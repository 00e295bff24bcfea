"""Records become events: rules say what a line tells, attempts what it counts as."""

import pwd
import time as clock
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from exporter.attempts import Attempts
from exporter.parsers.engine import CompiledRule, Program, Rulebook, load_rulebook
from exporter.parsers.header import Clock, HeaderParser
from exporter.record import Record
from heptad.event import Event


class Result(StrEnum):
    """What became of a line."""

    EVENT = "event"
    IGNORED = "ignored"
    NOT_UNDERSTOOD = "not_understood"
    UNTRUSTED = "untrusted"
    OTHER_PROGRAM = "other_program"
    NO_HEADER = "no_header"


RESULTS: Final[dict[Result, str]] = {
    Result.EVENT: "became an event",
    Result.IGNORED: "was understood and tells nothing of its own",
    Result.NOT_UNDERSTOOD: "was written by a known program, and no rule understood it",
    Result.UNTRUSTED: "was in the journal under a name that another program used",
    Result.OTHER_PROGRAM: "was written by a program of which no rule speaks",
    Result.NO_HEADER: "has no header that a syslog daemon writes",
}


class Interpreter:
    """Turns the records of one source into events.

    ``host`` is the name events carry; a line's own host name is believed only if it is among
    ``hosts`` (a relay's configuration lists them), else it is kept as ``log_host``.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        host: str,
        source: str,
        hosts: frozenset[str] = frozenset(),
        programs: frozenset[str] | None = None,
    ) -> None:
        self.attempts = Attempts()
        self._programs = {
            tag: program
            for tag, program in rulebook.programs.items()
            if programs is None or program.name in programs
        }
        self._host = host
        self._source = source
        self._hosts = hosts

    def program_of(self, tag: str) -> str | None:
        """The normalised name of the program that logs as ``tag``; None if no rule speaks of it."""
        program = self._programs.get(tag)
        return program.name if program else None

    def tags(self) -> list[str]:
        """Every name under which the programs log that this interpreter reads."""
        return list(self._programs)

    def interpret(self, record: Record) -> tuple[Result, Event | None]:
        """What became of a record, and its event if it became one."""
        program = self._programs.get(record.tag)
        if program is None:
            return Result.OTHER_PROGRAM, None
        if record.trusted and not _is_program(record, program):
            return Result.UNTRUSTED, None
        found = program.read(record.message)
        if found is None:
            known = program.complete or record.message.startswith("pam_")
            return (Result.NOT_UNDERSTOOD if known else Result.OTHER_PROGRAM), None
        rule, facts = found
        if record.trusted and rule.rule.runs_as != "any" and not _is_privileged(record, program):
            return Result.UNTRUSTED, None
        if rule.ignore:
            return Result.IGNORED, None
        return Result.EVENT, self._event(record, program, rule, facts)

    def _event(
        self, record: Record, program: Program, rule: CompiledRule, facts: dict[str, Any]
    ) -> Event:
        if record.count > 1:
            facts["count"] = record.count * facts.get("count", 1)
        log_host = record.host
        if rule.step is None:
            action, outcome, method, reason = rule.fixed
            method = facts.pop("method", method)
            facts.pop("child_pid", None)
        else:
            where = (log_host or "", program.name)
            action, outcome, method, reason = self.attempts.judge(
                rule, facts, where, record.pid, record.time
            )
        host = self._host
        if log_host == host or log_host is None:
            log_host = None
        elif log_host in self._hosts:
            host, log_host = log_host, None
        if rule.object is not None:
            facts["object"] = rule.object
        return Event(
            record.time,
            host,
            self._source,
            program.name,
            action,
            outcome,
            method,
            reason,
            pid=record.pid,
            log_host=log_host,
            trust="journal" if record.trusted else "file",
            path=record.path,
            unit=record.unit,
            raw=record.raw,
            **facts,
        )


def _is_program(record: Record, program: Program) -> bool:
    """Whether the journal's trusted fields name the program's own binary.

    Where journald came too late to see the binary, only root is believed. See
    systemd.journal-fields(7) for what journald vouches for.
    """
    if program.transport == "kernel" or record.transport == "kernel":
        return program.transport == record.transport
    return record.uid == 0 if record.exe is None else record.exe in program.exe


def _is_privileged(record: Record, program: Program) -> bool:
    """Whether the program ran under an account of its own.

    The path of the binary alone is not enough: whoever runs a program that is not setuid may
    preload code into it (ld.so(8), LD_PRELOAD), and then speaks under its path.
    """
    return record.transport == "kernel" or record.uid in _uids(program.runs_as)


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
    header = HeaderParser(Clock(ZoneInfo(timezone), reference=clock.time_ns()))
    interpreter = Interpreter(load_rulebook(), "localhost", "text")
    return [event for _, event in interpret_lines(text.split("\n"), header, interpreter) if event]


def interpret_lines(
    lines: list[str], header: HeaderParser, interpreter: Interpreter
) -> Iterator[tuple[Result, Event | None]]:
    """What became of each line."""
    for line in lines:
        record = header.parse(line.rstrip("\r").lstrip("\0"))
        yield interpreter.interpret(record) if record else (Result.NO_HEADER, None)

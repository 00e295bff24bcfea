"""Records become events: rules say what a line tells, attempts what it counts as."""

import re
import time as clock
from collections import defaultdict
from collections.abc import Container, Iterable
from enum import StrEnum
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from heptad.core.event import Event
from heptad.core.store.api import Row, point_of
from heptad.core.store.event_row import event_of_point, head_of
from heptad.core.store.line_protocol import quote
from heptad.exporter.log_record import Folded, Origin, Record
from heptad.exporter.normalize.login_attempts import Attempts, Judged
from heptad.exporter.normalize.privacy import Privacy
from heptad.exporter.normalize.provenance import Accounts, is_from, is_privileged
from heptad.exporter.normalize.unknown_users import Strangers
from heptad.exporter.parsing.compiled_rule import CompiledRule, Found
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.rulebook import Program, Rulebook, load_rulebook
from heptad.exporter.parsing.timestamps import Clock


class Result(StrEnum):
    """What became of a line."""

    EVENT = "event"
    IGNORED = "ignored"
    NOT_UNDERSTOOD = "not_understood"
    UNTRUSTED = "untrusted"
    OTHER_PROGRAM = "other_program"
    NO_HEADER = "no_header"
    OVERSIZED = "oversized"
    REPEATED = "repeated"
    ALREADY_READ = "already_read"


RESULTS: Final[dict[Result, str]] = {
    Result.EVENT: "became an event",
    Result.IGNORED: "was understood and tells nothing of its own",
    Result.NOT_UNDERSTOOD: "was written by a known program, and no rule understood it",
    Result.UNTRUSTED: "is in the journal under the name of a program that is not known to be it",
    Result.OTHER_PROGRAM: "was written by a program of which no rule speaks",
    Result.NO_HEADER: "has no header that a syslog daemon writes",
    Result.OVERSIZED: "was longer than the maximum",
    Result.REPEATED: "says that the line before came again, where that counts once",
    Result.ALREADY_READ: "was read before, by the source from which this one took over",
}

# an attribute of an enumeration costs as much as a look into a dictionary, for every line
IGNORED: Final = Result.IGNORED
NOT_UNDERSTOOD: Final = Result.NOT_UNDERSTOOD
UNTRUSTED: Final = Result.UNTRUSTED
OTHER_PROGRAM: Final = Result.OTHER_PROGRAM

_uids: Final = Accounts().uids
_HIGHEST_COUNT: Final = 10**6
_MOST_HOSTS: Final = 10_000
MOST_REPEATS: Final = 100
"""As often as one folded line may count: whoever can write a line can write any number in it."""
_INNER: Final = re.compile(
    r"(?:\[ *\d{1,10}\.\d{1,9}\](?:\[ *[TC]\d{1,10}\])? )?"
    r"(?P<tag>[\w.-]{1,64})\[(?P<pid>\d{1,9})\]: (?P<message>.*)",
    re.DOTALL | re.ASCII,
)
_OF_PAM: Final = ("pam_", "PAM ")
"""What PAM's messages begin with, whichever program asked it."""


class _EveryHost:
    """Contains every name: for a log that is only looked at."""

    def __contains__(self, name: object) -> bool:
        return True


EVERY_HOST: Final = _EveryHost()

Understood = tuple[Program, Judged, int, Found, str, str | None]
"""A line's program, what it is, how often, what its fields are made of, and the process id."""

_Heads = defaultdict[Program, dict[Judged, str]]
FoldedRow = tuple[Row, int]
"""An event that stands for so many lines."""

Other = tuple[Result, Record]
"""What a record is that tells nothing."""


class Interpreter:
    """Turns the records of one source into events.

    ``host`` is the name events carry; a line's own host name is believed only if it is among
    ``hosts`` (a relay's configuration lists them), else it is kept as ``log_host``. ``privacy``
    masks what is not to be kept before anything else sees it; without it nothing is masked.
    ``accounts`` are those of the machine that wrote the journal. What PAM says under the name of a
    program that no rule knows is told as of the program `pam`.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        host: str,
        source: str,
        hosts: Container[str] = frozenset(),
        programs: frozenset[str] | None = None,
        privacy: Privacy | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.attempts = Attempts()
        self.strangers = Strangers()
        self.rejected_repeats = 0
        self._forgers = Strangers()
        self._privacy = privacy
        self._programs = {
            tag: program
            for tag, program in rulebook.programs.items()
            if programs is None or program.name in programs
        }
        self._rulebook = rulebook
        self._pam = rulebook.pam if programs is None or "pam" in programs else None
        self._uids = accounts.uids if accounts else None
        self._host = host
        self._source = source
        self._hosts = hosts
        self._heads: defaultdict[str, _Heads] = defaultdict(partial(defaultdict, dict))
        self._where = self._locate(None, Origin())
        self._wheres: dict[str | None, _Where] = {}

    def program_of(self, tag: str) -> str | None:
        """The normalised name of the program that logs as ``tag``; None if no rule speaks of it."""
        program = self._programs.get(tag)
        return program.name if program else None

    def find_program(self, tag: str) -> Program | None:
        """The program that logs as ``tag``; PAM's rules where no other rule knows the name."""
        program = self._programs.get(tag)
        return self._pam if program is None and tag not in self._rulebook.programs else program

    def programs(self) -> frozenset[str]:
        """The normalised names of the programs that this interpreter reads."""
        return frozenset(program.name for program in self._programs.values())

    def tags(self) -> list[str]:
        """Every name under which the programs log that this interpreter reads."""
        return list(self._programs)

    def understand(self, record: Record) -> Understood | Result:
        """What a record tells, or why it tells nothing."""
        program = self._programs.get(record[2])
        if program is None and record[4].startswith(_OF_PAM):
            program = self.find_program(record[2])
        if program is None:
            return OTHER_PROGRAM
        return self._judge(program, program.read(record[4]), record)

    def _judge(self, program: Program, found: Found | None, record: Record) -> Understood | Result:
        count, origin = record[6], record[7]
        if origin.trusted and (doubt := self._doubt(origin, program, found)) is not None:
            return doubt
        if found is None:
            return self._judge_unknown(program, record)
        rule = found.rule
        if found.text is not None or type(count) is not int:
            return self._judge_unusual(program, found, record)
        if self._privacy is not None and not (rule.ignore and rule.part is None):
            found = self._mask(self._privacy, program, found, record, self.strangers)
        if rule.is_fixed:
            return program, rule.fixed, count, found, "", record[3]
        if rule.ignore:
            return IGNORED
        values = found.values
        if rule.at_count >= 0:
            count = min(count * int(values[rule.at_count] or 1), _HIGHEST_COUNT)
        told = ""
        if rule.step is None:
            judged = rule.judge(values)
        else:
            name = program.name
            judged, told, count = self.attempts.judge(rule, values, name, record, count)
        return program, judged, count, found, told, record[3]

    def _judge_unknown(self, program: Program, record: Record) -> Understood | Result:
        """What a message is that no rule of ``program`` understood."""
        if program.transport == "kernel" and (inner := self._judge_inner(record)):
            return inner
        known = program.complete or record[4].startswith("pam_")
        return NOT_UNDERSTOOD if known else OTHER_PROGRAM

    def _judge_inner(self, record: Record) -> Understood | None:
        """What a daemon told that wrote to the kernel's log, because syslog did not run yet."""
        match = _INNER.fullmatch(record[4])
        program = self._programs.get(match["tag"]) if match is not None else None
        found = program.read(match["message"]) if program and match else None
        if program is None or match is None or found is None:
            return None
        inner = (*record[:2], match["tag"], match["pid"], match["message"], *record[5:])
        told = self._judge(program, found, inner)
        return told if isinstance(told, tuple) else None

    def _judge_unusual(self, program: Program, found: Found, record: Record) -> Understood | Result:
        """What a folded line tells, or one whose message had something around it."""
        count = self._bound(found.rule, record[6])
        if not count:
            return Result.REPEATED
        pid, text = found.pid or record[3], found.text or record[4]
        found = msgspec.structs.replace(found, text=None, pid=None)
        return self._judge(program, found, (*record[:3], pid, text, record[5], count, record[7]))

    def _bound(self, rule: CompiledRule, count: int) -> int:
        """How often a folded line counts: a failure up to a bound, a success never again."""
        most = MOST_REPEATS
        if rule.ignore or type(count) is int:
            most = count
        elif rule.rule.outcome == "success":
            most = 0 if isinstance(count, Folded) and count.again else 1
        counted = min(int(count), most)
        self.rejected_repeats += count - counted
        return counted

    def _mask(
        self,
        privacy: Privacy,
        program: Program,
        found: Found,
        record: Record,
        strangers: Strangers,
    ) -> Found:
        """What may be kept of what was found; not asked again where that is remembered."""
        part = found.rule.part
        if part is not None:
            pid, place = record[3], found.rule.at_user
            name = found.values[place] if place >= 0 else None
            if name and part == "nobody":
                strangers.learn(record[1], name, record[0])
            if pid and (part == "nobody" or pid in strangers.pids):
                process = f"{record[1]} {program.name} {pid}"
                if strangers.hear(part, process, record[4], record[0]):
                    return privacy.mask_stranger(found, record[4])
            if name and part == "asks" and strangers.knows(record[1], name, record[0]):
                return privacy.mask_stranger(found, record[4])
        if found.masked_by is not privacy:
            return privacy.mask(found, record[4]) or found
        return found.masked or found

    def _doubt(self, origin: Origin, program: Program, found: Found | None) -> Result | None:
        """What a line is that the program did not write, or not with rights of its own."""
        if not is_from(origin, program):
            # all machines in containers share the kernel's log, and their daemons write to it
            shared = origin.transport == "kernel" and not program.complete
            return OTHER_PROGRAM if shared and found is None else UNTRUSTED
        if is_privileged(origin, program, self._uids or _uids):
            return None
        if found is None:
            return UNTRUSTED if program.complete else OTHER_PROGRAM
        # a line that a child without rights writes too cannot be told from a forged one
        return IGNORED if found.rule.rule.runs_as == "any" else UNTRUSTED

    def host_of(self, log_host: str | None) -> str:
        """The host to which a line belongs that names ``log_host``."""
        return log_host if log_host and log_host in self._hosts else self._host

    def keep_line(self, raw: str) -> str | None:
        """A line that no rule understood, as far as it may be kept."""
        return raw if self._privacy is None else self._privacy.keep_line(raw)

    def keep_record(self, program: str, record: Record) -> str | None:
        """The same of a program's line: none of a process that asked for nobody's account."""
        if self._privacy is not None and self._privacy.masks_names and record[3]:
            process = f"{record[1]} {program} {record[3]}"
            if record[3] in self.strangers.pids and self.strangers.includes(process, record[0]):
                return None
        return self.keep_line(record[5])

    def keep_refused(self, program: Program, record: Record) -> Record | None:
        """A refused line as far as it may be kept: as it is, or with its names masked."""
        privacy, message, raw = self._privacy, record[4], record[5]
        if privacy is None:
            return record
        found = program.read(message)
        if found is None or (found.rule.ignore and found.rule.part is None):
            return record if privacy.keep_line(raw) is not None else None
        shown = self._mask(privacy, program, found, record, self._forgers)
        if shown is found:
            return record
        text = privacy.rewrite(found, shown, message)
        again = program.read(text) if text is not None else None
        if text is None or again is None or again.rule is not found.rule:
            return None
        if again.values != shown.values:
            return None
        return (*record[:4], text, f"{record[2]}: {text}", *record[6:])

    def interpret(
        self, records: Iterable[Record]
    ) -> tuple[list[Row], list[FoldedRow], list[Other]]:
        """The events of records as the store takes them, those that are folded, and the rest.

        What follows from a message alone is not asked again where it came before.
        """
        programs, strangers = self._programs, self.strangers.pids
        rows: list[Row] = []
        folded: list[tuple[int, int]] = []
        others: list[Other] = []
        where = self._where
        for record in records:
            time, log_host, tag, pid, message, raw, count, origin = record
            program = programs.get(tag)
            if program is None:
                if message.startswith(_OF_PAM):
                    program = self.find_program(tag)
                if program is None:
                    others.append((OTHER_PROGRAM, record))
                    continue
            if where.origin is not origin or where.log_host != log_host:
                where = self._find_where(log_host, origin)
            found = program.recent.get(message) or program.read(message)
            if (
                found is not None
                and found.where is where
                and pid not in strangers
                and type(count) is int
            ):
                head, written, told = found.head, found.written, ""
            else:
                understood = self._judge(program, found, record)
                if not isinstance(understood, tuple):
                    others.append((understood, record))
                    continue
                program, judged, count, found, told, pid = understood
                written = found.write(message) if found.written is None else found.written
                head = where.heads[program].get(judged) or self._head(where, program, judged)
                if found.rule.is_settled:
                    found.where, found.head = where, head
            often = "count=1i"  # as most: to write a number takes as long as all the rest
            if count != 1:
                often = f"count={count}i"
                folded.append((len(rows), count))
            own = f",pid={pid}i" if pid else ""
            body = f"{often}{written}{told}{own}{where.tail}"
            rows.append((head, time, body, "" if found.hides_line else raw))
        return rows, [(rows[place], count) for place, count in folded], others

    def _find_where(self, log_host: str | None, origin: Origin) -> "_Where":
        if self._where.origin is not origin or len(self._wheres) >= _MOST_HOSTS:
            self._wheres.clear()
        where = self._wheres.get(log_host)
        if where is None:
            where = self._wheres[log_host] = self._locate(log_host, origin)
        self._where = where
        return where

    def _locate(self, log_host: str | None, origin: Origin) -> "_Where":
        host, tail = self.host_of(log_host), f',trust="{"journal" if origin.trusted else "file"}"'
        if log_host and log_host != host:
            tail += f",log_host={quote(log_host)}"
        if origin.path is not None:
            tail += f",path={quote(origin.path)}"
        if origin.unit is not None:
            tail += f",unit={quote(origin.unit)}"
        return _Where(log_host, origin, host, tail, self._heads[host])

    def _head(self, where: "_Where", program: Program, judged: Judged) -> str:
        head = head_of(where.host, self._source, program.name, *judged)
        where.heads[program][judged] = head
        return head


class _Where(msgspec.Struct, frozen=True):
    """What lines of one host and origin share: the event's host, its fields, and its heads."""

    log_host: str | None
    origin: Origin
    host: str
    tail: str
    heads: _Heads


def interpret_text(text: str, *, timezone: str = "UTC") -> list[Event]:
    """The events of a log given as text: what tests and examples need."""
    header = HeaderParser(Clock(ZoneInfo(timezone), reference=clock.time_ns()), Origin())
    interpreter = Interpreter(load_rulebook(), "localhost", "text")
    records, _ = header.parse_text(text)
    return [event for record in records if (event := interpret_record(interpreter, record))]


def interpret_record(interpreter: Interpreter, record: Record) -> Event | None:
    """The event of one record, if it is one."""
    rows, _, _ = interpreter.interpret([record])
    return event_of_point(point_of(*rows[0])) if rows else None

"""Turn log records into events: rule, provenance, privacy and login attempts."""

import re
from collections.abc import Container, Iterable
from typing import Final, final

import msgspec

from heptad.core.event import Event
from heptad.core.store.event_row import (
    Content,
    encode_content,
)
from heptad.core.store.point import Row
from heptad.exporter.log_record import LogRecord, RepeatCount
from heptad.exporter.normalize.line_result import (
    IGNORED,
    NOT_UNDERSTOOD,
    OTHER_PROGRAM,
    LineResult,
)
from heptad.exporter.normalize.login_attempts import (
    NOTHING_LEARNED,
    Classification,
    Learned,
    LoginAttempts,
)
from heptad.exporter.normalize.masking import Masking
from heptad.exporter.normalize.origin import Origins
from heptad.exporter.normalize.privacy import Privacy
from heptad.exporter.normalize.provenance import UserIds, check_provenance
from heptad.exporter.parsing.compiled_rule import CompiledRule, RuleMatch
from heptad.exporter.parsing.rulebook import Program, Rulebook

_THIS_MACHINE: Final = UserIds()
_HIGHEST_COUNT: Final = 10**6
MOST_REPEATS: Final = 100
"""Maximum count of one folded line, because anyone who can write a line can write any number."""
_INNER: Final = re.compile(
    r"(?:\[ *\d{1,10}\.\d{1,9}\](?:\[ *[TC]\d{1,10}\])? )?"
    r"(?P<tag>[\w.-]{1,64})\[(?P<pid>\d{1,9})\]: (?P<message>.*)",
    re.DOTALL | re.ASCII,
)
_OF_PAM: Final = ("pam_", "PAM ")
"""Prefixes of PAM's messages, whichever program called it."""


class _EveryHost:
    """Contains every name: for a log that is only displayed."""

    def __contains__(self, name: object) -> bool:
        return True


EVERY_HOST: Final = _EveryHost()

SkippedRecord = tuple[LineResult, LogRecord]
"""A record that is not an event, and why."""


@final
class NormalizedLine(msgspec.Struct, frozen=True, gc=False):
    """The classification of a line, its count, and the match that its fields come from.

    ``learned`` are fields that earlier lines of the connection had; ``pid`` is in digits.
    """

    program: Program
    classification: Classification
    count: int
    match: RuleMatch
    learned: Learned
    pid: str | None


class Normalizer:
    """Turns the records of one source into events, in four steps.

    1. *Rule*: the rule of the program that matches the message (``Program.read``).
    2. *Provenance*: whether the program itself wrote the line (``check_provenance``).
    3. *Privacy*: what of it may be kept (``Masking.mask``).
    4. *Login attempts*: what the line counts as on its connection (``LoginAttempts.classify``).

    ``host`` is the host of the events; a host name in a line replaces it only if it is one of
    ``hosts`` (a relay's configuration lists them), otherwise it is kept as ``log_host``.
    ``privacy`` masks values before anything else sees them; without it nothing is masked.
    ``user_ids`` are those of the machine that wrote the journal. PAM's messages under the name of
    a program without rules become events of the program `pam`.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        host: str,
        source: str,
        hosts: Container[str] = frozenset(),
        programs: frozenset[str] | None = None,
        privacy: Privacy | None = None,
        user_ids: UserIds | None = None,
    ) -> None:
        self.attempts = LoginAttempts()
        self.masking = Masking(privacy)
        self.rejected_repeats = 0
        self._programs = {
            app_name: program
            for app_name, program in rulebook.programs.items()
            if programs is None or program.name in programs
        }
        self._rulebook = rulebook
        self._pam = rulebook.pam if programs is None or "pam" in programs else None
        self._uids = (user_ids or _THIS_MACHINE).uids
        self._source = source
        self._origins = Origins(host, source, hosts)

    def program_of(self, app_name: str) -> str | None:
        """Return the normalized name of the program that logs as ``app_name``; None if unknown."""
        program = self._programs.get(app_name)
        return program.name if program else None

    def find_program(self, app_name: str) -> Program | None:
        """Return the program that logs as ``app_name``; PAM's rules if no file has the name."""
        program = self._programs.get(app_name)
        return self._pam if program is None and app_name not in self._rulebook.programs else program

    def programs(self) -> frozenset[str]:
        """Return the normalized names of the programs that are read."""
        return frozenset(program.name for program in self._programs.values())

    def app_names(self) -> list[str]:
        """Return every name under which these programs log."""
        return list(self._programs)

    def classify(self, record: LogRecord) -> NormalizedLine | LineResult:
        """Classify a record, or return why it is not an event."""
        program = self._programs.get(record.app_name)
        if program is None and record.message.startswith(_OF_PAM):
            program = self.find_program(record.app_name)
        if program is None:
            return OTHER_PROGRAM
        return self._classify(program, program.read(record.message), record)

    def _classify(
        self, program: Program, found: RuleMatch | None, record: LogRecord
    ) -> NormalizedLine | LineResult:
        count, provenance = record.count, record.provenance
        if (
            provenance.trusted
            and (doubt := check_provenance(provenance, program, found, self._uids)) is not None
        ):
            return doubt
        if found is None:
            return self._classify_unknown(program, record)
        rule = found.rule
        if found.text is not None or type(count) is not int:
            return self._classify_unusual(program, found, record)
        if not (rule.ignore and rule.part is None):
            found = self.masking.mask(program, found, record)
        if rule.is_fixed:
            return NormalizedLine(program, rule.fixed, count, found, NOTHING_LEARNED, record.pid)
        values = found.values
        if rule.at_count >= 0:
            count = min(count * int(values[rule.at_count] or 1), _HIGHEST_COUNT)
        if rule.ignore or not count:
            return IGNORED
        learned = NOTHING_LEARNED
        if rule.step is None:
            classification = rule.classify(values)
        else:
            classification, learned, count = self.attempts.classify(
                rule, values, program.name, record, count
            )
        return NormalizedLine(program, classification, count, found, learned, record.pid)

    def _classify_unknown(self, program: Program, record: LogRecord) -> NormalizedLine | LineResult:
        """Classify a message that no rule of ``program`` matches."""
        if program.transport == "kernel" and (inner := self._classify_inner(record)):
            return inner
        known = program.complete or record.message.startswith("pam_")
        return NOT_UNDERSTOOD if known else OTHER_PROGRAM

    def _classify_inner(self, record: LogRecord) -> NormalizedLine | None:
        """Classify the message of a daemon in the kernel's log, written before syslog ran."""
        match = _INNER.fullmatch(record.message)
        program = self._programs.get(match["tag"]) if match is not None else None
        found = program.read(match["message"]) if program and match else None
        if program is None or match is None or found is None:
            return None
        inner = msgspec.structs.replace(
            record, app_name=match["tag"], pid=match["pid"], message=match["message"]
        )
        line = self._classify(program, found, inner)
        return line if isinstance(line, NormalizedLine) else None

    def _classify_unusual(
        self, program: Program, found: RuleMatch, record: LogRecord
    ) -> NormalizedLine | LineResult:
        """Classify a folded line, or one whose message is surrounded by other text."""
        count = self._bound(found.rule, record.count)
        if not count:
            return LineResult.REPEATED
        pid, text = found.pid or record.pid, found.text or record.message
        found = msgspec.structs.replace(found, text=None, pid=None)
        usual = msgspec.structs.replace(record, pid=pid, message=text, count=count)
        return self._classify(program, found, usual)

    def _bound(self, rule: CompiledRule, count: int) -> int:
        """Return how often a folded line counts: failures up to a limit, a success only once."""
        most = MOST_REPEATS
        if rule.ignore or type(count) is int:
            most = count
        elif rule.rule.outcome == "success":
            most = 0 if isinstance(count, RepeatCount) and count.again else 1
        counted = min(int(count), most)
        self.rejected_repeats += count - counted
        return counted

    def host_of(self, log_host: str | None) -> str:
        """Return the host of the events of lines that name ``log_host``."""
        return self._origins.host_of(log_host)

    def normalize(
        self, records: Iterable[LogRecord]
    ) -> tuple[list[Event], list[Row], list[SkippedRecord]]:
        """Turn records into events; also return their rows, and the records that are not events.

        A row is what ``row_of_event`` returns for its event. It is made here from remembered parts,
        because encoding each event as a whole costs a sixth of the whole path (decision 1).
        """
        programs, source, origin = self._programs, self._source, self._origins.current
        unknown_users = self.masking.unknown_users.pids
        events, rows, others = list[Event](), list[Row](), list[SkippedRecord]()
        for record in records:
            message, count, provenance = record.message, record.count, record.provenance
            program = programs.get(record.app_name)
            if program is None and message.startswith(_OF_PAM):
                program = self.find_program(record.app_name)
            if program is None:
                others.append((OTHER_PROGRAM, record))
                continue
            if origin.provenance is not provenance or origin.log_host != record.host:
                origin = self._origins.find(record.host, provenance)
            found = program.recent.get(message) or program.read(message)
            if (
                found is not None
                and found.accepted_from is origin
                and record.pid not in unknown_users
                and type(count) is int
            ):
                classification, pid, series = found.rule.fixed, record.pid, found.series
                learned = NOTHING_LEARNED
            else:
                line = self._classify(program, found, record)
                if type(line) is not NormalizedLine:
                    others.append((line, record))
                    continue
                program, classification, count = line.program, line.classification, line.count
                found, pid, learned = line.match, line.pid, line.learned
                known = origin.series[program.name].get(classification)
                series = known or self._origins.add_series(origin, program.name, classification)
                if found.rule.is_settled:
                    found.accepted_from, found.series = origin, series
            fields, content = found.fields or found.read(message), found.content
            if learned is not NOTHING_LEARNED:
                fields = _add_learned(fields, learned)
                content = encode_content(fields)
            action, outcome, method, reason = classification
            user, target_user, ip, port, domain, tty, object_ = fields
            host, log_host, trust, path, unit, encoded = origin.shared
            time, raw = record.time, "" if found.hides_line else record.raw
            # as row_of_event does; "1" as text, because formatting a number takes as long again
            own = "" if not pid else f",pid={pid if pid[0] != '0' else int(pid)}i"
            body = f"count={'1' if count == 1 else count}i{content}{own}{encoded}"
            rows.append(Row(series, time, body, raw))
            events.append(Event(
                time, host, source, program.name, action, outcome, method, reason, count,
                user, target_user, ip, port, domain, tty, object_,
                int(pid) if pid else None, log_host, trust, path, unit, raw,
            ))  # fmt: skip
        return events, rows, others


def _add_learned(fields: Content, learned: Learned) -> Content:
    user, target_user, ip, port, domain, tty, object_ = fields
    learned_user, learned_ip = learned
    return learned_user or user, target_user, learned_ip or ip, port, domain, tty, object_

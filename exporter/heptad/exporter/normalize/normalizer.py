"""Records become events: rules say what a line tells, attempts what it counts as."""

import re
from collections import defaultdict
from collections.abc import Container, Iterable
from functools import partial
from typing import Final, final

import msgspec

from heptad.core.event import Event
from heptad.core.store.event_row import (
    Content,
    encode_content,
    encode_origin,
    series_of,
)
from heptad.core.store.point import Row
from heptad.exporter.log_record import LogRecord, Provenance, RepeatCount
from heptad.exporter.normalize.line_result import (
    IGNORED,
    NOT_UNDERSTOOD,
    OTHER_PROGRAM,
    UNTRUSTED,
    LineResult,
)
from heptad.exporter.normalize.login_attempts import (
    NOTHING_LEARNED,
    Classification,
    Learned,
    LoginAttempts,
)
from heptad.exporter.normalize.privacy import Privacy
from heptad.exporter.normalize.provenance import UserIds, is_from, is_privileged
from heptad.exporter.normalize.unknown_users import UnknownUsers
from heptad.exporter.parsing.compiled_rule import CompiledRule, RuleMatch
from heptad.exporter.parsing.rulebook import Program, Rulebook

_uids: Final = UserIds().uids
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

_SeriesCache = defaultdict[Program, dict[Classification, str]]

SkippedRecord = tuple[LineResult, LogRecord]
"""What a record is that tells nothing."""


@final
class NormalizedLine(msgspec.Struct, frozen=True, gc=False):
    """What a line is: of which program, how often, and from which match its fields are.

    ``pid`` is the process id in digits.
    """

    program: Program
    classification: Classification
    count: int
    match: RuleMatch
    learned: Learned
    pid: str | None


class Normalizer:
    """Turns the records of one source into events, in four steps.

    1. The *rule* of the program that understands the message (``Program.read``).
    2. *Provenance*: whether the program itself wrote the line (``_check_provenance``).
    3. *Privacy*: what of it may be kept (``_mask``).
    4. *Login attempts*: what the line counts as on its connection (``LoginAttempts.classify``).

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
        user_ids: UserIds | None = None,
    ) -> None:
        self.attempts = LoginAttempts()
        self.unknown_users = UnknownUsers()
        self.rejected_repeats = 0
        self._untrusted_users = UnknownUsers()
        self._privacy = privacy
        self._programs = {
            app_name: program
            for app_name, program in rulebook.programs.items()
            if programs is None or program.name in programs
        }
        self._rulebook = rulebook
        self._pam = rulebook.pam if programs is None or "pam" in programs else None
        self._uids = user_ids.uids if user_ids else None
        self._host = host
        self._source = source
        self._hosts = hosts
        self._series_cache: defaultdict[str, _SeriesCache] = defaultdict(partial(defaultdict, dict))
        self._current_origin = self._locate(None, Provenance())
        self._origins: dict[str | None, _LineOrigin] = {}

    def program_of(self, app_name: str) -> str | None:
        """The normalised name of the program that logs as ``tag``; None if no rule speaks of it."""
        program = self._programs.get(app_name)
        return program.name if program else None

    def find_program(self, app_name: str) -> Program | None:
        """The program that logs as ``tag``; PAM's rules where no other rule knows the name."""
        program = self._programs.get(app_name)
        return self._pam if program is None and app_name not in self._rulebook.programs else program

    def programs(self) -> frozenset[str]:
        """The normalised names of the programs that this interpreter reads."""
        return frozenset(program.name for program in self._programs.values())

    def app_names(self) -> list[str]:
        """Every name under which the programs log that this interpreter reads."""
        return list(self._programs)

    def classify(self, record: LogRecord) -> NormalizedLine | LineResult:
        """What a record tells, or why it tells nothing."""
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
            and (doubt := self._check_provenance(provenance, program, found)) is not None
        ):
            return doubt
        if found is None:
            return self._classify_unknown(program, record)
        rule = found.rule
        if found.text is not None or type(count) is not int:
            return self._classify_unusual(program, found, record)
        if self._privacy is not None and not (rule.ignore and rule.part is None):
            found = self._mask(self._privacy, program, found, record, self.unknown_users)
        if rule.is_fixed:
            return NormalizedLine(program, rule.fixed, count, found, NOTHING_LEARNED, record.pid)
        if rule.ignore:
            return IGNORED
        values = found.values
        if rule.at_count >= 0:
            count = min(count * int(values[rule.at_count] or 1), _HIGHEST_COUNT)
        learned = NOTHING_LEARNED
        if rule.step is None:
            classification = rule.classify(values)
        else:
            classification, learned, count = self.attempts.classify(
                rule, values, program.name, record, count
            )
        return NormalizedLine(program, classification, count, found, learned, record.pid)

    def _classify_unknown(self, program: Program, record: LogRecord) -> NormalizedLine | LineResult:
        """What a message is that no rule of ``program`` understood."""
        if program.transport == "kernel" and (inner := self._classify_inner(record)):
            return inner
        known = program.complete or record.message.startswith("pam_")
        return NOT_UNDERSTOOD if known else OTHER_PROGRAM

    def _classify_inner(self, record: LogRecord) -> NormalizedLine | None:
        """What a daemon told that wrote to the kernel's log, because syslog did not run yet."""
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
        """What a folded line tells, or one whose message had something around it."""
        count = self._bound(found.rule, record.count)
        if not count:
            return LineResult.REPEATED
        pid, text = found.pid or record.pid, found.text or record.message
        found = msgspec.structs.replace(found, text=None, pid=None)
        usual = msgspec.structs.replace(record, pid=pid, message=text, count=count)
        return self._classify(program, found, usual)

    def _bound(self, rule: CompiledRule, count: int) -> int:
        """How often a folded line counts: a failure up to a bound, a success never again."""
        most = MOST_REPEATS
        if rule.ignore or type(count) is int:
            most = count
        elif rule.rule.outcome == "success":
            most = 0 if isinstance(count, RepeatCount) and count.again else 1
        counted = min(int(count), most)
        self.rejected_repeats += count - counted
        return counted

    def _mask(
        self,
        privacy: Privacy,
        program: Program,
        found: RuleMatch,
        record: LogRecord,
        unknown_users: UnknownUsers,
    ) -> RuleMatch:
        """What may be kept of what was found; not asked again where that is remembered."""
        part = found.rule.part
        if part is not None:
            pid, place = record.pid, found.rule.at_user
            name = found.values[place] if place >= 0 else None
            if name and part == "nobody":
                unknown_users.learn(record.host, name, record.time)
            if pid and (part == "nobody" or pid in unknown_users.pids):
                process = f"{record.host} {program.name} {pid}"
                if unknown_users.hear(part, process, record.message, record.time):
                    return privacy.mask_unknown_user(found, record.message)
            if name and part == "asks" and unknown_users.knows(record.host, name, record.time):
                return privacy.mask_unknown_user(found, record.message)
        if found.masked_by is not privacy:
            return privacy.mask(found, record.message) or found
        return found.masked or found

    def _check_provenance(
        self, provenance: Provenance, program: Program, found: RuleMatch | None
    ) -> LineResult | None:
        """What a line is that the program did not write, or not with rights of its own."""
        if not is_from(provenance, program):
            # all machines in containers share the kernel's log, and their daemons write to it
            shared = provenance.transport == "kernel" and not program.complete
            return OTHER_PROGRAM if shared and found is None else UNTRUSTED
        if is_privileged(provenance, program, self._uids or _uids):
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

    def keep_record(self, program: str, record: LogRecord) -> str | None:
        """The same of a program's line: none of a process that asked for nobody's account."""
        if self._privacy is not None and self._privacy.masks_names and record.pid:
            process = f"{record.host} {program} {record.pid}"
            if record.pid in self.unknown_users.pids and self.unknown_users.includes(
                process, record.time
            ):
                return None
        return self.keep_line(record.raw)

    def keep_untrusted(self, program: Program, record: LogRecord) -> LogRecord | None:
        """A refused line as far as it may be kept: as it is, or with its names masked."""
        privacy, message, raw = self._privacy, record.message, record.raw
        if privacy is None:
            return record
        found = program.read(message)
        if found is None or (found.rule.ignore and found.rule.part is None):
            return record if privacy.keep_line(raw) is not None else None
        shown = self._mask(privacy, program, found, record, self._untrusted_users)
        if shown is found:
            return record
        text = privacy.rewrite(found, shown, message)
        again = program.read(text) if text is not None else None
        if text is None or again is None or again.rule is not found.rule:
            return None
        if again.values != shown.values:
            return None
        return msgspec.structs.replace(record, message=text, raw=f"{record.app_name}: {text}")

    def normalize(
        self, records: Iterable[LogRecord]
    ) -> tuple[list[Event], list[Row], list[SkippedRecord]]:
        """Turn records into events; return also their rows, and the records that are no events.

        The rows are what ``row_of_event`` returns. They are made here because what follows from a
        message or its origin alone is remembered, also as the store keeps it: to encode each event
        as a whole takes a sixth of the time from a line to its commit (decision 1).
        """
        programs, unknown_users, source = self._programs, self.unknown_users.pids, self._source
        events, rows, others = list[Event](), list[Row](), list[SkippedRecord]()
        origin = self._current_origin
        for record in records:
            message, count, provenance = record.message, record.count, record.provenance
            program = programs.get(record.app_name)
            if program is None:
                if message.startswith(_OF_PAM):
                    program = self.find_program(record.app_name)
                if program is None:
                    others.append((OTHER_PROGRAM, record))
                    continue
            if origin.provenance is not provenance or origin.log_host != record.host:
                origin = self._find_origin(record.host, provenance)
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
                series = origin.series[program].get(classification) or self._series(
                    origin, program, classification
                )
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
            events.append(
                Event(
                    time,
                    host,
                    source,
                    program.name,
                    action,
                    outcome,
                    method,
                    reason,
                    count,
                    user,
                    target_user,
                    ip,
                    port,
                    domain,
                    tty,
                    object_,
                    int(pid) if pid else None,
                    log_host,
                    trust,
                    path,
                    unit,
                    raw,
                )
            )
        return events, rows, others

    def _find_origin(self, log_host: str | None, provenance: Provenance) -> "_LineOrigin":
        if self._current_origin.provenance is not provenance or len(self._origins) >= _MOST_HOSTS:
            self._origins.clear()
        origin = self._origins.get(log_host)
        if origin is None:
            origin = self._origins[log_host] = self._locate(log_host, provenance)
        self._current_origin = origin
        return origin

    def _locate(self, log_host: str | None, provenance: Provenance) -> "_LineOrigin":
        host = self.host_of(log_host)
        foreign = log_host if log_host and log_host != host else None
        trust = "journal" if provenance.trusted else "file"
        path, unit = provenance.path, provenance.unit
        encoded = encode_origin(foreign, trust, path, unit)
        shared = (host, foreign, trust, path, unit, encoded)
        return _LineOrigin(log_host, provenance, shared, self._series_cache[host])

    def _series(
        self, origin: "_LineOrigin", program: Program, classification: Classification
    ) -> str:
        series = series_of(origin.shared[0], self._source, program.name, *classification)
        origin.series[program][classification] = series
        return series


def _add_learned(fields: Content, learned: Learned) -> Content:
    user, target_user, ip, port, domain, tty, object_ = fields
    learned_user, learned_ip = learned
    return learned_user or user, target_user, learned_ip or ip, port, domain, tty, object_


class _LineOrigin(msgspec.Struct, frozen=True):
    """What the lines of one host and provenance share.

    ``shared`` are host, log_host, trust, path and unit of their events, and the last four as the
    store keeps them. ``series`` are those of each program by classification.
    """

    log_host: str | None
    provenance: Provenance
    shared: tuple[str, str | None, str, str | None, str | None, str]
    series: _SeriesCache

"""What may be stored of the lines of one source: privacy, over several lines of a process."""

import msgspec

from heptad.exporter.log_record import LogRecord
from heptad.exporter.normalize.privacy import Privacy
from heptad.exporter.normalize.unknown_users import UnknownUsers
from heptad.exporter.parsing.compiled_rule import RuleMatch
from heptad.exporter.parsing.rulebook import Program


class Masking:
    """Masks matches and lines as ``privacy`` requires; without it nothing is masked.

    ``unknown_users`` are the processes whose user has no account, learned from their lines.
    """

    def __init__(self, privacy: Privacy | None) -> None:
        self.unknown_users = UnknownUsers()
        self._untrusted_users = UnknownUsers()
        self._privacy = privacy

    def mask(self, program: Program, found: RuleMatch, record: LogRecord) -> RuleMatch:
        """Return what may be stored of a match; learn from it who has no account."""
        if self._privacy is None:
            return found
        return _mask(self._privacy, program, found, record, self.unknown_users)

    def keep_line(self, raw: str) -> str | None:
        """Return a line that no rule matched, or None if it may not be kept."""
        return raw if self._privacy is None else self._privacy.keep_line(raw)

    def keep_record(self, program: str, record: LogRecord) -> str | None:
        """Do the same for a line of a program.

        No line is kept of a process whose user has no account.
        """
        if self._privacy is not None and self._privacy.masks_names and record.pid:
            process = f"{record.host} {program} {record.pid}"
            if record.pid in self.unknown_users.pids and self.unknown_users.includes(
                process, record.time
            ):
                return None
        return self.keep_line(record.raw)

    def keep_untrusted(self, program: Program, record: LogRecord) -> LogRecord | None:
        """Return a rejected line as it may be stored, with masked names; None if it may not."""
        privacy, message, raw = self._privacy, record.message, record.raw
        if privacy is None:
            return record
        found = program.read(message)
        if found is None or (found.rule.ignore and found.rule.part is None):
            return record if privacy.keep_line(raw) is not None else None
        shown = _mask(privacy, program, found, record, self._untrusted_users)
        if shown is found:
            return record
        text = privacy.rewrite(found, shown, message)
        again = program.read(text) if text is not None else None
        if text is None or again is None or again.rule is not found.rule:
            return None
        if again.values != shown.values:
            return None
        return msgspec.structs.replace(record, message=text, raw=f"{record.app_name}: {text}")


def _mask(
    privacy: Privacy,
    program: Program,
    found: RuleMatch,
    record: LogRecord,
    unknown_users: UnknownUsers,
) -> RuleMatch:
    """Return what may be stored of a match; the answer is remembered in the match."""
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

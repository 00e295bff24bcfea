"""Decode an entry of the journal, as journalctl(1) writes it in JSON, into a record.

Fields that journald itself sets (with a leading underscore, systemd.journal-fields(7)) are kept
with every record as its provenance, because a program cannot forge them. A message above 16,384
characters is truncated and ends in `…`: if it were dropped, a user who chooses its length could
hide what a program logs.
"""

from typing import Final

import msgspec

from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.parsing.header_formats import MODULE, name_program
from heptad.exporter.parsing.repeated_lines import unwrap_repeated
from heptad.exporter.sources.file.lines import decode

FIELDS: Final = (
    "MESSAGE,SYSLOG_IDENTIFIER,_PID,_UID,_EXE,_HOSTNAME,_TRANSPORT,_SYSTEMD_UNIT,"
    "_CAP_EFFECTIVE,_SOURCE_REALTIME_TIMESTAMP"
)
_LONGEST_MESSAGE: Final = 16_384
_ROOT: Final = 0xFB
"""CAP_CHOWN to CAP_SETUID but for one (capabilities(7)): a process with these can become root. All
setuid root programs have them, even in a container; capabilities of files are fewer."""
_FARTHEST: Final = 2**63 // 1000 - 10**12


class JournalEntry(msgspec.Struct, gc=False):
    """One line of ``journalctl --output=json``: values are text, or bytes as numbers."""

    cursor: str = msgspec.field(name="__CURSOR")
    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: str | list[int | str] | None = msgspec.field(name="MESSAGE", default="")
    app_name: str | list[int | str] | None = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    pid: str | None = msgspec.field(name="_PID", default=None)
    uid: str | None = msgspec.field(name="_UID", default=None)
    exe: str | None = msgspec.field(name="_EXE", default=None)
    host: str | None = msgspec.field(name="_HOSTNAME", default=None)
    transport: str | None = msgspec.field(name="_TRANSPORT", default=None)
    unit: str | None = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    capabilities: str | None = msgspec.field(name="_CAP_EFFECTIVE", default=None)
    source_time: str | None = msgspec.field(name="_SOURCE_REALTIME_TIMESTAMP", default=None)


def identify(cursor: str) -> str:
    """Return the part of a cursor that identifies the entry, also if it was copied to another file.

    journald copies entries when it moves the journal from /run to /var. The file's id and the
    number in it change; the boot, both times and the hash of the fields stay.
    """
    return cursor.partition(";b=")[2] or cursor


decode_entry: Final = msgspec.json.Decoder(JournalEntry).decode


def _text(value: str | list[int | str] | None) -> str | None:
    """Return a field as text: journalctl writes bytes as numbers, a repeated field as a list."""
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            return value[0]
        try:
            return decode(bytes(value))  # type: ignore[arg-type]
        except ValueError:
            return None
    return value


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _microseconds(text: str | None) -> int | None:
    """Return a time that the stores accept; a foreign journal may contain any number."""
    time = _number(text)
    return time if time is not None and time < _FARTHEST else None


def _is_capable(text: str) -> bool:
    """Return whether ``_CAP_EFFECTIVE`` has root's capabilities."""
    try:
        return int(text, 16) & _ROOT == _ROOT and text.isalnum()
    except ValueError:
        return False


def record_of(entry: JournalEntry) -> LogRecord | None:
    """Return the record of an entry; None if journalctl returned no text for it."""
    message, app_name = _text(entry.message), _text(entry.app_name)
    time = _microseconds(entry.source_time) or _microseconds(entry.realtime)
    if message is None or not app_name or time is None:
        return None
    message, app_name = message.replace("\0", "\\x00"), app_name.replace("\0", "\\x00")
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    pid = entry.pid if _number(entry.pid) is not None else None
    raw = f"{app_name}[{pid}]: {message}" if pid else f"{app_name}: {message}"
    app_name = name_program(app_name)
    if app_name.endswith(")") and (found := MODULE.fullmatch(app_name)):
        app_name, message = found[1], f"{found[2]}({found[1]}): {message}"
    count, text = unwrap_repeated(message)
    capable = _is_capable(entry.capabilities or "")
    uid = _number(entry.uid)
    provenance = Provenance(None, entry.unit, True, entry.exe, uid, capable, entry.transport)
    return LogRecord(time * 1000, entry.host, app_name, pid, text, raw, count, provenance)

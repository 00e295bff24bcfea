"""The systemd journal, read by journalctl(1) and resumed by cursor.

What journald itself vouches for (fields with a leading underscore, systemd.journal-fields(7))
goes along with every record, so that nobody but the program itself speaks for it. A message
above 16,384 characters is cut, and ends in `…`: passed over, it would hide what a program tells of
a user who chose its length.
"""

import hashlib
import re
import shutil
import threading
import time as clock
from collections.abc import Iterable
from typing import Final

import msgspec

from exporter.parsers.header import read_message
from exporter.record import Origin, Record
from exporter.sources import Batch, Gap, SourceHealth
from exporter.sources.journalctl import OVERSIZED, Journalctl

_FIELDS: Final = (
    "MESSAGE,SYSLOG_IDENTIFIER,_PID,_UID,_EXE,_HOSTNAME,_TRANSPORT,_SYSTEMD_UNIT,"
    "_CAP_EFFECTIVE,_SOURCE_REALTIME_TIMESTAMP"
)
_LONGEST_MESSAGE: Final = 16_384
_AUTH_FACILITIES: Final = (4, 10)
"""auth and authpriv (RFC 5424): what login programs and PAM use."""
_MODULE: Final = re.compile(r"([^\s:\[\]()]{1,128})\((\w{1,64})\)", re.ASCII)
_ROOT: Final = 0xFB
"""CAP_CHOWN to CAP_SETUID but for one (capabilities(7)): whoever has them can become root. No
setuid root program lacks them, in a container neither; a file's capabilities are fewer."""
_FARTHEST: Final = 2**63 // 1000 - 10**12
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0


class Entry(msgspec.Struct, gc=False):
    """One line of ``journalctl --output=json``: every value is text, or bytes as numbers."""

    cursor: str = msgspec.field(name="__CURSOR")
    realtime: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: str | list[int | str] | None = msgspec.field(name="MESSAGE", default="")
    tag: str | list[int | str] | None = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    pid: str | None = msgspec.field(name="_PID", default=None)
    uid: str | None = msgspec.field(name="_UID", default=None)
    exe: str | None = msgspec.field(name="_EXE", default=None)
    host: str | None = msgspec.field(name="_HOSTNAME", default=None)
    transport: str | None = msgspec.field(name="_TRANSPORT", default=None)
    unit: str | None = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    capabilities: str | None = msgspec.field(name="_CAP_EFFECTIVE", default=None)
    source_time: str | None = msgspec.field(name="_SOURCE_REALTIME_TIMESTAMP", default=None)


_DECODER: Final = msgspec.json.Decoder(Entry)


class JournaldSource:
    """The journal's messages of ``tags``; ``directory`` as of ``journalctl --directory``.

    journalctl is run to the journal's end first. With ``follow`` it is then run again, to stay and
    wait for more: since systemd 250 it does so for the entries of one boot only.
    """

    def __init__(
        self, name: str, tags: Iterable[str], directory: str | None = None, *, follow: bool = True
    ) -> None:
        self.name = name
        self._matches = [f"SYSLOG_IDENTIFIER={tag}" for tag in sorted(tags)]
        # PAM speaks under the name of any program, and modules under names of their own
        self._matches += ["+", *(f"SYSLOG_FACILITY={number}" for number in _AUTH_FACILITIES)]
        self._directory = directory
        self._follow = follow
        self._digest = hashlib.sha256("\n".join(self._matches).encode()).hexdigest()[:16]
        self._cursor: str | None = None
        self._cursor_digest = ""
        self._wake = threading.Event()
        self._reader: Journalctl | None = None
        self._seeking = False
        self._catching_up = True
        self._pause = _FIRST_PAUSE
        self._restart_due = 0.0
        self._problem: str | None = None

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        """See Source.restore: the state is the last entry's cursor and a digest of the tags."""
        cursor, _, self._cursor_digest = (state or b"").decode().partition("\n")
        self._cursor = cursor or None

    def start(self, wake: threading.Event) -> None:
        """See Source.start."""
        self._wake = wake

    def _command(self) -> list[str]:
        command = ["journalctl", "--output=json", f"--output-fields={_FIELDS}", "--quiet"]
        # without --all a field above 4096 bytes is left out, and so is the event it tells
        command += ["--no-pager", "--all"]
        if self._directory:
            command.append(f"--directory={self._directory}")
        if not self._catching_up:
            command += ["--no-tail", "--follow"]
            # the folder may be another machine's: all of its boots, journalctl(1) on --merge
            command += ["--merge"] if self._directory else []
        if self._cursor:
            # not --after-cursor: whether the entry itself is still there tells of a vacuum, and
            # systemd 252 then leaves out the first entry behind it
            command.append(f"--cursor={self._cursor}")
        return command + self._matches

    def _restart(self) -> None:
        if clock.monotonic() < self._restart_due:
            return
        self._restart_due = clock.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        self._catching_up = True
        self._run()

    def _run(self) -> None:
        if shutil.which("journalctl") is None:
            self._problem = "journalctl is not there: install systemd, or read a log file instead"
            return
        self._seeking = self._cursor is not None
        try:
            self._reader = Journalctl(self._command(), self._wake)
        except OSError as error:
            self._problem = f"journalctl cannot be run: {error}"

    def read(self) -> Batch | None:
        """See Source.read; without ``follow`` it waits until journalctl has ended or has more."""
        if self._reader is None:
            self._restart()
        if self._reader is None:
            return None
        lines = self._reader.take()
        while not lines and not self._follow and not self._reader.ended():
            lines = self._reader.take(wait=0.1)
        if lines:
            self._pause = _FIRST_PAUSE
            self._problem = None
            return self._batch(lines)
        self._go_on(self._reader)
        return None

    def _go_on(self, reader: Journalctl) -> None:
        """After the end of the journal wait for more; after a failure start again, later."""
        if not reader.ended():
            if not self._catching_up and clock.monotonic() >= self._restart_due:
                self._pause = _FIRST_PAUSE
                self._problem = None
            return
        at_end = self._catching_up and not reader.failed()
        if not at_end:
            self._problem = reader.complaint() or "journalctl ended"
        self._catching_up = not at_end
        if self._follow:
            reader.close()
            self._reader = None
            if at_end:
                self._run()

    def _batch(self, lines: list[bytes]) -> Batch:
        batch = Batch([], b"", [], read_bytes=sum(map(len, lines)))
        for line in lines:
            if line is OVERSIZED:
                batch.oversized += 1
                continue
            try:
                entry = _DECODER.decode(line)
            except msgspec.DecodeError:
                batch.headless += 1
                batch.strange.append(line[:1000].decode("utf-8", "backslashreplace"))
                continue
            if self._seeking:
                self._seeking = False
                if entry.cursor == self._cursor:
                    continue
                # an entry that was found by other tags may be there and not be shown
                if self._catching_up and self._cursor_digest == self._digest:
                    lost = f"nothing left at {self._cursor}"
                    batch.gaps.append(Gap("vacuumed", "journal", lost))
            self._cursor, self._cursor_digest = entry.cursor, self._digest
            record = _record_of(entry)
            if record is None:
                batch.oversized += 1
            else:
                batch.records.append(record)
        if self._cursor:
            batch.state = f"{self._cursor}\n{self._cursor_digest}".encode()
        return batch

    def health(self) -> SourceHealth:
        """See Source.health; what waits in the journal itself cannot be told."""
        return SourceHealth(0, self._problem, self._catching_up)

    def close(self) -> None:
        """See Source.close."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _text(value: str | list[int | str] | None) -> str | None:
    """A field as text: journalctl gives bytes as numbers, and a field set twice as a list."""
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            return value[0]
        try:
            return bytes(value).decode("utf-8", "backslashreplace")  # type: ignore[arg-type]
        except ValueError:
            return None
    return value


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def _microseconds(text: str | None) -> int | None:
    """A time that the stores can keep; a journal from elsewhere may hold any number."""
    time = _number(text)
    return time if time is not None and time < _FARTHEST else None


def _is_capable(text: str) -> bool:
    """Whether ``_CAP_EFFECTIVE`` has root's capabilities."""
    try:
        return int(text, 16) & _ROOT == _ROOT and text.isalnum()
    except ValueError:
        return False


def _record_of(entry: Entry) -> Record | None:
    """The record of an entry; None where journalctl gave no text for it."""
    message, tag = _text(entry.message), _text(entry.tag)
    time = _microseconds(entry.source_time) or _microseconds(entry.realtime)
    if message is None or not tag or time is None:
        return None
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    pid = entry.pid if _number(entry.pid) is not None else None
    raw = f"{tag}[{pid}]: {message}" if pid else f"{tag}: {message}"
    if tag.endswith(")") and (found := _MODULE.fullmatch(tag)):
        # as in a file (exporter.parsers.header): sshd(pam_unix) is pam_unix(sshd) of sshd
        tag, message = found[1], f"{found[2]}({found[1]}): {message}"
    count, text, own = read_message(message, tag)
    capable = _is_capable(entry.capabilities or "")
    uid = _number(entry.uid)
    origin = Origin(None, entry.unit, True, entry.exe, uid, capable, entry.transport)
    return (time * 1000, entry.host, tag, own or pid, text, raw, count, origin)

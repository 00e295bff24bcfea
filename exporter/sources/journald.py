"""The systemd journal, read by journalctl(1) and resumed by cursor."""

import hashlib
import re
import shutil
import threading
import time as clock
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from exporter.sources import Batch, Gap, SourceHealth
from exporter.sources.journal_entry import FIELDS, Entry, decode_entry, identify, record_of
from exporter.sources.journal_guard import LONGEST_ANSWER, Guard, find_folders, has_namespaces
from exporter.sources.journalctl import OVERSIZED, Journalctl
from heptad.host import machine_id
from heptad.validation import Invalid

_AUTH_FACILITIES: Final = (4, 10)
"""auth and authpriv (RFC 5424): what login programs and PAM use."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_LONGEST_SILENCE: Final = 300.0
_MOST_RECENT: Final = 1024
_CURSOR: Final = re.compile(r"s=[0-9a-f]{1,32};[0-9a-z=;]{1,300}")


class JournaldSource:
    """The journal's messages of ``tags``; ``directory`` as of ``journalctl --directory``.

    ``directory`` may be a function, for one that moves. journalctl is run to the journal's end
    first. With ``follow`` it is then run again, to stay and wait for more, and asked now and then
    for what it left out.
    """

    def __init__(
        self,
        name: str,
        tags: Iterable[str],
        directory: str | Callable[[], str] | None = None,
        *,
        follow: bool = True,
    ) -> None:
        self.name = name
        self._tags = sorted(tags)
        self._directory = directory
        self._follow = follow
        self._digest = hashlib.sha256("\n".join(self._tags).encode()).hexdigest()[:16]
        self._cursor: str | None = None
        self._cursor_digest = ""
        self._recent: deque[str] = deque(maxlen=_MOST_RECENT)
        self._known: frozenset[str] = frozenset()
        self._wake = threading.Event()
        self._reader: Journalctl | None = None
        self._guard = Guard(self._question, self._folders)
        self._journal: list[str] = []
        self._moved = False
        self._seeking = False
        self._catching_up = True
        self._pause = _FIRST_PAUSE
        self._restart_due = self._heard_at = 0.0
        self._problem: str | None = None

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        """See Source.restore: the state is the last entry's cursor and a digest of the tags."""
        cursor, _, self._cursor_digest = (state or b"").decode().partition("\n")
        self._cursor = cursor or None

    def start(self, wake: threading.Event) -> None:
        """See Source.start."""
        self._wake = wake

    def _find_directory(self) -> str | None:
        return self._directory() if callable(self._directory) else self._directory

    def _folders(self) -> list[Path]:
        return find_folders(self._find_directory())

    def _find_journal(self) -> list[str]:
        """The options and matches that say which entries of which journal are meant."""
        directory = self._find_directory()
        options, machine = [f"--directory={directory}"] if directory else [], []
        if not directory:
            # --merge, with which journalctl --follow does not ask for the boot, also shows other
            # machines' entries
            own = machine_id(Path("/"))
            machine = [f"_MACHINE_ID={own}"] if own else []
            options = ["--namespace=*"] if has_namespaces(own) else []
        tags = [f"SYSLOG_IDENTIFIER={tag}" for tag in self._tags]
        # PAM speaks under the name of any program, and modules under names of their own
        facilities = [f"SYSLOG_FACILITY={number}" for number in _AUTH_FACILITIES]
        return [*options, *machine, *tags, "+", *machine, *facilities]

    def _command(self) -> list[str]:
        command = ["journalctl", "--output=json", f"--output-fields={FIELDS}", "--quiet"]
        # without --all a field above 4096 bytes is left out, and so is the event it tells
        command += ["--no-pager", "--all"]
        if self._cursor:
            # not --after-cursor: whether the entry itself is still there tells of a vacuum, and
            # systemd 252 then leaves out the first entry behind it
            command.append(f"--cursor={self._cursor}")
        return command

    def _question(self) -> list[str]:
        """Lists what is behind the cursor now, wherever the journal is by now."""
        journal = self._find_journal()
        self._moved = journal != self._journal
        return self._command() + journal

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
        self._known = frozenset(map(identify, self._recent))
        if self._catching_up:
            self._journal, self._moved = self._find_journal(), False
        # without --merge journalctl follows one boot, and takes its id from the kernel, which a
        # container or the sandbox of a unit may overlay
        follow = [] if self._catching_up else ["--no-tail", "--follow", "--merge"]
        try:
            self._reader = Journalctl(self._command() + follow + self._journal, self._wake)
        except OSError as error:
            self._problem = f"journalctl cannot be run: {error}"
        self._heard_at = clock.monotonic()
        if not self._catching_up:
            self._guard.begin(self._heard_at)

    def read(self) -> Batch | None:
        """See Source.read; without ``follow`` it waits until journalctl has ended or has more."""
        if self._reader is None:
            self._restart()
        if self._reader is None:
            return None
        lines = self._reader.take()
        while not lines and not self._follow and not self._reader.ended():
            lines = self._reader.take(wait=0.1)
            if not lines and self._hangs():
                return None
        if lines:
            self._pause = _FIRST_PAUSE
            self._problem = None
            self._heard_at = clock.monotonic()
            self._guard.deaf.pop("unanswered", None)
            return self._batch(lines)
        self._go_on(self._reader)
        return None

    def _go_on(self, reader: Journalctl) -> None:
        """After the end of the journal wait for more; after a failure start again, later."""
        if not reader.ended():
            if self._catching_up:
                self._hangs()
                return
            if clock.monotonic() >= self._restart_due:
                self._pause = _FIRST_PAUSE
                self._problem = None
            now = clock.monotonic()
            if self._guard.watch(now, self._cursor, self._recent, self._wake) or self._moved:
                self._end(reader)
            return
        at_end = self._catching_up and not reader.failed()
        if not at_end:
            self._problem = reader.complaint() or "journalctl ended"
        elif self._catching_up:
            self._guard.complain(reader.complaints(), at_once=not self._follow)
        self._catching_up = not at_end
        if self._follow:
            self._end(reader)
            if at_end:
                self._run()

    def _end(self, reader: Journalctl) -> None:
        """End journalctl, so that it is started again; what it did not deliver is read then."""
        self._guard.close()
        reader.close()
        self._reader = None
        self._moved = False

    def _hangs(self) -> bool:
        """Whether journalctl, which reads to the journal's end, has been silent for too long."""
        silent = clock.monotonic() - self._heard_at
        if silent >= LONGEST_ANSWER:
            self._guard.deaf["unanswered"] = (
                f"journalctl has read the journal for {silent:.0f} s without a line or an end; "
                "look for a hanging disk, and whether `journalctl --lines=1` ends"
            )
        if silent < _LONGEST_SILENCE or self._reader is None:
            return False
        self._end(self._reader)
        return True

    def _batch(self, lines: list[bytes]) -> Batch:
        batch = Batch([], b"", [], read_bytes=sum(map(len, lines)))
        before = self._cursor
        for line in lines:
            if line is OVERSIZED:
                batch.oversized += 1
                continue
            try:
                entry = decode_entry(line)
            except msgspec.DecodeError:
                batch.headless += 1
                batch.strange.append(line[:1000].decode("utf-8", "backslashreplace"))
            else:
                self._take(entry, batch)
        if self._cursor:
            batch.state = f"{self._cursor}\n{self._cursor_digest}".encode()
        if self._cursor != before and not self._catching_up:
            self._guard.deliver()
        return batch

    def _take(self, entry: Entry, batch: Batch) -> None:
        cursor = entry.cursor
        if self._known:
            if identify(cursor) in self._known:
                # where files of two journals have the same times, their order is not certain
                self._seeking = False
                return
            if not self._catching_up:
                self._known = frozenset()
        if self._seeking:
            self._seeking = False
            if self._cursor is not None and identify(cursor) == identify(self._cursor):
                return
            # an entry that was found by other tags may be there and not be shown
            if self._catching_up and self._cursor_digest == self._digest:
                lost = f"nothing left at {self._cursor}"
                batch.gaps.append(Gap("vacuumed", "journal", lost))
        self._cursor, self._cursor_digest = cursor, self._digest
        self._recent.append(cursor)
        record = record_of(entry)
        if record is None:
            batch.oversized += 1
        else:
            batch.records.append(record)

    def health(self) -> SourceHealth:
        """See Source.health; what waits in the journal itself cannot be told."""
        deaf = dict(self._guard.deaf) if self._problem is None else {}
        return SourceHealth(0, self._problem, self._catching_up, deaf)

    def close(self) -> None:
        """See Source.close."""
        self._guard.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def check_position(state: bytes) -> None:
    """Raises Invalid where a state is none that a JournaldSource gave."""
    cursor, _, digest = state.decode("ascii").partition("\n")
    if not _CURSOR.fullmatch(cursor) or not (digest.isalnum() or not digest):
        raise Invalid("corrupt", "a cursor that journald never wrote")

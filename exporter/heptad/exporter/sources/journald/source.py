"""The source that reads the systemd journal with journalctl(1), and resumes by cursor."""

import hashlib
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import time as wall_time
from typing import Final

import msgspec

from heptad.core.host import machine_id
from heptad.core.validation import Invalid
from heptad.exporter.sources import Gap, RecordBatch, SourceHealth
from heptad.exporter.sources.journald.damage import Damage, find_way_on
from heptad.exporter.sources.journald.entry import (
    FIELDS,
    JournalEntry,
    decode_entry,
    identify,
    record_of,
)
from heptad.exporter.sources.journald.files import (
    find_folders,
    find_full,
    find_stale,
    find_unreadable,
    has_namespaces,
    is_beyond,
)
from heptad.exporter.sources.journald.guard import LONGEST_ANSWER, Guard
from heptad.exporter.sources.journald.journalctl import DAMAGE, OVERSIZED, Journalctl, skips_entries
from heptad.exporter.sources.journald.restarts import Restarts

_AUTH_FACILITIES: Final = (4, 10)
"""auth and authpriv (RFC 5424), which login programs and PAM use."""
_BEYOND: Final = "the number of an entry is damaged, and the entries after it cannot be found"
_MOST_MACHINES: Final = 3
_LONGEST_SILENCE: Final = 300.0
_MOST_RECENT: Final = 1024
_CURSOR: Final = re.compile(r"s=[0-9a-f]{1,32};[0-9a-z=;]{1,300}")


class JournaldSource:
    """The journal's messages of ``app_names``; ``directory`` as in ``journalctl --directory``.

    ``directory`` may be a function if it can change. journalctl first reads to the end of the
    journal. With ``follow``, it is then run again to wait for more, and queried at intervals for
    what it missed. ``clock`` returns monotonic seconds.
    """

    def __init__(
        self,
        name: str,
        app_names: Iterable[str],
        directory: str | Callable[[], str] | None = None,
        *,
        follow: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._app_names = sorted(app_names)
        self._directory = directory
        self._follow = follow
        self._clock = clock
        self._digest = hashlib.sha256("\n".join(self._app_names).encode()).hexdigest()[:16]
        self._cursor: str | None = None
        self._cursor_digest = ""
        self._recent: deque[str] = deque(maxlen=_MOST_RECENT)
        self._known: frozenset[str] = frozenset()
        self._wake = threading.Event()
        self._reader: Journalctl | None = None
        self._guard = Guard(self._question, self._inspect)
        self._restarts = Restarts()
        self._damage = Damage()
        self._jumped: str | None = None
        self._began = 0.0
        self._machines: list[str] = []
        self._journal: list[str] = []
        self._moved = False
        self._seeking = self._overlaps = self._disordered = False
        self._catching_up = True
        self._heard_at = 0.0

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        """The state is the cursor of the last entry and a digest of ``app_names``."""
        cursor, _, self._cursor_digest = (state or b"").decode().partition("\n")
        self._cursor = cursor or None

    def start(self, wake: threading.Event) -> None:
        self._wake = wake

    def _find_directory(self) -> str | None:
        return self._directory() if callable(self._directory) else self._directory

    def _inspect(self) -> list[str]:
        """Return the problems of the journal's files."""
        directory = self._find_directory()
        folders = find_folders(directory, self._find_machines())
        told = find_unreadable(folders) + find_full(folders)
        if self._is_beyond(folders):
            told.append(_BEYOND)
            self._moved = self._moved or self._cursor_digest == self._digest
        return told + ([] if directory else find_stale(folders))

    def _is_beyond(self, folders: Sequence[Path]) -> bool:
        found = self._cursor is not None and is_beyond(folders, self._cursor)
        self._disordered |= found
        return found

    def _find_machines(self) -> list[str]:
        """Return the machine id and its predecessors: a running journald keeps its first id."""
        own = machine_id(Path("/"))
        if own and own not in self._machines:
            self._machines = [*self._machines, own][-_MOST_MACHINES:]
        return self._machines

    def _find_journal(self) -> list[str]:
        """Return the options and matches that select the entries."""
        directory = self._find_directory()
        options, machine = [f"--directory={directory}"] if directory else [], []
        if not directory:
            # --merge, with which journalctl --follow does not need the boot id, also shows entries
            # of other machines
            machines = self._find_machines()
            machine = [f"_MACHINE_ID={one}" for one in machines]
            options = ["--namespace=*"] if any(map(has_namespaces, machines)) else []
            options += ["--merge"] if len(machines) > 1 else []
        app_names = [f"SYSLOG_IDENTIFIER={app_name}" for app_name in self._app_names]
        # PAM logs under the name of any program, and modules under their own names
        facilities = [f"SYSLOG_FACILITY={number}" for number in _AUTH_FACILITIES]
        return [*options, *machine, *app_names, "+", *machine, *facilities]

    def _command(self, start: str | None = None) -> list[str]:
        """Return the command that reads from the cursor on, or from the option ``start`` on."""
        command = ["journalctl", "--output=json", f"--output-fields={FIELDS}", "--quiet"]
        # without --all, a field above 4096 bytes is left out, and with it its event
        command += ["--no-pager", "--all"]
        if start is None and self._cursor:
            # not --after-cursor: whether the entry itself still exists shows a vacuum, and with
            # --after-cursor systemd 252 skips the first entry
            start = f"--cursor={self._cursor}"
        return [*command, start] if start else command

    def _question(self) -> list[str]:
        """Return the command that lists what is after the cursor in the journal as it is now."""
        journal = self._find_journal()
        self._moved = journal != self._journal
        return self._command() + journal

    def _restart(self) -> None:
        if self._restarts.begin(self._clock()):
            self._catching_up = True
            self._run()

    def _run(self, start: str | None = None) -> None:
        if shutil.which("journalctl") is None:
            self._restarts.problem = (
                "journalctl is not installed: install systemd, or read a log file instead"
            )
            return
        self._known = frozenset(map(identify, self._recent))
        try:
            if self._catching_up:
                self._journal, self._moved = self._find_journal(), False
                start = self._jumped = self._find_way_on()
            # an entry with a corrupt number is read again and again, after the new ones
            self._overlaps = start is not None or self._disordered
            self._seeking = self._cursor is not None and start is None
            # without --merge, journalctl follows one boot, and takes its id from the kernel, which
            # a container or the sandbox of a unit may overlay
            follow = [] if self._catching_up else ["--no-tail", "--follow", "--merge"]
            command = self._command(start) + follow + self._journal
            self._reader = Journalctl(command, self._wake)
        except OSError as error:
            self._restarts.problem = f"cannot run journalctl: {error}"
        self._heard_at = self._clock()
        self._began = wall_time()
        if not self._catching_up:
            self._guard.begin(self._heard_at)

    def _find_way_on(self) -> str | None:
        """Return the option to start after corruption at which journalctl stops, or None."""
        if self._cursor is None or not self._damage.is_lasting(self._cursor):
            return None
        journal = self._journal
        place = find_way_on(lambda at: self._command(f"--cursor={at}") + journal, self._cursor)
        return place and f"--cursor={place}"

    def read(self) -> RecordBatch | None:
        """Return new entries; without ``follow``, wait until journalctl has ended or has more."""
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
            self._heard_at = self._clock()
            self._restarts.deliver(self._heard_at)
            self._guard.deaf.pop("unanswered", None)
            return self._batch(lines)
        reader = self._reader
        gap = self._go_on(reader) if reader.ended() else self._wait(reader)
        return RecordBatch([], self._state(), [gap]) if gap is not None else None

    def _wait(self, reader: Journalctl) -> Gap | None:
        """While journalctl is idle, check whether it still follows the journal."""
        now = self._clock()
        if self._catching_up:
            self._hangs()
            return None
        self._restarts.stay(now)
        if damage := reader.take_damage():
            if any(map(skips_entries, damage)):
                self._restarts.end(now, damage[-1])
                self._end(reader)
            return self._lose(damage[-1])
        if self._guard.watch(now, self._cursor, self._recent, self._wake) or self._moved:
            self._end(reader)
        return None

    def _go_on(self, reader: Journalctl) -> Gap | None:
        """After the end of the journal, start to follow; after a failure, restart later."""
        if not self._follow and not self._catching_up:
            return None
        at_end = self._catching_up and not reader.failed()
        gap = start = None
        if at_end:
            gap, start = self._judge_end(reader)
        else:
            told = reader.complaints()
            self._restarts.end(self._clock(), "; ".join(told[-3:]) or "journalctl ended")
            if any(map(DAMAGE.search, told)):
                self._damage.meet(self._cursor)
        self._catching_up = not at_end
        if self._follow:
            self._end(reader)
            if at_end:
                self._run(start)
        return gap

    def _judge_end(self, reader: Journalctl) -> tuple[Gap | None, str | None]:
        """At the end of the journal, return what was lost, and from where to follow."""
        damage = reader.take_damage()
        skipped = [text for text in damage if skips_entries(text)]
        if self._is_beyond(find_folders(self._find_directory(), self._machines)):
            skipped.append(_BEYOND)
            damage.append(_BEYOND)
        troubled = self._guard.complain(reader.complaints() + skipped, at_once=not self._follow)
        if damage:
            # what will be written to a file whose rest was skipped can be followed
            start = f"--since=@{self._began:.6f}" if skipped else None
            return self._lose(damage[-1]), start
        if self._jumped:
            return None, self._jumped
        if self._seeking and not troubled:
            return self._lose(f"nothing left at {self._cursor}", "vacuumed"), None
        return None, None

    def _lose(self, detail: str, reason: str = "unreadable") -> Gap | None:
        """Return a gap after the cursor; it is reported once, even across restarts.

        With other names than before, the entry may exist and not be listed.
        """
        if self._cursor is None or self._cursor_digest != self._digest:
            return None
        self._cursor_digest = ""
        return Gap(reason, "journal", detail)

    def _end(self, reader: Journalctl) -> None:
        """Stop journalctl, so that it is restarted; what it did not deliver is read then."""
        self._guard.close()
        reader.close()
        self._reader = None
        self._moved = False

    def _hangs(self) -> bool:
        """Return whether journalctl, reading to the end, has printed nothing for too long."""
        silent = self._clock() - self._heard_at
        if silent >= LONGEST_ANSWER:
            self._guard.deaf["unanswered"] = (
                f"journalctl has printed nothing for {silent:.0f} s; check for a hanging disk, "
                "and check that `journalctl --lines=1` ends"
            )
        if silent < _LONGEST_SILENCE or self._reader is None:
            return False
        self._end(self._reader)
        return True

    def _batch(self, lines: list[bytes]) -> RecordBatch:
        batch = RecordBatch([], b"", [], read_bytes=sum(map(len, lines)))
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
            batch.state = self._state()
        if self._cursor != before and not self._catching_up:
            self._guard.deliver()
        return batch

    def _state(self) -> bytes:
        return f"{self._cursor}\n{self._cursor_digest}".encode()

    def _take(self, entry: JournalEntry, batch: RecordBatch) -> None:
        cursor = entry.cursor
        if self._known:
            if identify(cursor) in self._known:
                # if files of two journals have the same times, their order is not defined
                self._seeking = False
                return
            if not self._catching_up and not self._overlaps:
                self._known = frozenset()
        if self._seeking:
            self._seeking = False
            if self._cursor is not None and identify(cursor) == identify(self._cursor):
                return
            if gap := self._lose(f"nothing left at {self._cursor}", "vacuumed"):
                batch.gaps.append(gap)
        if self._jumped:
            self._jumped = None
            if gap := self._lose("journalctl stopped at a damaged entry, which was skipped"):
                batch.gaps.append(gap)
        self._cursor, self._cursor_digest = cursor, self._digest
        self._recent.append(cursor)
        record = record_of(entry)
        if record is None:
            batch.oversized += 1
        else:
            batch.records.append(record)

    def health(self) -> SourceHealth:
        """The number of unread entries in the journal is unknown."""
        problem = self._restarts.describe(self._clock())
        deaf = dict(self._guard.deaf) if problem is None else {}
        return SourceHealth(0, problem, self._catching_up, deaf)

    def close(self) -> None:
        self._guard.close()
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def check_position(state: bytes) -> None:
    """Raise Invalid if ``state`` cannot be from a JournaldSource."""
    cursor, _, digest = state.decode("ascii").partition("\n")
    if not _CURSOR.fullmatch(cursor) or not (digest.isalnum() or not digest):
        raise Invalid("corrupt", "a cursor that journald never wrote")

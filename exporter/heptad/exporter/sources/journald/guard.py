"""Detect that `journalctl --follow` delivers nothing, by querying the journal without --follow.

`journalctl --follow` can run without delivering anything: if the boot id or machine id differs
inside the service, if inotify does not work, or if the folder of the journal was replaced.
"""

import threading
from collections.abc import Callable, Container, Iterable
from typing import Final

import msgspec

from heptad.exporter.sources.journald.entry import identify
from heptad.exporter.sources.journald.journalctl import OVERSIZED, Journalctl, skips_entries

EVERY: Final = 60.0
SOON: Final = 10.0
"""Seconds after the start of a follower, and between queries while it does not deliver."""
GRACE: Final = 10.0
"""Seconds within which an entry in the journal must be delivered."""
LONGEST_ANSWER: Final = 60.0
_SUSPENDED: Final = 30.0
_MOST_FILES: Final = 3


class _EntryCursor(msgspec.Struct):
    cursor: str = msgspec.field(name="__CURSOR")


_DECODER: Final = msgspec.json.Decoder(_EntryCursor)


class Guard:
    """Detects whether a follower at a cursor is deaf; ``deaf`` is as in SourceHealth.

    ``command`` returns the command without --follow that lists what is after the cursor;
    ``inspect`` returns the problems of the journal's files.
    """

    def __init__(self, command: Callable[[], list[str]], inspect: Callable[[], list[str]]) -> None:
        self.deaf: dict[str, str] = {}
        self._command = command
        self._inspect = inspect
        self._asked: Journalctl | None = None
        self._asked_at = self._due = self._looked_at = 0.0
        self._cursor: str | None = None
        self._suspect_since: float | None = None
        self._complaints: set[str] = set()
        self._delivered = False

    def begin(self, now: float) -> None:
        """Start watching: journalctl follows from now on."""
        self.close()
        self._due, self._looked_at = now + SOON, now
        self._suspect_since = None

    def deliver(self) -> None:
        """Record that the follower delivered something."""
        self._delivered = True
        self._suspect_since = None

    def watch(
        self, now: float, cursor: str | None, known: Iterable[str], wake: threading.Event
    ) -> bool:
        """Check once while the follower is idle; return whether it is deaf and must be restarted.

        ``known`` are cursors of entries that were read, in addition to ``cursor``.
        """
        before, self._looked_at = self._looked_at, now
        if self._suspect_since is not None:
            return self._judge(now, cursor)
        if self._asked is not None:
            self._listen(now, known)
        elif now >= self._due and now - before < _SUSPENDED:
            self._ask(now, cursor, wake)
        elif now >= self._due:
            # after a suspend, the follower's output may still be on its way
            self._due = now
        return False

    def _ask(self, now: float, cursor: str | None, wake: threading.Event) -> None:
        self._due = now + EVERY
        self._cursor, self._asked_at = cursor, now
        try:
            self._asked = Journalctl(self._command(), wake)
        except OSError as error:
            self.complain([f"cannot run journalctl: {error}"])

    def _listen(self, now: float, known: Iterable[str]) -> None:
        """Process the output of the query."""
        asked = self._asked
        if asked is None:
            return
        lines = asked.take()
        read = {identify(cursor) for cursor in known} if lines else set()
        if any(self._is_new(line, read) for line in lines):
            self._suspect_since = now
        elif not lines and asked.ended():
            failed, told = asked.failed(), asked.complaints()
            told += filter(skips_entries, asked.take_damage())
            self.complain(told or (["journalctl failed"] if failed else []))
            if not failed and self._delivered:
                self.deaf.pop("stalled", None)
        elif not lines and now - self._asked_at >= LONGEST_ANSWER:
            self.deaf["unanswered"] = (
                f"journalctl has not responded for {LONGEST_ANSWER:.0f} s; check for a hanging "
                "disk, and check that `journalctl --lines=1` ends"
            )
            self.close()
            return
        else:
            return
        self.deaf.pop("unanswered", None)
        self.close()

    def _is_new(self, line: bytes, known: Container[str]) -> bool:
        if line is OVERSIZED:
            return False
        try:
            cursor = _DECODER.decode(line).cursor
        except msgspec.DecodeError:
            return False
        own = self._cursor is not None and identify(cursor) == identify(self._cursor)
        return not own and identify(cursor) not in known

    def _judge(self, now: float, cursor: str | None) -> bool:
        """Return whether entries in the journal have still not been delivered."""
        if cursor != self._cursor or self._suspect_since is None:
            self._suspect_since = None
            return False
        if now - self._suspect_since < GRACE:
            return False
        self._suspect_since, self._delivered = None, False
        self._due = now + SOON
        self.deaf["stalled"] = (
            "`journalctl --follow` did not deliver entries of the journal; restarting it and "
            "reading on from the last entry, so lines are delayed"
        )
        return True

    def complain(self, complaints: Iterable[str], *, at_once: bool = False) -> bool:
        """Record the complaints of journalctl after it ended; return whether there are any.

        A complaint is reported the second time, because a file that is being created is also
        rejected.
        """
        told = [text for text in complaints if not text.startswith(("Use ", "Hint:"))]
        told += self._inspect()
        lasting = [text for text in dict.fromkeys(told) if at_once or text in self._complaints]
        if set(told) - self._complaints:
            self._due = min(self._due, self._asked_at + SOON)
        self._complaints = set(told)
        if lasting:
            self.deaf["files_refused"] = (
                f"parts of the journal are not read: {'; '.join(lasting[:_MOST_FILES])}; run "
                "`journalctl --verify`, move corrupt files away, or add the service's user to "
                "the group systemd-journal"
            )
        else:
            self.deaf.pop("files_refused", None)
        return bool(told)

    def close(self) -> None:
        """Stop the query in progress."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None

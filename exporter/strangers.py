"""Processes that asked PAM for an account that does not exist.

PAM says so without the name, and the program that asked tells the name without saying so:
util-linux's login and pam_sss, pam_ldap and pam_winbind do. Their lines share a process id.
"""

from collections import Counter
from typing import Final

import msgspec

from exporter.parsers.engine import Part

LONGEST: Final = 600 * 10**9
"""ns of log time after which a process is forgotten: process ids recur."""
MOST: Final = 256
"""Processes that are remembered, the latest: they are stored with every batch."""
_AGAIN: Final = 60 * 10**9
_OF_ACCOUNTS: Final = ("pam_unix", "PAM ")
"""What a failure begins with that pam_unix tells; it names nobody that is no account's."""


class Strangers:
    """Remembers processes by host, program and process id, never a name.

    ``hear`` knows none whose id is not among ``pids``: most lines are of no such process.
    """

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self.pids: Counter[str | None] = Counter()
        self._dumped: bytes | None = None

    def dump(self) -> bytes:
        """The processes, for the store; the same object while nothing changed."""
        if self._dumped is None:
            self._dumped = msgspec.msgpack.encode(self._since)
        return self._dumped

    def restore(self, data: bytes) -> None:
        """Go on from what ``dump`` gave."""
        self._since = msgspec.msgpack.decode(data, type=dict[str, int])
        self.pids.clear()
        self.pids.update(map(_pid_of, self._since))
        self._dumped = None

    def adopt(self, data: bytes, before: int) -> None:
        """Know too, of what ``dump`` gave elsewhere, the processes from before (ns)."""
        for process, since in msgspec.msgpack.decode(data, type=dict[str, int]).items():
            if since < before and process not in self._since and len(self._since) < MOST:
                self._since[process] = since
                self.pids[_pid_of(process)] += 1
        self._dumped = None

    def hear(self, part: Part, process: str, message: str, time: int) -> bool:
        """Whether the name in a line of ``process`` is no account's, by what it said before."""
        since = self._since.get(process)
        if part == "nobody":
            if since is not None and 0 <= time - since < _AGAIN:
                return False
            if since is not None:
                self._forget(process)
            elif len(self._since) >= MOST:
                self._forget(next(iter(self._since)))
            self._since[process] = time
            self.pids[_pid_of(process)] += 1
            self._dumped = None
            return False
        if since is None:
            return False
        named = message.startswith(_OF_ACCOUNTS) and " user=" in message
        if part == "somebody" or named or time - since > LONGEST:
            self._forget(process)
            self._dumped = None
            return False
        return True

    def _forget(self, process: str) -> None:
        del self._since[process]
        pid = _pid_of(process)
        self.pids[pid] -= 1
        if not self.pids[pid]:
            del self.pids[pid]


def _pid_of(process: str) -> str:
    return process.rpartition(" ")[2]

"""Remember processes that asked for an unknown account, and the names of such accounts.

Different lines may have the result and the name: PAM reports an unknown account without the name,
and util-linux's login, pam_sss, pam_ldap and pam_winbind log a name that sshd or pam_unix reported
as unknown. Their lines have the same process id or, if sshd calls PAM in another process, the same
name.
"""

from collections import Counter
from typing import Final

import msgspec

from heptad.exporter.parsing.compiled_rule import UnknownUserHint

LONGEST: Final = 600 * 10**9
"""ns of log time after which a process is forgotten, because process ids are reused."""
MOST: Final = 256
"""Maximum number of processes that are remembered; they are stored with every batch."""
_AGAIN: Final = 60 * 10**9
_OF_ACCOUNTS: Final = ("pam_unix", "PAM ")
"""Prefixes of failures logged by pam_unix, which names only existing accounts."""


class UnknownUsers:
    """Remembers processes by host, program and process id, and hashes of names in memory only.

    Check ``pids`` before calling ``hear``: most lines are of other processes. Names are hashed with
    Python's hash, which other processes cannot reproduce.
    """

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._names: dict[int, int] = {}
        self.pids: Counter[str | None] = Counter()
        self._dumped: bytes | None = None

    def dump(self) -> bytes:
        """Return the processes, encoded for the store; the same object if nothing changed."""
        if self._dumped is None:
            self._dumped = msgspec.msgpack.encode(self._since)
        return self._dumped

    def restore(self, data: bytes) -> None:
        """Restore the result of ``dump``."""
        self._since = msgspec.msgpack.decode(data, type=dict[str, int])
        self.pids.clear()
        self.pids.update(map(_pid_of, self._since))
        self._dumped = None

    def adopt(self, data: bytes, before: int) -> None:
        """Add processes from another ``dump`` that are older than ``before`` (ns)."""
        for process, since in msgspec.msgpack.decode(data, type=dict[str, int]).items():
            if since < before and process not in self._since and len(self._since) < MOST:
                self._since[process] = since
                self.pids[_pid_of(process)] += 1
        self._dumped = None

    def learn(self, host: str | None, name: str, time: int) -> None:
        """Remember a name that was reported as unknown on ``host``."""
        number = hash((host, name))
        self._names.pop(number, None)
        if len(self._names) >= MOST:
            del self._names[next(iter(self._names))]
        self._names[number] = time

    def knows(self, host: str | None, name: str, time: int) -> bool:
        """Return whether a name was recently reported as unknown on ``host``."""
        since = self._names.get(hash((host, name))) if self._names else None
        return since is not None and time - since <= LONGEST

    def includes(self, process: str, time: int) -> bool:
        """Return whether a process recently asked for an unknown account."""
        since = self._since.get(process)
        return since is not None and time - since <= LONGEST

    def hear(self, part: UnknownUserHint, process: str, message: str, time: int) -> bool:
        """Return whether the name in a line of ``process`` is unknown, by its earlier lines."""
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

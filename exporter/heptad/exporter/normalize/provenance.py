"""Check by the journal's fields that a line was written by the program that it names.

See systemd.journal-fields(7) for what journald records of a sender, and
docs/decisions/0002-journal-trust.md.
"""

import pwd
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from heptad.core.config.schema import Config, JournaldSourceConfig
from heptad.core.config.small_file import read_file
from heptad.core.config.strict_yaml import DocumentError, Problem
from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.line_result import IGNORED, OTHER_PROGRAM, UNTRUSTED, LineResult
from heptad.exporter.parsing.compiled_rule import RuleMatch
from heptad.exporter.parsing.rulebook import Program

_REFRESH: Final = 60.0
_FOREVER: Final = float("inf")
_LARGEST_PASSWD: Final = 4 * 2**20


class UserIds:
    """User ids by account name, from the file ``passwd`` or, without one, from this machine."""

    def __init__(self, passwd: Path | None = None) -> None:
        self._passwd = passwd
        self._known: dict[tuple[str, ...], tuple[frozenset[int], float]] = {}

    def uids(self, names: tuple[str, ...]) -> frozenset[int]:
        """Return the ids of existing accounts; missing ones are looked up again after a minute."""
        uids, until = self._known.get(names, (frozenset(), 0.0))
        if until != _FOREVER and time.monotonic() >= until:
            uids = self._look_up(names)
            until = _FOREVER if len(uids) == len(names) else time.monotonic() + _REFRESH
            self._known[names] = uids, until
        return uids

    def _look_up(self, names: tuple[str, ...]) -> frozenset[int]:
        if names == ("root",):
            return frozenset((0,))
        try:
            known = None if self._passwd is None else read_passwd(self._passwd)
        except OSError:
            known = {}  # reported when the exporter starts
        found = {0 if name == "root" else _find(name, known) for name in names}
        return frozenset(uid for uid in found if uid is not None)


def _find(name: str, known: Mapping[str, int] | None) -> int | None:
    """Return the user id from ``known``, or from this machine."""
    if known is not None:
        return known.get(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def read_passwd(path: Path) -> Mapping[str, int]:
    """Return name → user id of a file in the format of passwd(5); raises OSError."""
    text = read_file(path, _LARGEST_PASSWD).decode("utf-8", "backslashreplace")
    fields = (line.split(":") for line in text.split("\n"))
    return {
        one[0]: int(one[2])
        for one in fields
        if len(one) >= 7 and one[2].isascii() and one[2].isdigit() and len(one[2]) < 11
    }


def make_user_ids(config: JournaldSourceConfig, root: Path) -> UserIds:
    """Return the accounts of the machine that wrote the journal; raises DocumentError."""
    if config.passwd is not None:
        passwd = Path(config.passwd)
    elif config.directory is None and root != Path("/"):
        passwd = root / "etc/passwd"
        if not passwd.exists():
            return UserIds()
    else:
        return UserIds()
    try:
        read_passwd(passwd)
    except OSError as error:
        text = f"source `{config.name}`: cannot read its passwd file: {error.strerror}"
        raise DocumentError([Problem(str(passwd), "0:0", text)]) from None
    return UserIds(passwd)


def find_user_ids(config: Config) -> dict[str, UserIds | None]:
    """Return the accounts for each journal source; raises DocumentError."""
    root = Path(config.exporter.host_root)
    sources = config.sources or [JournaldSourceConfig(name="journal")]
    journals = (source for source in sources if isinstance(source, JournaldSourceConfig))
    return {source.name: make_user_ids(source, root) for source in journals}


def is_from(provenance: Provenance, program: Program) -> bool:
    """Return whether the journal's trusted fields have the program's own binary.

    If journald could not see the binary, only root is trusted. The same holds, wherever the binary
    is, if only PAM's rules apply to the program.
    """
    if program.transport == "kernel" or provenance.transport == "kernel":
        return program.transport == provenance.transport
    if provenance.exe is None or program.pam_only:
        return provenance.uid == 0 or (provenance.exe is not None and provenance.exe in program.exe)
    return provenance.exe in program.exe


Uids = Callable[[tuple[str, ...]], frozenset[int]]


def is_privileged(provenance: Provenance, program: Program, uids: Uids) -> bool:
    """Return whether the program ran with rights that its caller does not have.

    The path of the binary alone is not enough: a user can preload code into a program without
    setuid (ld.so(8), LD_PRELOAD), and then log under its path. A setuid program keeps the caller's
    user id but has root's capabilities, which it loses when it is traced (execve(2)). For other
    programs, capabilities prove nothing: in a user namespace everyone has them.
    """
    if provenance.transport == "kernel" or provenance.uid in uids(program.runs_as):
        return True
    return provenance.capable and provenance.exe in program.setuid


Reason = Literal["path", "account", "rights", "unseen"]
"""Why a line is rejected: the binary's path, the account, no root privileges, or no data."""


def untrusted_origin_of(provenance: Provenance, program: Program) -> tuple[Reason, int, str]:
    """Return for a rejected line: reason, user id (-1: unknown) and path of the binary."""
    uid = -1 if provenance.uid is None else provenance.uid
    if provenance.exe is None:
        return "unseen", uid, ""
    if provenance.exe in program.exe:
        return "account" if _is_service(uid) else "rights", uid, provenance.exe
    is_root = uid == 0 or (provenance.capable and bool(program.setuid))
    return "path" if is_root else "rights", uid, provenance.exe


def _is_service(uid: int) -> bool:
    """Return whether the id may be of a service (systemd, "Users, Groups, UIDs and GIDs")."""
    return 0 < uid < 1000 or 61_184 <= uid <= 65_519


def check_provenance(
    provenance: Provenance,
    program: Program,
    found: RuleMatch | None,
    uids: Callable[[tuple[str, ...]], frozenset[int]],
) -> LineResult | None:
    """Return the result of a line that the program did not write with its own rights, else None.

    ``found``: the match of its message. ``uids`` returns the ids of account names.
    """
    if not is_from(provenance, program):
        # all containers share the kernel's log, and their daemons write to it
        shared = provenance.transport == "kernel" and not program.complete
        return OTHER_PROGRAM if shared and found is None else UNTRUSTED
    if is_privileged(provenance, program, uids):
        return None
    if found is None:
        return UNTRUSTED if program.complete else OTHER_PROGRAM
    # a line that an unprivileged child also writes cannot be distinguished from a forged one
    return IGNORED if found.rule.rule.runs_as == "any" else UNTRUSTED

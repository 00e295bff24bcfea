"""Lines that were rejected for their provenance: their number, origin, and which are stored."""

from typing import Final

import msgspec

from heptad.exporter.log_record import Provenance
from heptad.exporter.normalize.provenance import untrusted_origin_of
from heptad.exporter.parsing.rulebook import Program

MOST_A_DAY: Final = 10_000
"""Maximum number of rejected lines of a program stored per day; the others are only counted."""
_MOST_PLACES: Final = 10
_LONGEST_PATH: Final = 200
_DAY: Final = 86_400 * 10**9

REMEDIES: Final[dict[str, str]] = {
    "path": (
        "if that binary is {program}, add `trust: [{{program: {program}, exe: [{path}]}}]` to "
        "the configuration"
    ),
    "account": (
        "if {program} runs as that account, add its name under `trust`, as in `trust: "
        "[{{program: {program}, runs_as: [NAME]}}]`; for the journal of another machine set "
        "`passwd` of the source"
    ),
    "rights": "it does not run with root privileges, so anyone could forge these lines",
    "unseen": "journald did not record the process, so their origin cannot be verified",
}
"""What to do about a rejected line, by reason (heptad.exporter.normalize.provenance.Reason)."""


class UntrustedOrigin(msgspec.Struct, frozen=True, array_like=True):
    """Where rejected lines come from: the reason, the user id (-1: unknown) and the binary."""

    reason: str
    uid: int
    path: str


class UntrustedProgram(msgspec.Struct):
    """The rejected lines of a program; ``stored_lines`` of the day ``day`` (days since 1970).

    ``sentence`` describes them, for the report.
    """

    lines: int = 0
    origins: list[tuple[UntrustedOrigin, int]] = msgspec.field(default_factory=list, name="places")
    day: int = 0
    stored_lines: int = msgspec.field(default=0, name="kept")
    sentence: str = ""
    last: int = 0

    def add(self, place: UntrustedOrigin, now: int) -> None:
        """Count one line at ``now`` (ns)."""
        self.lines += 1
        self.last = now
        for number, (known, lines) in enumerate(self.origins):
            if known == place:
                self.origins[number] = (known, lines + 1)
                return
        if len(self.origins) < _MOST_PLACES:
            self.origins.append((place, 1))

    def may_keep(self, now: int) -> bool:
        """Return whether one more line may be stored at ``now`` (ns), and count it if so."""
        day = now // _DAY
        if day != self.day:
            self.day, self.stored_lines = day, 0
        if self.stored_lines >= MOST_A_DAY:
            return False
        self.stored_lines += 1
        return True

    def describe(self, program: str) -> str:
        """Return a sentence about the largest group of lines."""
        if not self.origins:
            return f"{self.lines} lines of {program} were rejected"
        place, lines = max(self.origins, key=lambda known: known[1])
        path = place.path or "an unknown binary"
        account = f", run by user id {place.uid}" if place.uid > 0 else ""
        remedy = REMEDIES[place.reason].format(program=program, path=path)
        where = f"{path}{account}, which is not trusted"
        return f"{lines} lines of {program} come from {where}; {remedy}"


class UntrustedLines:
    """The rejected lines of one source by program, across restarts.

    ``changed``: whether they changed since the last ``dump``.
    """

    def __init__(self) -> None:
        self.programs: dict[str, UntrustedProgram] = {}
        self.changed = False

    def restore(self, data: bytes) -> None:
        """Restore the result of ``dump``."""
        self.programs = msgspec.json.decode(data, type=dict[str, UntrustedProgram])

    def dump(self) -> bytes:
        """Encode for the store."""
        self.changed = False
        for program, untrusted in self.programs.items():
            untrusted.sentence = untrusted.describe(program)
        return msgspec.json.encode(self.programs)

    def add(self, program: Program, provenance: Provenance, now: int) -> UntrustedProgram:
        """Count a line of ``program`` at ``now`` (ns)."""
        self.changed = True
        untrusted = self.programs.setdefault(program.name, UntrustedProgram())
        reason, uid, path = untrusted_origin_of(provenance, program)
        untrusted.add(UntrustedOrigin(reason, uid, path[:_LONGEST_PATH]), now)
        return untrusted

    def trust(self, program: str, provenance: Provenance) -> None:
        """Forget the rejected lines of ``program`` with this provenance."""
        uid, path = (
            -1 if provenance.uid is None else provenance.uid,
            (provenance.exe or "")[:_LONGEST_PATH],
        )
        untrusted = self.programs.get(program)
        if untrusted is None:
            return
        gone = [(p, n) for p, n in untrusted.origins if (p.uid, p.path) == (uid, path)]
        untrusted.origins = [known for known in untrusted.origins if known not in gone]
        untrusted.lines -= sum(lines for _, lines in gone)
        if untrusted.lines <= 0:
            del self.programs[program]

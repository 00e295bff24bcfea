"""Count answers, not key offers: the one place that decides what is a login attempt.

sshd tells one failed login in up to five lines, fewer at LogLevel INFO than at VERBOSE, and an
ssh client with an agent is refused several keys before the right one. Per connection (host,
program and process id) a line becomes one of: a login, an offer, or an event of its own action.
"""

from typing import Final

import msgspec

from exporter.parsers.engine import CompiledRule, Rulebook, Values, method_of
from exporter.rendering import classify_address
from heptad.event import METHODS
from heptad.line_protocol import quote

SECOND: Final = 10**9
LONGEST: Final = 600 * SECOND
"""A connection is forgotten after ten minutes of log time: process ids recur."""
LINGER: Final = 10 * SECOND
"""How long after its end further end lines still belong to it: sshd writes up to three."""
MOST_OPEN: Final = 10_000
_OFFERS: Final = frozenset({"publickey", "none", "hostbased"})

Judged = tuple[str, str, str, str]
"""Action, outcome, method and reason."""


class Connection(msgspec.Struct, array_like=True, gc=False):
    """What is known of a connection; ``told`` the fields that an end line may need again."""

    begun: int
    port: str | None = None
    user: str | None = None
    address: str | None = None
    offered: str = "none"
    counted: bool = False
    pam_told: int = 0
    ended: int = 0


class Attempts:
    """The open connections; ``judge`` says what a line with a step is in its connection."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        self.forgotten = 0

    def dump(self) -> bytes:
        """The open connections, for the store."""
        return msgspec.msgpack.encode(self._open)

    def restore(self, data: bytes) -> None:
        """Go on from what ``dump`` gave."""
        self._open = msgspec.msgpack.decode(data, type=dict[str, Connection])

    def judge(
        self, rule: CompiledRule, values: Values, process: str, time: int, count: int
    ) -> tuple[Judged, str]:
        """What the line is, and line-protocol fields that the connection told before.

        ``process`` names host and program, then the process id behind the last blank; ``count``
        is how often syslog says that the line came.
        """
        step = rule.step
        if rule.at_child >= 0:
            process = f"{process.rpartition(' ')[0]} {values[rule.at_child]}"
        port = values[rule.at_port] if rule.at_port >= 0 else None
        connection = self._find(process, port, time, begins=step == "start")
        user = values[rule.at_user] if rule.at_user >= 0 else None
        if user is not None:
            connection.user = user
        if connection.address is None and rule.at_address >= 0:
            connection.address = values[rule.at_address]
        if step == "failed":
            return self._fail(connection, rule, values, count), self._told(connection, rule, values)
        if step == "end":
            return self._end(connection, rule, values, time)
        judged = rule.fixed
        if rule.at_method >= 0:
            judged = (judged[0], judged[1], method_of(values[rule.at_method]), judged[3])
        if step == "pam_failed":
            connection.pam_told += count
            connection.counted = True
        elif step == "accepted":
            connection.counted = True
            connection.ended = time
        return judged, ""

    def _find(self, process: str, port: str | None, time: int, *, begins: bool) -> Connection:
        """The connection of a process, or a new one where the process id was taken again."""
        found = self._open.get(process)
        if found is not None:
            over = time - found.begun > LONGEST or (found.ended and time - found.ended > LINGER)
            other = port is not None and found.port is not None and port != found.port
            if not (begins or over or other):
                if found.port is None:
                    found.port = port
                return found
            del self._open[process]
        self._forget(time)
        found = self._open[process] = Connection(time, port)
        return found

    def _forget(self, now: int) -> None:
        """Drop what is over or too old, oldest first, and more where there are too many."""
        while self._open:
            process = next(iter(self._open))
            oldest = self._open[process]
            over = now - oldest.begun > LONGEST or (oldest.ended and now - oldest.ended > LINGER)
            if not over:
                if len(self._open) < MOST_OPEN:
                    break
                self.forgotten += not oldest.ended
            del self._open[process]

    def _fail(
        self, connection: Connection, rule: CompiledRule, values: Values, count: int
    ) -> Judged:
        action, outcome, method, reason = rule.fixed
        if rule.at_method >= 0:
            method = method_of(values[rule.at_method])
        if method in _OFFERS:
            connection.offered = method
            return "offer", outcome, method, reason
        if method == "keyboard-interactive" and (connection.pam_told > 0 or connection.counted):
            # PAM told the answer itself; without that the account was refused after a right one,
            # and at LogLevel INFO only the end of the connection says so: once
            connection.pam_told = max(0, connection.pam_told - count)
            return "authentication", outcome, method, reason
        connection.counted = True
        return action, outcome, method, reason

    def _end(
        self, connection: Connection, rule: CompiledRule, values: Values, time: int
    ) -> tuple[Judged, str]:
        unanswered = connection.user is not None and not connection.counted
        connection.counted = True
        connection.ended = connection.ended or time
        if not unanswered:
            return rule.fixed, ""
        told = self._told(connection, rule, values)
        return ("login", "failure", connection.offered, rule.fixed[3]), told

    def _told(self, connection: Connection, rule: CompiledRule, values: Values) -> str:
        """The user and the address, where the line itself does not tell them."""
        told = ""
        if connection.user is not None and (rule.at_user < 0 or values[rule.at_user] is None):
            told = f",user={quote(connection.user)}"
        if connection.address is None or (rule.at_address >= 0 and values[rule.at_address]):
            return told
        ip = classify_address(connection.address)[0]
        return f'{told},source_ip="{ip}"' if ip else told


def label_sets(rulebook: Rulebook) -> set[tuple[str, str, str, str]]:
    """Every (program, action, outcome, method) that can come of programs with rules of their own.

    They are shown at zero from the start, so that ``increase()`` sees the first event.
    """
    found = set()
    for program in rulebook.programs.values():
        for rule in program.own_rules:
            action, outcome, method, _ = rule.fixed
            if rule.ignore:
                continue
            methods = [m for m in METHODS if m] if rule.at_method >= 0 else [method]
            if rule.step == "failed":
                found |= {(program.name, "offer", "failure", m) for m in _OFFERS}
                found.add((program.name, "authentication", "failure", "keyboard-interactive"))
                methods = [m for m in methods if m not in _OFFERS]
            elif rule.step == "end":
                found |= {(program.name, "login", "failure", m) for m in _OFFERS}
            found |= {(program.name, action, outcome, m) for m in methods}
    return found

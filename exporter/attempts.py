"""Count answers, not key offers: the one place that decides what is a login attempt.

sshd tells one failed login in up to five lines, fewer at LogLevel INFO than at VERBOSE, and an
ssh client with an agent is refused several keys before the right one. Per connection (host,
program and process id) a line becomes one of: a login, an offer, or an event of its own action.
"""

from typing import Any, Final

import msgspec

from exporter.parsers.engine import CompiledRule, Rulebook
from heptad.event import METHODS

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
    """What is known of a connection that is not yet over."""

    begun: int
    port: int | None = None
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
        self,
        rule: CompiledRule,
        facts: dict[str, Any],
        where: tuple[str, str],
        pid: int | None,
        time: int,
    ) -> Judged:
        """The action, outcome, method and reason of the line.

        ``where`` is (host, program); ``facts`` may gain the user and address that the connection
        told before.
        """
        child = facts.pop("child_pid", None)
        key = f"{where[0]}\0{where[1]}\0{child if child is not None else pid}"
        step = rule.step
        connection = self._find(key, facts, time, begins=step == "start")
        if facts.get("user") is not None:
            connection.user = facts["user"]
        if connection.address is None:
            connection.address = facts.get("source_ip")
        action, outcome, method, reason = rule.fixed
        method = facts.pop("method", None) or method
        if step == "failed":
            return self._fail(connection, facts, method, reason)
        if step == "pam_failed":
            connection.pam_told += facts.get("count", 1)
            connection.counted = True
            return action, outcome, method or "keyboard-interactive", reason
        if step == "accepted":
            connection.counted = True
            connection.ended = time
            return action, outcome, method, reason
        if step == "end":
            return self._end(connection, facts, time, (action, outcome, method, reason))
        return action, outcome, method, reason

    def _find(self, key: str, facts: dict[str, Any], time: int, *, begins: bool) -> Connection:
        """The connection of a process, or a new one where the process id was taken again."""
        found = self._open.get(key)
        port = facts.get("source_port")
        if found is not None:
            over = time - found.begun > LONGEST or (found.ended and time - found.ended > LINGER)
            other = port is not None and found.port is not None and port != found.port
            if begins or over or other:
                del self._open[key]
                found = None
        if found is None:
            self._forget(time)
            found = self._open[key] = Connection(time, port)
        elif found.port is None:
            found.port = port
        return found

    def _forget(self, now: int) -> None:
        """Drop what is too old, oldest first, and more where there are too many."""
        while self._open:
            key = next(iter(self._open))
            oldest = self._open[key]
            if len(self._open) < MOST_OPEN and now - oldest.begun <= LONGEST:
                break
            if now - oldest.begun <= LONGEST and not oldest.ended:
                self.forgotten += 1
            del self._open[key]

    def _fail(
        self, connection: Connection, facts: dict[str, Any], method: str, reason: str
    ) -> Judged:
        if method in _OFFERS:
            connection.offered = method
            return "offer", "failure", method, reason
        if method == "keyboard-interactive" and connection.pam_told > 0:
            connection.pam_told -= facts.get("count", 1)
            return "authentication", "failure", method, reason
        connection.counted = True
        return "login", "failure", method, reason

    def _end(
        self, connection: Connection, facts: dict[str, Any], time: int, own: Judged
    ) -> Judged:
        unanswered = connection.user is not None and not connection.counted
        connection.counted = True
        connection.ended = connection.ended or time
        if not unanswered:
            return own
        if facts.get("user") is None:
            facts["user"] = connection.user
        if facts.get("source_ip") is None and connection.address is not None:
            facts["source_ip"] = connection.address
        return "login", "failure", connection.offered, own[3]


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
            methods = [m for m in METHODS if m] if rule.captures_method else [method]
            if rule.step == "failed":
                found |= {(program.name, "offer", "failure", m) for m in _OFFERS}
                found.add((program.name, "authentication", "failure", "keyboard-interactive"))
                methods = [m for m in methods if m not in _OFFERS]
            elif rule.step == "end":
                found |= {(program.name, "login", "failure", m) for m in _OFFERS}
            found |= {(program.name, action, outcome, m) for m in methods}
    return found

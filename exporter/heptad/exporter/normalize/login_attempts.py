"""Count answers, not key offers: the one place that decides what is a login attempt.

sshd tells one failed login in up to five lines, fewer at LogLevel INFO than at VERBOSE, and an
ssh client with an agent is refused several keys before the right one. Per connection (host,
program and process id) a line becomes one of: a login, an offer, or an event of its own action.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from heptad.core.event import METHODS
from heptad.exporter.log_record import LogRecord
from heptad.exporter.parsing.captured_fields import classify_address
from heptad.exporter.parsing.compiled_rule import CapturedValues, CompiledRule, method_of
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.size_index import SizeRanking

SECOND: Final = 10**9
LONGEST: Final = 600 * SECOND
"""A connection is forgotten after ten minutes of log time: process ids recur."""
LINGER: Final = 10 * SECOND
"""How long after its end further end lines still belong to it, where they tell no port."""
MOST_OPEN: Final = 4_000
"""Far more than sshd lets wait at once on many hosts (MaxStartups: 100), and 2 MB at most."""
MOST_ENDED: Final = 1_000
"""Ended connections that are remembered, so that no end line counts again: 50 bytes each."""
_LONGEST_USER: Final = 256
_LONGEST_ADDRESS: Final = 64
_OFFERS: Final = frozenset({"publickey", "none", "hostbased"})
_UNKNOWN: Final = "unknown"
"""The word of sshd's monitor for what offers a key or a host in the name of no account."""
_ENDS: Final = frozenset({"end", "accepted"})
_BY_PAM: Final = "keyboard-interactive"

Classification = tuple[str, str, str, str]
"""Action, outcome, method and reason."""


class ClientConnection(msgspec.Struct, array_like=True, gc=False):
    """What is known of a connection, ``user`` and ``address`` for an end line that lacks them.

    ``begun`` is when it began or, of an ended one, when it ended.
    """

    begun: int
    port: str | None = None
    user: str | None = None
    address: str | None = None
    offered: str = "none"
    counted: bool = False
    pam_told: int = 0
    ended: bool = False


Learned = tuple[str | None, str | None]
"""User and IP address that earlier lines of a connection had; None where the line has its own."""
NOTHING_LEARNED: Final[Learned] = (None, None)

_State = tuple[dict[str, dict[str, ClientConnection]], dict[str, ClientConnection]]
_Connections = OrderedDict[str, ClientConnection]
"""Not a dict: the first one is asked for and deleted all the time, and a dict looks for its first
entry behind the places of all that were deleted before it."""
_NONE: Final = _Connections()


class LoginAttempts:
    """The connections; ``judge`` says what a line with a step is in its connection.

    The open ones are kept by host, for the clock of one host says nothing of another's. Both
    these and the ended ones have as keys host, program and process id, oldest first.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Connections] = {}
        self._ended = _Connections()
        self._size = 0
        self._ranking: SizeRanking | None = (
            None  # only while the oldest of the largest must give way
        )
        self._dumped: bytes | None = None
        self.forgotten = 0

    def dump(self) -> bytes:
        """The connections, for the store; the same object while nothing was judged."""
        if self._dumped is None:
            self._dumped = msgspec.msgpack.encode((self._open, self._ended))
        return self._dumped

    def restore(self, data: bytes) -> None:
        """Go on from what ``dump`` gave."""
        known, ended = msgspec.msgpack.decode(data, type=_State)
        self._open = {host: _Connections(connections) for host, connections in known.items()}
        self._ended = _Connections(ended)
        self._size = sum(map(len, self._open.values()))
        self._ranking = None
        self._dumped = None

    def adopt(self, data: bytes, before: int) -> None:
        """Know too, of what ``dump`` gave elsewhere, the connections that began before (ns)."""
        known, ended = msgspec.msgpack.decode(data, type=_State)
        for host, connections in known.items():
            for process, connection in connections.items():
                recent = before - LONGEST <= connection.begun < before
                if recent and self._size < MOST_OPEN:
                    mine = self._open.setdefault(host, _Connections())
                    self._size += process not in mine
                    mine.setdefault(process, connection)
        for process, connection in ended.items():
            if before - LONGEST <= connection.begun < before and len(self._ended) < MOST_ENDED:
                self._ended.setdefault(process, connection)
        self._dumped = None

    def classify(
        self,
        rule: CompiledRule,
        values: CapturedValues,
        program: str,
        record: LogRecord,
        count: int,
    ) -> tuple[Classification, Learned, int]:
        """Classify a line; return also what its connection knows beyond it, and its count.

        ``values`` are what ``rule`` captured in the line of ``record``; ``count`` is how often
        syslog says that the line was logged. A connection ends only once.
        """
        step, time, host = rule.step, record.time, record.host or str(record.host)
        pid = record.pid if rule.at_child < 0 else values[rule.at_child]
        self._dumped = None
        if pid:
            process = f"{host} {program} {pid}"
            port = values[rule.at_port] if rule.at_port >= 0 else None
            connection = self._find(host, process, port, time, step)
        else:
            process, connection = self._find_peer(host, program, rule, values, time)
        user = values[rule.at_user] if rule.at_user >= 0 else None
        address = values[rule.at_address] if rule.at_address >= 0 else None
        if not connection.ended:
            _learn(connection, user, address)
        elif step == "end":
            return rule.fixed, NOTHING_LEARNED, 1
        if step == "failed":
            classification = _fail(connection, rule, values, count)
            return classification, _learned(connection, user, address), count
        if step == "end":
            answered = connection.user is None or connection.counted
            self._close(host, process, connection, time)
            if answered:
                return rule.fixed, NOTHING_LEARNED, 1
            classification = ("login", "failure", connection.offered, rule.fixed[3])
            return classification, _learned(connection, user, address), 1
        classification = rule.fixed
        if rule.at_method >= 0:
            classification = (
                classification[0],
                classification[1],
                method_of(values[rule.at_method]),
                classification[3],
            )
        if step == "pam_failed":
            connection.pam_told += count
            connection.counted = True
        elif step == "accepted":
            self._close(host, process, connection, time)
        return classification, NOTHING_LEARNED, count

    def _find(
        self, host: str, process: str, port: str | None, time: int, step: str | None
    ) -> ClientConnection:
        """The connection of a process, or a new one where the process id was taken again.

        A new one is not kept if this ``step`` ends it.
        """
        connections = self._open.get(host)
        found = (connections and connections.get(process)) or self._ended.get(process)
        if found is not None:
            before = found.port
            known = port is not None and before is not None
            # process id and port both recur within minutes only by a very rare chance
            longest = LINGER if found.ended and not known else LONGEST
            same = step != "start" and (port == before or not known)
            if same and time - found.begun <= longest:
                if before is None:
                    found.port = port
                return found
            if found.ended:
                del self._ended[process]
            else:
                self._drop(host, process)
        self._forget(host, time)
        found = ClientConnection(time, port)
        if step in _ENDS:
            return found
        connections = self._open.get(host)
        if connections is None:
            connections = self._open[host] = OrderedDict()
        connections[process] = found
        self._size += 1
        if self._ranking is not None:
            self._ranking.move(host, len(connections) - 1, len(connections))
        return found

    def _find_peer(
        self, host: str, program: str, rule: CompiledRule, values: CapturedValues, time: int
    ) -> tuple[str, ClientConnection]:
        """The connection of a line without a process id, by address and port, and its key.

        What was told by the address alone (PAM) is the next connection's from there. Of a line
        without an address nothing is remembered.
        """
        address = values[rule.at_address] if rule.at_address >= 0 else None
        if not address:
            return "", ClientConnection(time)
        bare = f"{host} {program} {address[:_LONGEST_ADDRESS]}"
        port = values[rule.at_port] if rule.at_port >= 0 else None
        key = bare if port is None else f"{bare} {port}"
        connection = self._find(host, key, None, time, rule.step)
        told = self._open[host].get(bare) if host in self._open else None
        if told is not None and told is not connection:
            connection.pam_told += told.pam_told
            connection.counted = connection.counted or told.counted
            self._drop(host, bare)
        return key, connection

    def _close(self, host: str, process: str, connection: ClientConnection, time: int) -> None:
        """Keep of a connection that ended no more than that it was counted."""
        if connection.ended or not process:
            return
        self._drop(host, process)
        if len(self._ended) >= MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[process] = ClientConnection(time, connection.port, counted=True, ended=True)

    def _drop(self, host: str, process: str) -> None:
        connections = self._open.get(host, _NONE)
        if process not in connections:
            return
        del connections[process]
        self._size -= 1
        if self._ranking is not None:
            self._ranking.move(host, len(connections) + 1, len(connections))
            if self._size < MOST_OPEN // 2:
                self._ranking = None
        if not connections:
            del self._open[host]

    def _forget(self, host: str, now: int) -> None:
        """Drop what is too old by the host's own time, and more where there are too many."""
        connections, ended = self._open.get(host, _NONE), self._ended
        while connections and now - next(iter(connections.values())).begun > LONGEST:
            self._drop(host, next(iter(connections)))
        while ended and now - next(iter(ended.values())).begun > LONGEST:
            process = next(iter(ended))
            if not process.startswith(f"{host} "):
                break
            del ended[process]
        if self._size < MOST_OPEN:
            return
        if self._ranking is None:
            self._ranking = SizeRanking((name, len(known)) for name, known in self._open.items())
        while self._size >= MOST_OPEN:
            # who floods loses its own
            largest = self._ranking.largest()
            self._drop(largest, next(iter(self._open[largest])))
            self.forgotten += 1


def _learn(connection: ClientConnection, user: str | None, address: str | None) -> None:
    """Keep the user and the first address that a line tells, cut to what memory may hold."""
    if user is not None:
        connection.user = user[:_LONGEST_USER]
    if address is not None and connection.address is None:
        connection.address = address[:_LONGEST_ADDRESS]


def _fail(
    connection: ClientConnection, rule: CompiledRule, values: CapturedValues, count: int
) -> Classification:
    action, outcome, method, reason = classification = rule.fixed
    told = None
    if rule.at_method >= 0:
        told = values[rule.at_method]
        method = method_of(told)
        classification = (action, outcome, method, reason)
    if method in _OFFERS or told == _UNKNOWN:
        connection.offered = method
        return "offer", outcome, method, reason
    by_pam = method == _BY_PAM and (told or "").endswith("/pam")
    if by_pam and (connection.pam_told > 0 or connection.counted):
        # PAM told the answer itself; without that the account was refused after a right one,
        # and at LogLevel INFO only the end of the connection says so: once
        connection.pam_told = max(0, connection.pam_told - count)
        return "authentication", outcome, method, reason
    connection.counted = True
    return classification


def _learned(connection: ClientConnection, user: str | None, address: str | None) -> Learned:
    """The user and the address of a connection, where the line itself has none."""
    missing_user = connection.user if user is None else None
    if connection.address is None or address:
        return NOTHING_LEARNED if not missing_user else (missing_user, None)
    return missing_user or None, classify_address(connection.address)[0]


def classifications_of(rule: CompiledRule) -> set[Classification]:
    """All that a line of the rule can be judged to be."""
    action, outcome, method, reason = rule.fixed
    if rule.ignore:
        return set()
    found: set[Classification] = set()
    methods = [m for m in METHODS if m] if rule.captures("method") else [method]
    if rule.step == "failed":
        offers = _OFFERS | ({_UNKNOWN} if rule.captures("method") else set())
        found |= {("offer", outcome, m, reason) for m in offers}
        found.add(("authentication", outcome, _BY_PAM, reason))
        methods = [m for m in methods if m not in _OFFERS]
    elif rule.step == "end":
        found |= {("login", "failure", m, reason) for m in (*_OFFERS, _UNKNOWN)}
    return found | {(action, outcome, m, reason) for m in methods}


def label_sets(rulebook: Rulebook) -> set[tuple[str, str, str, str]]:
    """Every (program, action, outcome, method) that can come of programs with rules of their own.

    They are shown at zero from the start, so that ``increase()`` sees the first event.
    """
    return {
        (program.name, action, outcome, method)
        for program in rulebook.programs.values()
        for rule in program.own_rules
        for action, outcome, method, _ in classifications_of(rule)
    }

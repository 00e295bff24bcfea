"""Decide what is a login attempt: answers count, offers of keys do not.

sshd logs one failed login in up to five lines, fewer at LogLevel INFO than at VERBOSE, and an ssh
client with an agent offers several keys before the right one. For each connection (host, program
and process id), a line is classified as a login, an offer, or an event with an action of its own.
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
"""A connection is forgotten after ten minutes of log time, because process ids are reused."""
LINGER: Final = 10 * SECOND
"""How long after the end of a connection further end lines without a port belong to it."""
MOST_OPEN: Final = 4_000
"""Far more than sshd allows on many hosts (MaxStartups: 100), and 2 MB at most."""
MOST_ENDED: Final = 1_000
"""Number of ended connections kept, so that no second end line counts: 50 bytes each."""
_LONGEST_USER: Final = 256
_LONGEST_ADDRESS: Final = 64
_OFFERS: Final = frozenset({"publickey", "none", "hostbased"})
_UNKNOWN: Final = "unknown"
"""The method that sshd's monitor logs for a key or host offered for an unknown account."""
_ENDS: Final = frozenset({"end", "accepted"})
_BY_PAM: Final = "keyboard-interactive"

Classification = tuple[str, str, str, str]
"""Action, outcome, method and reason."""


class ClientConnection(msgspec.Struct, array_like=True, gc=False):
    """The state of a connection; ``user`` and ``address`` are for an end line without them.

    ``begun`` is when it started or, if ``ended``, when it ended.
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
"""User and IP address from earlier lines of a connection; None if the line has its own."""
NOTHING_LEARNED: Final[Learned] = (None, None)

_State = tuple[dict[str, dict[str, ClientConnection]], dict[str, ClientConnection]]
_Connections = OrderedDict[str, ClientConnection]
"""Not a dict, because the first entry is read and deleted all the time, and a dict has to skip the
slots of all deleted entries before it."""
_NONE: Final = _Connections()


class LoginAttempts:
    """The connections of a source; ``classify`` classifies a line in its connection.

    Open connections are grouped by host, because the clocks of hosts differ. The keys of open and
    ended connections are host, program and process id, oldest first.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Connections] = {}
        self._ended = _Connections()
        self._size = 0
        self._ranking: SizeRanking | None = None  # only while connections have to be evicted
        self._dumped: bytes | None = None
        self.forgotten = 0

    def dump(self) -> bytes:
        """Return the connections, encoded for the store; the same object if nothing changed."""
        if self._dumped is None:
            self._dumped = msgspec.msgpack.encode((self._open, self._ended))
        return self._dumped

    def restore(self, data: bytes) -> None:
        """Restore the result of ``dump``."""
        known, ended = msgspec.msgpack.decode(data, type=_State)
        self._open = {host: _Connections(connections) for host, connections in known.items()}
        self._ended = _Connections(ended)
        self._size = sum(map(len, self._open.values()))
        self._ranking = None
        self._dumped = None

    def adopt(self, data: bytes, before: int) -> None:
        """Add connections from another ``dump`` that started before ``before`` (ns)."""
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

        ``values`` are what ``rule`` captured in the line of ``record``; ``count`` is the repeat
        count of syslog. A connection ends only once.
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
        """Return the connection of a process, or a new one if the process id was reused.

        A new one is not kept if this ``step`` ends it.
        """
        connections = self._open.get(host)
        found = (connections and connections.get(process)) or self._ended.get(process)
        if found is not None:
            before = found.port
            known = port is not None and before is not None
            # process id and port are both reused within minutes only very rarely
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
        """Return the connection of a line without a process id, by address and port, and its key.

        PAM logs only the address: its lines belong to the next connection from there. Lines without
        an address leave no state.
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
        """Forget everything about an ended connection except that it was counted."""
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
        """Drop connections that are too old by the host's time, and more if there are too many."""
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
            # the host that causes the flood loses its own connections
            largest = self._ranking.largest()
            self._drop(largest, next(iter(self._open[largest])))
            self.forgotten += 1


def _learn(connection: ClientConnection, user: str | None, address: str | None) -> None:
    """Remember the user and the first address of a connection, truncated."""
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
        # PAM logged the answer itself. Otherwise the account was refused after a correct answer,
        # and at LogLevel INFO only the end of the connection shows it, once
        connection.pam_told = max(0, connection.pam_told - count)
        return "authentication", outcome, method, reason
    connection.counted = True
    return classification


def _learned(connection: ClientConnection, user: str | None, address: str | None) -> Learned:
    """Return user and address of a connection that the line itself lacks."""
    missing_user = connection.user if user is None else None
    if connection.address is None or address:
        return NOTHING_LEARNED if not missing_user else (missing_user, None)
    return missing_user or None, classify_address(connection.address)[0]


def classifications_of(rule: CompiledRule) -> set[Classification]:
    """Return all classifications that a line of the rule may have."""
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
    """Return every (program, action, outcome, method) of programs with rules of their own.

    They are exposed at zero from the start, so that ``increase()`` sees the first event.
    """
    return {
        (program.name, action, outcome, method)
        for program in rulebook.programs.values()
        for rule in program.own_rules
        for action, outcome, method, _ in classifications_of(rule)
    }

"""A rule ready to use, and what it finds in a message."""

from collections.abc import Callable
from re import Match
from typing import Final, Literal

import msgspec

from heptad.core.event import METHODS
from heptad.exporter.normalize.field_encoding import (
    FieldEncoder,
    classify_address,
    is_port,
    name_terminal,
)
from heptad.exporter.parsing.escapes import undo_rust, undo_vis
from heptad.exporter.parsing.patterns import expand_macros
from heptad.exporter.parsing.rule_file import NUMBERS, Escapes, ParsingRule, compile_rule

UnknownUserHint = Literal["nobody", "somebody", "asks"]
"""Of a line: no account was meant, one was, or there is a name that may be either's."""
_ASKS: Final = frozenset(("login", "authentication", "authorization", "not_allowed", "disconnect"))

_OF_USERS: Final = frozenset(
    ("privilege", "command", "forwarding", "session_open", "session_close", "authorization")
)
"""Actions of users who are known: what such a line quotes is theirs, and hides no evidence."""

_METHOD_NAMES: Final[dict[str, str]] = {
    **{name: name for name in METHODS if name},
    "keyboard-interactive/pam": "keyboard-interactive",
    "keyboard-interactive/bsdauth": "keyboard-interactive",
    "keyboard-interactive/skey": "keyboard-interactive",
    "gssapi-with-mic": "gssapi",
    "gssapi-keyex": "gssapi",
    "challenge-response": "challenge",
    "challenge-response/pam": "keyboard-interactive",
    "dsa": "publickey",
    "rsa": "publickey",
    "rhosts-rsa": "hostbased",
    "rhosts": "hostbased",
    "kerberos": "gssapi",
    "external-keyx": "gssapi",
    "tis": "challenge",
    "pubkey": "publickey",
}


CapturedValues = tuple[str | None, ...]
"""What the groups of a pattern captured, in the pattern's order."""

_BY_CHILD: Final = " [preauth]"


class CompiledRule:
    """A rule ready to use: ``fullmatch`` a message, then the places of its groups.

    ``at_…`` is the place of a group in the captured values; -1 where the pattern lacks it.
    ``at_unknown`` is that of a name that is no account's, None where the rule does not say so; then
    with ``may_tell_unknown`` the message itself may. These, ``groups`` and ``write`` are there
    once a message was matched: the pattern is compiled then, for a log needs a few dozen of
    hundreds of rules, and to compile them all takes longer than everything else at a start.
    """

    groups: dict[str, int]
    at_user: int
    at_address: int
    at_port: int
    at_method: int
    at_count: int
    at_child: int
    at_unknown: int | None
    may_tell_unknown: bool
    part: UnknownUserHint | None
    is_fixed: bool
    is_settled: bool
    write: Callable[[CapturedValues, str], str]

    def __init__(self, rule: ParsingRule, escapes: Escapes = "") -> None:
        self.rule = rule
        self.escapes = rule.escapes or escapes
        self.name = rule.name
        self.ignore = rule.ignore
        self.step = rule.step
        self.fixed = (rule.action, rule.outcome, rule.method, rule.reason)
        self.fullmatch: Callable[[str], Match[str] | None] = self._compile_and_match

    def _compile_and_match(self, message: str) -> Match[str] | None:
        """What ``fullmatch`` is until it was called once."""
        rule, pattern = self.rule, compile_rule(self.rule)
        self.groups = {name: number - 1 for name, number in pattern.groupindex.items()}
        at = self.groups.get
        self.at_user, self.at_address = at("user", -1), at("address", -1)
        self.at_port, self.at_method = at("source_port", -1), at("method", -1)
        self.at_count, self.at_child = at("count", -1), at("child_pid", -1)
        self.at_unknown = self._find_unknown()
        self.may_tell_unknown = rule.action not in _OF_USERS
        self.part = _part_of(rule, names=self.at_user >= 0)
        varies = self.ignore or self.step or self.at_count >= 0 or self.at_method >= 0
        self.is_fixed = not varies
        self.is_settled = self.is_fixed and self.part != "nobody"
        self.write = FieldEncoder(self.groups, rule.object).write
        self.fullmatch = pattern.fullmatch
        return pattern.fullmatch(message)

    def find(self, match: Match[str], message: str) -> "RuleMatch":
        """What ``match`` of ``message``, in which is a backslash, tells of the accounts' names."""
        values = match.groups()
        if self.escapes:
            values = self._undo_escapes(values, message)
        return RuleMatch(self, values)

    def _undo_escapes(self, values: CapturedValues, message: str) -> CapturedValues:
        known = list(values)
        if self.escapes == "vis":
            for place in (self.at_user, self.groups.get("target_user", -1)):
                if place >= 0 and (name := values[place]):
                    known[place] = undo_vis(name, by_child=message.endswith(_BY_CHILD))
        elif (place := self.groups.get("target_user", -1)) >= 0 and (name := values[place]):
            known[place] = undo_rust(name)
        return tuple(known)

    def _find_unknown(self) -> int | None:
        if self.rule.reason == "invalid_user":
            return self.at_user
        if self.rule.reason == "does_not_exist" and "object" not in self.groups:
            return self.groups.get("target_user", -1)
        return None

    def classify(self, values: CapturedValues) -> tuple[str, str, str, str]:
        """Action, outcome, method and reason of a line, apart from its connection."""
        action, outcome, method, reason = self.fixed
        if self.at_method >= 0:
            method = method_of(values[self.at_method])
        return action, outcome, method, reason

    def captures(self, name: str) -> bool:
        """Whether the pattern has a group of that name."""
        return f"(?P<{name}>" in expand_macros(self.rule.pattern)

    def facts(self, values: CapturedValues) -> dict[str, str | int]:
        """What ``values`` tell beyond the fixed fields, as an example lists them."""
        facts: dict[str, str | int] = {}
        for name, place in self.groups.items():
            text = values[place]
            if text is None:
                continue
            if name == "address":
                ip, domain = classify_address(text)
                facts |= {"source_ip": ip} if ip else {}
                facts |= {"source_domain": domain} if domain else {}
            elif name == "source_port":
                facts |= {"source_port": int(text)} if is_port(text) else {}
            elif name == "method":
                facts["method"] = method_of(text)
            elif name in NUMBERS:
                facts[name] = int(text)
            elif name == "tty":
                facts["tty"] = name_terminal(text)
            else:
                facts[name] = text
        return facts


def _part_of(rule: ParsingRule, *, names: bool) -> UnknownUserHint | None:
    """What a line tells of the account that was meant; None if nothing."""
    if rule.reason == "invalid_user":
        return "nobody"
    if rule.step is not None or rule.ignore:
        return None  # daemons of many lines say it themselves, in each
    if rule.outcome == "success":
        return "somebody" if names else None
    return "asks" if rule.outcome == "failure" and rule.action in _ASKS else None


class RuleMatch(msgspec.Struct, gc=False):
    """The rule that understood a message, what it captured, and that as line-protocol fields.

    ``masked`` is what ``masked_by`` (exporter.privacy) made of it, None where it is as it was;
    with ``hides_line`` the line itself is not to be kept. ``head`` is the head of its event at
    ``where`` (heptad.exporter.normalize.normalizer) if that follows from the message alone.
    ``text`` is the message without what was around it (heptad.exporter.parsing.wrapping), None
    where nothing was, and ``pid`` the process that was told there.
    """

    rule: CompiledRule
    values: CapturedValues
    hides_line: bool = False
    masked: "RuleMatch | None" = None
    masked_by: object = None
    written: str | None = None
    origin: object = None
    series: str = ""
    text: str | None = None
    pid: str | None = None

    def write(self, message: str) -> str:
        """``,name=value`` for every value of ``message``, which is what was understood.

        Kept as ``written``.
        """
        self.written = written = self.rule.write(self.values, message)
        return written

    def write_as(self, values: CapturedValues, message: str) -> None:
        """Keep as ``written`` other values than those by which attempts are judged."""
        self.written = self.rule.write(values, message)


def method_of(text: str | None) -> str:
    """The vocabulary's word for what a daemon calls a method."""
    return _METHOD_NAMES.get(text or "", "unknown")

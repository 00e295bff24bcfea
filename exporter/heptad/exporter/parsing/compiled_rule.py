"""A compiled rule, and its match of a message."""

from collections.abc import Callable
from re import Match
from typing import Final, Literal

import msgspec

from heptad.core.event import METHODS
from heptad.core.store.event_row import Content, encode_content
from heptad.core.store.line_protocol import needs_escape
from heptad.exporter.parsing.captured_fields import (
    classify_address,
    is_port,
    make_reader,
    name_terminal,
)
from heptad.exporter.parsing.escapes import undo_rust, undo_vis
from heptad.exporter.parsing.patterns import expand_macros
from heptad.exporter.parsing.rule_file import NUMBERS, Escapes, ParsingRule, compile_rule

UnknownUserHint = Literal["nobody", "somebody", "asks"]
"""Whether a line is about an unknown account, an existing one, or a name that may be either."""
_ASKS: Final = frozenset(("login", "authentication", "authorization", "not_allowed", "disconnect"))

_OF_USERS: Final = frozenset(
    ("privilege", "command", "forwarding", "session_open", "session_close", "authorization")
)
"""Actions of existing users: quoted text is theirs, and does not indicate an unknown account."""

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
"""The values of a pattern's groups, in the pattern's order."""

_BY_CHILD: Final = " [preauth]"


class CompiledRule:
    """A rule whose ``fullmatch`` matches messages, and the places of its groups.

    ``at_…`` is the place of a group in the captured values; -1 if the pattern lacks it.
    ``at_unknown`` is that of the name of an unknown account, None if the rule does not say so; with
    ``may_tell_unknown``, the message may say so. These attributes, ``groups`` and ``read`` are set
    by the first call of ``fullmatch``, which compiles the pattern: a log needs only a few dozen of
    hundreds of rules, and compiling them all would take longer than the rest of the start.
    """

    # slots, because an instance with more attributes than 20 is slow to read
    __slots__ = (
        "at_address",
        "at_child",
        "at_count",
        "at_method",
        "at_port",
        "at_unknown",
        "at_user",
        "escapes",
        "fixed",
        "fullmatch",
        "groups",
        "has_plain_object",
        "ignore",
        "is_fixed",
        "is_settled",
        "may_tell_unknown",
        "name",
        "part",
        "read",
        "rule",
        "step",
    )
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
    read: Callable[[CapturedValues], Content]
    has_plain_object: bool

    def __init__(self, rule: ParsingRule, escapes: Escapes = "") -> None:
        self.rule = rule
        self.escapes = rule.escapes or escapes
        self.name = rule.name
        self.ignore = rule.ignore
        self.step = rule.step
        self.fixed = (rule.action, rule.outcome, rule.method, rule.reason)
        self.fullmatch: Callable[[str], Match[str] | None] = self._compile_and_match

    def _compile_and_match(self, message: str) -> Match[str] | None:
        """The initial ``fullmatch``, which replaces itself."""
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
        self.read = make_reader(self.groups, rule.object)
        self.has_plain_object = not needs_escape(rule.object or "")
        self.fullmatch = pattern.fullmatch
        return pattern.fullmatch(message)

    def find(self, match: Match[str], message: str) -> "RuleMatch":
        """Create the match for a ``message`` with a backslash; names in it may be escaped."""
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
        """Return action, outcome, method and reason of a line without regard to its connection."""
        action, outcome, method, reason = self.fixed
        if self.at_method >= 0:
            method = method_of(values[self.at_method])
        return action, outcome, method, reason

    def captures(self, name: str) -> bool:
        """Return whether the pattern has a group with this name."""
        return f"(?P<{name}>" in expand_macros(self.rule.pattern)

    def facts(self, values: CapturedValues) -> dict[str, str | int]:
        """Return the facts in ``values`` beyond the fixed fields, as an example lists them."""
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
    """Return what a line says about the account; None if nothing."""
    if rule.reason == "invalid_user":
        return "nobody"
    if rule.step is not None or rule.ignore:
        return None  # daemons with several lines per login log it themselves, in each line
    if rule.outcome == "success":
        return "somebody" if names else None
    return "asks" if rule.outcome == "failure" and rule.action in _ASKS else None


class RuleMatch(msgspec.Struct, gc=False):
    """A rule that matched a message, and the values that its pattern captured.

    ``shown`` are the values of the event if they differ from ``values``, by which login attempts
    are counted. ``masked`` is the match that ``masked_by`` (a Privacy) allows to store, None if
    that is this one; with ``hides_line``, the raw line must not be stored. ``text`` is the message
    without its wrapping (heptad.exporter.parsing.wrapping), None if it has none; ``pid`` is the
    process id found there. ``fields`` are the fields of the event, and ``content`` the same encoded
    for the store. ``accepted_from`` is the origin of the last line with this message that became an
    event, if only message and origin decided that, and ``series`` is the series of that event.
    """

    rule: CompiledRule
    values: CapturedValues
    shown: CapturedValues | None = None
    hides_line: bool = False
    masked: "RuleMatch | None" = None
    masked_by: object = None
    text: str | None = None
    pid: str | None = None
    fields: Content | None = None
    content: str = ""
    accepted_from: object = None
    series: str = ""

    def read(self, message: str) -> Content:
        """Return the fields of the event; cache them in ``fields`` and ``content``.

        ``message`` is the message from which all values were captured.
        """
        values = self.values if self.shown is None else self.shown
        self.fields = fields = self.rule.read(values)
        plain = self.rule.has_plain_object and not needs_escape(message)
        self.content = encode_content(fields, plain)
        return fields


def method_of(text: str | None) -> str:
    """Return the vocabulary's word for a daemon's name of a method."""
    return _METHOD_NAMES.get(text or "", "unknown")

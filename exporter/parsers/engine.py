"""Rules are data: compile them once, reach the right rule fast, say what it found.

A rule reaches a message by the program that wrote it and by the message's first word, so
hundreds of rules cost no more than a handful. A pattern must match the whole message.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from re import Match
from typing import Final, Literal

import msgspec

from exporter.parsers import sudo_json
from exporter.parsers.binaries import Binaries
from exporter.parsers.escapes import undo_rust, undo_vis
from exporter.parsers.patterns import expand_macros, first_words, longest_literal
from exporter.parsers.rule_file import (
    BUILT_IN,
    NUMBERS,
    Escapes,
    Example,
    Rule,
    RuleFile,
    compile_rule,
    load_rule_files,
)
from exporter.parsers.wrapping import BLANKS, ESCAPE, FIRST, cut_begin, cut_end
from exporter.rendering import Rendering, classify_address, is_port, name_terminal
from heptad.event import METHODS

Part = Literal["nobody", "somebody", "asks"]
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


Values = tuple[str | None, ...]
"""What the groups of a pattern captured, in the pattern's order."""

_BY_CHILD: Final = " [preauth]"
_OLD_PAM: Final = "(pam_"
_SHORT: Final = 256
_RECENT: Final = 256
"""More than half of the messages of real logs stood among the last few hundred different ones:
so many, up to so many characters each, are remembered with what they were understood as."""


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
    part: Part | None
    is_fixed: bool
    is_settled: bool
    write: Callable[[Values, str], str]

    def __init__(self, rule: Rule, escapes: Escapes = "") -> None:
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
        self.write = Rendering(self.groups, rule.object).write
        self.fullmatch = pattern.fullmatch
        return pattern.fullmatch(message)

    def find(self, match: Match[str], message: str) -> "Found":
        """What ``match`` of ``message`` tells, its names as the accounts have them."""
        values = match.groups()
        if self.escapes and "\\" in message:
            values = self._undo_escapes(values, message)
        return Found(self, values)

    def _undo_escapes(self, values: Values, message: str) -> Values:
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

    def judge(self, values: Values) -> tuple[str, str, str, str]:
        """Action, outcome, method and reason of a line, apart from its connection."""
        action, outcome, method, reason = self.fixed
        if self.at_method >= 0:
            method = method_of(values[self.at_method])
        return action, outcome, method, reason

    def captures(self, name: str) -> bool:
        """Whether the pattern has a group of that name."""
        return f"(?P<{name}>" in expand_macros(self.rule.pattern)

    def facts(self, values: Values) -> dict[str, str | int]:
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


def _part_of(rule: Rule, *, names: bool) -> Part | None:
    """What a line tells of the account that was meant; None if nothing."""
    if rule.reason == "invalid_user":
        return "nobody"
    if rule.step is not None or rule.ignore:
        return None  # daemons of many lines say it themselves, in each
    if rule.outcome == "success":
        return "somebody" if names else None
    return "asks" if rule.outcome == "failure" and rule.action in _ASKS else None


class Found(msgspec.Struct, gc=False):
    """The rule that understood a message, what it captured, and that as line-protocol fields.

    ``masked`` is what ``masked_by`` (exporter.privacy) made of it, None where it is as it was;
    with ``hides_line`` the line itself is not to be kept. ``head`` is the head of its event at
    ``where`` (exporter.interpreter) if that follows from the message alone. ``text`` is the message
    without what was around it (exporter.parsers.wrapping), None where nothing was, and ``pid`` the
    process that was told there.
    """

    rule: CompiledRule
    values: Values
    hides_line: bool = False
    masked: "Found | None" = None
    masked_by: object = None
    written: str | None = None
    where: object = None
    head: str = ""
    text: str | None = None
    pid: str | None = None

    def write(self, message: str) -> str:
        """``,name=value`` for every value of ``message``, which is what was understood.

        Kept as ``written``.
        """
        self.written = written = self.rule.write(self.values, message)
        return written

    def write_as(self, values: Values, message: str) -> None:
        """Keep as ``written`` other values than those by which attempts are judged."""
        self.written = self.rule.write(values, message)


def method_of(text: str | None) -> str:
    """The vocabulary's word for what a daemon calls a method."""
    return _METHOD_NAMES.get(text or "", "unknown")


class Program:
    """The rules of one program, reachable by a message's first word."""

    def __init__(self, file: RuleFile, shared: Iterable[CompiledRule] = ()) -> None:
        self.name = file.program
        self.exe = Binaries(file.exe)
        self.runs_as = file.runs_as
        self.setuid = Binaries(file.setuid)
        self.pam_only = not file.rules
        self.transport = file.transport
        self.complete = file.complete
        self.own_rules = tuple(CompiledRule(rule, file.escapes) for rule in file.rules)
        self._json = file.json
        self.rules = (*self.own_rules, *shared)
        self.recent: dict[str, Found | None] = {}
        self._words: dict[str, list[CompiledRule]] = {}
        self._rest: list[CompiledRule] = []
        self._asked: dict[str, tuple[tuple[str, CompiledRule], ...]] = {}

    def trust(self, paths: Sequence[str], accounts: Sequence[str]) -> None:
        """Believe it from more ``paths`` and as more ``accounts``; root's rights stay required."""
        self.exe = self.exe.beside(paths)
        if self.setuid:
            self.setuid = self.setuid.beside(paths)
        self.runs_as = (*self.runs_as, *accounts)

    def read(self, message: str) -> Found | None:
        """The first rule that understands ``message``, and what it captured; None if none does."""
        recent = self.recent
        if message in recent:
            return recent[message]
        text, pid = message, None
        if message[:1] == FIRST:
            text, pid = cut_begin(message, self.name)
        found = self._read_alone(text)
        if found is None and (text[-1:] in BLANKS or text[-4:-2] == ESCAPE):
            text = cut_end(text)
            found = self._read_alone(text)
        if found is not None and text is not message:
            found.text, found.pid = text, pid
        if len(message) <= _SHORT:
            if len(recent) >= _RECENT:
                recent.clear()
            recent[message] = found
        return found

    def _read_alone(self, text: str) -> Found | None:
        found = None
        if self._json and text.startswith(sudo_json.PREFIX):
            found = self._read_json(text)
        return found or self._read_text(text)

    def _read_text(self, message: str) -> Found | None:
        if message.startswith(_OLD_PAM):  # Debian's, 2005 to 2008: no service
            module, _, rest = message[1:].partition(") ")
            message = f"{module}(): {rest}"
        word = message.partition(" ")[0]
        if "(" in word:
            word = word.partition("(")[0]
        for literal, rule in self._asked.get(word) or self._rules_for(word):
            # a look for the pattern's longest text costs a fifth of a match that fails
            if literal in message:
                match = rule.fullmatch(message)
                if match is not None:
                    return rule.find(match, message)
        return None

    def _read_json(self, message: str) -> Found | None:
        told = sudo_json.read_json(message)
        if told is None:
            return None
        line, known = told
        found = self._read_text(line)
        if found is None:
            return None
        values = list(found.values)
        for name, place in found.rule.groups.items():
            values[place] = known.get(name, values[place])
        return Found(found.rule, tuple(values))

    def _rules_for(self, word: str) -> tuple[tuple[str, CompiledRule], ...]:
        """The rules to ask about a message, and a text that each looks for; made when needed."""
        if not self._asked:
            self._sort_by_word()
        word = word if word in self._words else ""
        if word not in self._asked:
            rules = (*self._words.get(word, ()), *self._rest)
            texts = (longest_literal(expand_macros(rule.rule.pattern)) for rule in rules)
            self._asked[word] = tuple(zip(texts, rules, strict=True))
        return self._asked[word]

    def _sort_by_word(self) -> None:
        for rule in self.rules:
            words = rule.rule.first or first_words(rule.rule.pattern)
            for word in words:
                self._words.setdefault(word, []).append(rule)
            if not words:
                self._rest.append(rule)


class Rulebook:
    """Every program's rules; ``programs`` maps the name in a log to the program.

    ``pam``, also the program of that name, has the rules for programs that are listed nowhere.
    """

    def __init__(self, files: Iterable[RuleFile]) -> None:
        files = list(files)
        shared = [CompiledRule(rule) for file in files if file.shared for rule in file.rules]
        own = [file for file in files if not file.shared]
        named = {name for file in own for name in (file.program, *file.aliases)}
        for file in files:
            if file.shared:
                extra = [name for name in file.programs if name not in named]
                own += [_pam_only(name, file) for name in extra]
        self.programs: dict[str, Program] = {}
        for file in own:
            program = Program(file, shared)
            for name in (file.program, *file.aliases):
                self.programs[name] = program
        self.pam = next((_unlisted(file, shared) for file in files if file.shared), None)
        if self.pam is not None:
            self.programs[self.pam.name] = self.pam

    def names(self) -> list[str]:
        """The normalised name of every program."""
        return sorted({program.name for program in self.programs.values()})


def _unlisted(file: RuleFile, shared: Iterable[CompiledRule]) -> Program:
    """The ``shared`` rules of ``file`` for programs of which no file speaks."""
    return Program(RuleFile(program=file.program, rules=[], complete=False, exe=file.exe), shared)


def _pam_only(name: str, shared: RuleFile) -> RuleFile:
    setuid = [path for path in shared.setuid if path.endswith(f"/{name}")]
    return RuleFile(program=name, rules=[], complete=False, exe=shared.exe, setuid=setuid)


def load_rulebook(folders: Iterable[Path] = ()) -> Rulebook:
    """The built-in rules and those of ``folders``; a later file of a program replaces an earlier.

    Raises DocumentError with everything that is wrong in any of the files.
    """
    return Rulebook(load_rule_files([BUILT_IN, *folders], unchecked=BUILT_IN))


def check_examples(files: Iterable[RuleFile]) -> list[str]:
    """Run every example and every reject of ``files``; a sentence for each that does not hold."""
    files = list(files)
    book = Rulebook(files)
    faults = []
    for file in files:
        # a shared file is judged through any program: they all have its rules
        program = book.programs[file.program] if not file.shared else Program(file)
        for rule in file.rules:
            faults += [
                f"{file.program}/{rule.name}: {fault}"
                for example in rule.examples
                if (fault := _check_example(program, rule, example))
            ]
        faults += [
            f"{file.program}: understood by {found.rule.name}, must not be: {message!r}"
            for message in file.rejects
            if (found := program.read(message))
        ]
    return faults


def _check_example(program: Program, rule: Rule, example: Example) -> str | None:
    found = program.read(example.message)
    if found is None:
        return f"no rule understands {example.message!r}"
    if found.rule.rule is not rule:
        return f"{example.message!r} is taken by the rule {found.rule.name}"
    facts = found.rule.facts(found.values)
    if facts != example.facts:
        return f"{example.message!r} gives {facts}, not {example.facts}"
    return None

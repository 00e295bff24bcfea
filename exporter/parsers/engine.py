"""Rules are data: compile the rule files once, reach the right rule fast, say what it found.

A rule reaches a message by the program that wrote it and by the message's first word, so
hundreds of rules cost no more than a handful. A pattern must match the whole message.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from heptad import document
from heptad.document import DocumentError, Problem
from heptad.event import ACTIONS, METHODS, OUTCOMES, REASONS

BUILT_IN: Final = Path(__file__).parent / "rules"

Step = Literal["start", "name", "failed", "pam_failed", "accepted", "end"]
STEPS: Final[dict[str, str]] = {
    "start": "a connection begins",
    "name": "a user is named, nothing is answered yet",
    "failed": "an answer or an offer was refused, by the captured method",
    "pam_failed": "an answer was refused, told by PAM before the daemon tells it",
    "accepted": "the login succeeded",
    "end": "the connection ended",
}

GROUPS: Final = frozenset(
    "user target_user address source_port tty object method count child_pid".split()
)
_MACROS: Final[dict[str, str]] = {
    "address": r"(?P<address>[0-9A-Fa-f:.]+(?:%[\w.-]{1,32})?|UNKNOWN)",
    "port": r"(?P<source_port>\d{1,5})",
    "peer": r"(?P<address>[0-9A-Fa-f:.]+(?:%[\w.-]{1,32})?|UNKNOWN)(?: port (?P<source_port>\d{1,5}))?",
    "preauth": r"(?: \[preauth\])?",
    "ssh_method": (
        r"(?P<method>none|password|publickey|hostbased|gssapi-with-mic|gssapi-keyex|rsa|rhosts-rsa"
        r"|(?:keyboard-interactive|challenge-response)(?:/[\w-]{1,32})?)"
    ),
    "key": r"[\w.@-]{1,64} (?:(?P<object>[A-Za-z0-9+/=:]{8,200})|\(null\))",
    # pam_unix, _unix_verify_password: sshd sets no ruser, so the first rhost is the daemon's;
    # elsewhere ruser and user may be what a client typed, so there may be but one
    "pam_peer": (
        r"logname=[^ ]* uid=-?\d+ euid=-?\d+ tty=(?:(?:NODEV)?ssh ruser= rhost="
        r"|(?:/dev/)?(?:(?P<tty>(?:pts/|tty|hvc|:)[\w.]+|console)|[^ ]*)"
        r" ruser=[^ ]*+(?: (?!rhost=)[^ ]*+)*+ rhost=(?!.* rhost=))(?P<address>[^ ]*)"
    ),
    # sudo, new_logline: the directory and the command are the user's, so nothing that comes
    # after them is believed where the name of a field occurs twice
    "sudo_user": r" *(?P<user>[^:\s][^:]{0,255}?) : ",
    "sudo_tty": r"(?:HOST=[^ ;]+ ; )?(?:TTY=(?:unknown|(?P<tty>[^ ;]+)) ; )?",
    "sudo": (
        r"(?:(?:CHROOT|PWD)=[^ ]*+(?: (?!; USER=)[^ ]*+)*+ ; )?"
        r"USER=(?P<target_user>[^;]{1,256}?) ; (?:GROUP=[^;]{1,256}? ; )?(?:TSID=[^ ;]+ ; )?"
        r"(?:ENV=[^ ]*+(?: (?!; (?:USER|COMMAND)=)[^ ]*+)*+ ; )?"
        r"COMMAND=(?P<object>[^ ]*+(?: (?!; (?:USER|COMMAND)=)[^ ]*+)*+)"
    ),
}
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
    "pubkey": "publickey",
}


class Example(msgspec.Struct, forbid_unknown_fields=True):
    """A real message and exactly the facts that it must give."""

    message: str
    facts: dict[str, str | int] = {}


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """One message of a program: a pattern with named groups, the fixed fields and examples."""

    name: str
    pattern: str
    examples: list[Example]
    action: str = ""
    outcome: str = "unknown"
    method: str = ""
    reason: str = ""
    object: str | None = None
    ignore: bool = False
    step: Step | None = None
    first: list[str] = []
    runs_as: Literal["program", "any"] = "program"
    note: str = ""


class RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    """The rules of one program.

    ``aliases`` are the other names it logs under; ``exe`` the paths of its binary and
    ``runs_as`` the accounts it runs as, by which the journal vouches for it. A ``shared`` file
    holds for every program (PAM), and for the ``programs`` it names that have no rules of
    their own. ``complete: false`` says that only some of the program's lines are of interest.
    """

    program: str
    rules: list[Rule]
    aliases: list[str] = []
    exe: list[str] = []
    runs_as: tuple[str, ...] = ("root",)
    transport: Literal["any", "kernel"] = "any"
    shared: bool = False
    programs: list[str] = []
    complete: bool = True
    rejects: list[str] = []


class CompiledRule:
    """A rule ready to use: ``read`` gives the facts of a message, or None."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.name = rule.name
        self.ignore = rule.ignore
        self.object = rule.object
        self.step = rule.step
        self.fixed = (rule.action, rule.outcome, rule.method, rule.reason)
        pattern = re.compile(expand_macros(rule.pattern), re.ASCII)
        self.fullmatch: Callable[[str], re.Match[str] | None] = pattern.fullmatch
        groups = pattern.groupindex
        self.captures_method = "method" in groups
        self.converts: tuple[Callable[[dict[str, Any]], None], ...] = tuple(
            convert for group, convert in _CONVERSIONS if group in groups
        )

    def read(self, message: str) -> dict[str, Any] | None:
        """The facts that ``message`` gives beyond the rule's fixed fields; None if no match."""
        found = self.fullmatch(message)
        if found is None:
            return None
        facts = found.groupdict()
        for convert in self.converts:
            convert(facts)
        return facts


def expand_macros(pattern: str) -> str:
    """Replace ``%{name}`` by the fragment of that name (KeyError: no such fragment)."""
    return re.sub(r"%\{(\w+)\}", lambda m: _MACROS[m[1]], pattern)


@lru_cache(maxsize=8192)
def _classify_address(text: str) -> tuple[str | None, str | None]:
    """(IP address in its canonical form, None), or (None, name); brackets and zone dropped."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None, (text if text and text != "UNKNOWN" else None)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), None


def _convert_address(facts: dict[str, Any]) -> None:
    text = facts.pop("address")
    if text is not None:
        facts["source_ip"], facts["source_domain"] = _classify_address(text)


def _convert_port(facts: dict[str, Any]) -> None:
    text = facts["source_port"]
    facts["source_port"] = int(text) if text and 0 < int(text) < 65536 else None


def _convert_method(facts: dict[str, Any]) -> None:
    facts["method"] = _METHOD_NAMES.get(facts["method"] or "", "unknown")


def _convert_count(facts: dict[str, Any]) -> None:
    facts["count"] = min(int(facts["count"] or 1), 10**6)


def _convert_child(facts: dict[str, Any]) -> None:
    facts["child_pid"] = int(facts["child_pid"])


_CONVERSIONS: Final = (
    ("address", _convert_address),
    ("source_port", _convert_port),
    ("method", _convert_method),
    ("count", _convert_count),
    ("child_pid", _convert_child),
)


class Program:
    """The rules of one program, reachable by a message's first word."""

    def __init__(self, file: RuleFile, shared: Iterable[CompiledRule] = ()) -> None:
        self.name = file.program
        self.exe = frozenset(file.exe)
        self.runs_as = file.runs_as
        self.transport = file.transport
        self.complete = file.complete
        self.own_rules = tuple(CompiledRule(rule) for rule in file.rules)
        self.rules = (*self.own_rules, *shared)
        words: dict[str, list[CompiledRule]] = {}
        rest: list[CompiledRule] = []
        for rule in self.rules:
            own_words = first_words(rule.rule)
            for word in own_words:
                words.setdefault(word, []).append(rule)
            if not own_words:
                rest.append(rule)
        self._words = {word: tuple(rules) for word, rules in words.items()}
        self._rest = tuple(rest)

    def read(self, message: str) -> tuple[CompiledRule, dict[str, Any]] | None:
        """The first rule that understands ``message``, with its facts; None if none does."""
        for rule in self._words.get(_WORD.match(message)[0], ()):  # type: ignore[index]
            facts = rule.read(message)
            if facts is not None:
                return rule, facts
        for rule in self._rest:
            facts = rule.read(message)
            if facts is not None:
                return rule, facts
        return None


_WORD: Final = re.compile(r"[^ (]*")
_LITERAL_WORD: Final = re.compile(r"((?:[\w:/,;+<>'\"-]|\\[^\w\s(])+)(?= |\\\()")


def first_words(rule: Rule) -> list[str]:
    """The first words a message of ``rule`` can have; empty: any word.

    A word ends at the first blank or opening bracket. It is read off the pattern where that
    begins with plain text; a pattern that begins otherwise names them in ``first``.
    """
    if rule.first:
        return rule.first
    found = _LITERAL_WORD.match(rule.pattern)
    return [re.sub(r"\\(.)", r"\1", found[1])] if found else []


class Rulebook:
    """Every program's rules; ``programs`` maps the name in a log to the program."""

    def __init__(self, files: Iterable[RuleFile]) -> None:
        files = list(files)
        shared = [CompiledRule(rule) for file in files if file.shared for rule in file.rules]
        own = [file for file in files if not file.shared]
        named = {name for file in own for name in (file.program, *file.aliases)}
        for file in files:
            if file.shared:
                extra = [name for name in file.programs if name not in named]
                own += [RuleFile(program=n, rules=[], complete=False, exe=file.exe) for n in extra]
        self.programs: dict[str, Program] = {}
        for file in own:
            program = Program(file, shared)
            for name in (file.program, *file.aliases):
                self.programs[name] = program


def load_rulebook(folders: Iterable[Path] = ()) -> Rulebook:
    """The built-in rules and those of ``folders``; a later file of a program replaces an earlier.

    Raises DocumentError with everything that is wrong in any of the files.
    """
    return Rulebook(load_rule_files([BUILT_IN, *folders]))


def load_rule_files(folders: Iterable[Path]) -> list[RuleFile]:
    """Read every ``*.yaml`` of ``folders``; raises DocumentError with all their problems."""
    files: dict[str, RuleFile] = {}
    problems: list[Problem] = []
    for folder in folders:
        if not folder.is_dir():
            problems.append(Problem(str(folder), "0:0", "no such folder of rules"))
        for path in sorted(folder.glob("*.yaml")):
            try:
                file = document.load(path, RuleFile)
            except DocumentError as error:
                problems += error.problems
                continue
            faults = [fault for rule in file.rules for fault in check_rule(rule)]
            problems += [Problem(str(path), "1:1", fault) for fault in faults]
            files[file.program] = file
    if problems:
        raise DocumentError(problems)
    return list(files.values())


def check_rule(rule: Rule) -> list[str]:
    """What is wrong with a rule's words, pattern and groups, a sentence each."""
    faults = []
    if not rule.ignore and rule.action not in ACTIONS:
        faults.append(f"action `{rule.action}` is none of: {', '.join(ACTIONS)}")
    for word, known, kind in (
        (rule.outcome, OUTCOMES, "outcome"),
        (rule.method, METHODS, "method"),
        (rule.reason, REASONS, "reason"),
    ):
        if word not in known:
            faults.append(f"{kind} `{word}` is none of: {', '.join(filter(None, known))}")
    try:
        groups = set(re.compile(expand_macros(rule.pattern), re.ASCII).groupindex)
    except (re.error, KeyError) as error:
        return [f"rule {rule.name}: {f}" for f in (*faults, f"the pattern is faulty: {error}")]
    if groups - GROUPS:
        faults.append(f"unknown groups {sorted(groups - GROUPS)}; known: {sorted(GROUPS)}")
    if not rule.examples:
        faults.append("has no example; give a real message and its facts")
    return [f"rule {rule.name}: {fault}" for fault in faults]


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
            f"{file.program}: understood by {found[0].name}, must not be: {message!r}"
            for message in file.rejects
            if (found := program.read(message))
        ]
    return faults


def _check_example(program: Program, rule: Rule, example: Example) -> str | None:
    found = program.read(example.message)
    if found is None:
        return f"no rule understands {example.message!r}"
    if found[0].rule is not rule:
        return f"{example.message!r} is taken by the rule {found[0].name}"
    facts = {key: value for key, value in found[1].items() if value is not None}
    if facts != example.facts:
        return f"{example.message!r} gives {facts}, not {example.facts}"
    return None

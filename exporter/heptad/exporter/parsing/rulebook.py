"""Select the rules for a message by program and first word.

Matching therefore takes about as long with hundreds of rules as with a few. A pattern must match
the whole message.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from heptad.exporter.parsing import sudo_json
from heptad.exporter.parsing.binaries import Binaries
from heptad.exporter.parsing.compiled_rule import CompiledRule, RuleMatch
from heptad.exporter.parsing.patterns import expand_macros, first_words, longest_literal
from heptad.exporter.parsing.rule_file import (
    BUILT_IN,
    Example,
    ParsingRule,
    RuleFile,
    load_rule_files,
)
from heptad.exporter.parsing.wrapping import FIRST, cut_begin, shorten

_OLD_PAM: Final = "(pam_"
_MARKS: Final = (FIRST, _OLD_PAM, sudo_json.PREFIX)
"""Prefixes of messages that are not matched as they are."""
_SHORT: Final = 256
_RECENT: Final = 256
"""More than half of the messages in real logs occur among the last few hundred different ones. This
many, up to this many characters each, are cached with their match."""


class Program:
    """The rules of one program, indexed by the first word of a message."""

    def __init__(self, file: RuleFile, shared: Iterable[CompiledRule] = ()) -> None:
        self.name = file.program
        self._app_names = frozenset((file.program, *file.aliases))
        self.exe = Binaries(file.exe)
        self.runs_as = file.runs_as
        self.setuid = Binaries(file.setuid)
        self.pam_only = not file.rules
        self.transport = file.transport
        self.complete = file.complete
        self.own_rules = tuple(CompiledRule(rule, file.escapes) for rule in file.rules)
        self._json = file.json
        self.rules = (*self.own_rules, *shared)
        self.recent: dict[str, RuleMatch | None] = {}
        self._words: dict[str, list[CompiledRule]] = {}
        self._rest: list[CompiledRule] = []
        self._asked: dict[str, tuple[tuple[str, CompiledRule], ...]] = {}

    def trust(self, paths: Sequence[str], accounts: Sequence[str]) -> None:
        """Trust more ``paths`` and ``accounts``; root privileges are still required."""
        self.exe = self.exe.beside(paths)
        if self.setuid:
            self.setuid = self.setuid.beside(paths)
        self.runs_as = (*self.runs_as, *accounts)

    def read(self, message: str) -> RuleMatch | None:
        """Return the match of the first rule that matches ``message``; None if none does."""
        recent = self.recent
        if message in recent:
            return recent[message]
        marked = message.startswith(_MARKS)
        found = self._read_marked(message) if marked else self._match(message)
        if found is None:
            found = self._read_shortened(message)
        if len(message) <= _SHORT:
            if len(recent) >= _RECENT:
                recent.clear()
            recent[message] = found
        return found

    def _read_marked(self, message: str) -> RuleMatch | None:
        """Match a message that starts like a wrapped one, or is JSON."""
        text, pid = self._cut_begin(message)
        found = self._read_alone(text)
        if found is not None and text is not message:
            found.text, found.pid = text, pid
        return found

    def _read_shortened(self, message: str) -> RuleMatch | None:
        text, pid = self._cut_begin(message)
        for shorter, told in shorten(text, self._app_names):
            found = self._read_alone(shorter)
            if found is not None:
                found.text, found.pid = shorter, told or pid
                return found
        return None

    def _cut_begin(self, message: str) -> tuple[str, str | None]:
        return cut_begin(message, self.name) if message[:1] == FIRST else (message, None)

    def _read_alone(self, text: str) -> RuleMatch | None:
        found = None
        if self._json and text.startswith(sudo_json.PREFIX):
            found = self._read_json(text)
        if found is None and text.startswith(_OLD_PAM):  # Debian, 2005 to 2008: without a service
            module, _, rest = text[1:].partition(") ")
            text = f"{module}(): {rest}"
        return found or self._match(text)

    def _match(self, message: str) -> RuleMatch | None:
        word = message.partition(" ")[0]
        if "(" in word:
            word = word.partition("(")[0]
        for literal, rule in self._asked.get(word) or self._rules_for(word):
            # searching for the pattern's longest text takes a fifth of the time of a failing match
            if literal in message:
                match = rule.fullmatch(message)
                if match is not None:
                    escaped = "\\" in message
                    return rule.find(match, message) if escaped else RuleMatch(rule, match.groups())
        return None

    def _read_json(self, message: str) -> RuleMatch | None:
        told = sudo_json.read_json(message)
        if told is None:
            return None
        line, known = told
        found = self._match(line)
        if found is None:
            return None
        values = list(found.values)
        for name, place in found.rule.groups.items():
            values[place] = known.get(name, values[place])
        return RuleMatch(found.rule, tuple(values))

    def _rules_for(self, word: str) -> tuple[tuple[str, CompiledRule], ...]:
        """Return the rules for a first word, each with a text to search for; built on demand."""
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
    """The rules of all programs; ``programs`` maps the name in a log to the program.

    ``pam``, also the program with this name, has the rules for unlisted programs.
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
        """Return the names of all programs, sorted."""
        return sorted({program.name for program in self.programs.values()})


def _unlisted(file: RuleFile, shared: Iterable[CompiledRule]) -> Program:
    """Return a program with the ``shared`` rules of ``file``, for unlisted programs."""
    return Program(RuleFile(program=file.program, rules=[], complete=False, exe=file.exe), shared)


def _pam_only(name: str, shared: RuleFile) -> RuleFile:
    setuid = [path for path in shared.setuid if path.endswith(f"/{name}")]
    return RuleFile(program=name, rules=[], complete=False, exe=shared.exe, setuid=setuid)


def load_rulebook(folders: Iterable[Path] = ()) -> Rulebook:
    """Load the built-in rules and those of ``folders``; later files replace earlier ones.

    A file replaces all rules of its program. Raises DocumentError with all problems of all files.
    """
    return Rulebook(load_rule_files([BUILT_IN, *folders], unchecked=BUILT_IN))


def check_examples(files: Iterable[RuleFile]) -> list[str]:
    """Run all examples and rejects of ``files``; return a sentence for each that fails."""
    files = list(files)
    rulebook = Rulebook(files)
    faults = []
    for file in files:
        # any program can test a shared file, because all have its rules
        program = rulebook.programs[file.program] if not file.shared else Program(file)
        for rule in file.rules:
            faults += [
                f"{file.program}/{rule.name}: {fault}"
                for example in rule.examples
                if (fault := _check_example(program, rule, example))
            ]
        faults += [
            (
                f"{file.program}: the rule {found.rule.name} matches a message that no rule "
                f"may match: {message!r}"
            )
            for message in file.rejects
            if (found := program.read(message))
        ]
    return faults


def _check_example(program: Program, rule: ParsingRule, example: Example) -> str | None:
    found = program.read(example.message)
    if found is None:
        return f"no rule understands {example.message!r}"
    if found.rule.rule is not rule:
        return f"the rule {found.rule.name} matches {example.message!r} first"
    facts = found.rule.facts(found.values)
    if facts != example.facts:
        return f"{example.message!r} yields {facts}, not {example.facts}"
    return None

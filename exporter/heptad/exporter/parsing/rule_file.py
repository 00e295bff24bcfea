"""The format of rule files, how they are loaded, and how mistakes in them are reported."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Literal

import msgspec

from heptad.core.config import strict_yaml
from heptad.core.config.strict_yaml import DocumentError, Problem
from heptad.core.event import ACTIONS, METHODS, OUTCOMES, REASONS
from heptad.exporter.parsing.binaries import check_paths
from heptad.exporter.parsing.linear_patterns import LinearPattern, check_linear
from heptad.exporter.parsing.patterns import expand_macros, has_possessive_group

BUILT_IN: Final = Path(__file__).parent / "rules"
_SUFFIXES: Final = (".yaml", ".yml")
RuleFault = tuple[tuple[str | int, ...], str]
"""The place of a fault in a rule file, and a sentence about it."""

LoginStep = Literal["start", "name", "failed", "pam_failed", "accepted", "end"]
STEPS: Final[dict[str, str]] = {
    "start": "a connection starts",
    "name": "a user is named, and there is no answer yet",
    "failed": "an answer or an offer was refused, by the captured method",
    "pam_failed": "an answer was refused, as logged by PAM before the daemon logs it",
    "accepted": "the login succeeded",
    "end": "the connection ended",
}

Escapes = Literal["", "vis", "rust"]
"""How a daemon escapes names in its log; heptad.exporter.parsing.escapes undoes it."""

GROUPS: Final = frozenset(
    "user target_user address source_port tty object method count child_pid".split()
)
NUMBERS: Final = frozenset(("count", "child_pid"))


class Example(msgspec.Struct, forbid_unknown_fields=True):
    """A real message, and exactly the facts that the rule must return for it."""

    message: str
    facts: dict[str, str | int] = {}


class ParsingRule(msgspec.Struct, forbid_unknown_fields=True):
    """A rule for one message of a program: a pattern with named groups, fixed fields, examples."""

    name: str
    pattern: str
    examples: list[Example]
    action: str = ""
    outcome: str = "unknown"
    method: str = ""
    reason: str = ""
    object: str | None = None
    ignore: bool = False
    step: LoginStep | None = None
    first: list[str] = []
    runs_as: Literal["program", "any"] = "program"
    escapes: Escapes = ""
    note: str = ""


class CustomRule(ParsingRule, forbid_unknown_fields=True):
    """A rule of a user with a pattern that is not shipped: RE2 matches it."""


class RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    """The rules of one program.

    ``aliases`` are other names it logs under. ``exe`` are the paths of its binary, which also match
    by file name in all system folders (heptad.exporter.parsing.binaries). ``runs_as`` are the
    accounts it runs as; the journal confirms both. ``setuid`` are those of ``exe`` that are setuid
    root, and may run with root's rights as the calling user. ``escapes`` is how the daemon escapes
    names, unless a rule says otherwise; with ``json``, sudo's JSON has the same events. A
    ``shared`` file applies to every program (PAM), and to the ``programs`` it names that have no
    rules of their own. ``complete: false`` means that only some of the program's lines matter.
    """

    program: str
    rules: list[ParsingRule]
    aliases: list[str] = []
    exe: list[str] = []
    runs_as: tuple[str, ...] = ("root",)
    setuid: list[str] = []
    transport: Literal["any", "kernel"] = "any"
    shared: bool = False
    programs: list[str] = []
    complete: bool = True
    escapes: Escapes = ""
    json: bool = False
    rejects: list[str] = []


@lru_cache(maxsize=1024)  # shared by the check and the rule
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile the pattern of a rule with macros expanded; raises the errors of ``re``."""
    return re.compile(expand_macros(pattern), re.ASCII | re.DOTALL)


def compile_rule(rule: ParsingRule) -> re.Pattern[str] | LinearPattern:
    """Compile the pattern of a rule for matching."""
    if isinstance(rule, CustomRule):
        return LinearPattern(expand_macros(rule.pattern))
    return compile_pattern(rule.pattern)


def load_rule_files(folders: Iterable[Path], *, unchecked: Path | None = None) -> list[RuleFile]:
    """Load every ``*.yaml`` and ``*.yml`` of ``folders``, with one file per program and folder.

    The patterns and words of the folder ``unchecked`` are not validated. Raises DocumentError with
    all problems.
    """
    files: dict[str, RuleFile] = {}
    problems: list[Problem] = []
    proven: set[str] = set()
    for folder in folders:
        own = folder != BUILT_IN
        try:
            paths = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
        except OSError as error:
            text = f"cannot read the rules directory: {error.strerror}"
            problems.append(Problem(str(folder), "0:0", text))
            continue
        seen: dict[str, str] = {}
        check = None if folder == unchecked else partial(_check_file, seen, files, proven, own)
        for path in paths:
            try:
                file = strict_yaml.load(path, RuleFile, check=check)
            except DocumentError as error:
                problems += error.problems
            else:
                if own:
                    file.rules = [_own(rule, proven) for rule in file.rules]
                else:
                    proven |= {rule.pattern for rule in file.rules}
                files[file.program] = file
                seen[file.program] = path.name
    if problems:
        raise DocumentError(problems)
    return list(files.values())


def _own(rule: ParsingRule, proven: Container[str]) -> ParsingRule:
    """Return a rule of a user's file; if its pattern is shipped, it need not use RE2."""
    return rule if rule.pattern in proven else CustomRule(**msgspec.structs.asdict(rule))


def _check_file(
    seen: Mapping[str, str],
    files: Mapping[str, RuleFile],
    proven: Container[str],
    own: bool,
    file: RuleFile,
) -> Iterator[RuleFault]:
    """Yield the faults of a file; ``seen`` maps the programs of its folder to file names.

    ``proven`` are the shipped patterns; others must be linear if the file is the user's ``own``.
    """
    others = {
        name: other.program
        for other in files.values()
        for name in (other.program, *other.aliases)
        if other.program != file.program
    }
    names: list[tuple[tuple[str | int, ...], str]] = [(("program",), file.program)]
    names += [(("aliases", place), alias) for place, alias in enumerate(file.aliases)]
    for where, name in names:
        if name in others:
            text = f"the rules of {others[name]} already read `{name}`"
            yield where, f"{text}; to replace them, write `program: {others[name]}`"
    if file.program in seen:
        text = (
            f"{seen[file.program]} already has the rules of `{file.program}`; remove one of "
            "the files"
        )
        yield ("program",), text
    for key, paths in (("exe", file.exe), ("setuid", file.setuid)):
        for number, fault in check_paths(paths):
            yield (key, number), fault
    for number, rule in enumerate(file.rules):
        linear = own and rule.pattern not in proven
        for key, fault in check_rule(rule, linear=linear):
            yield ("rules", number, key), fault


def check_rule(rule: ParsingRule, *, linear: bool = False) -> list[tuple[str, str]]:
    """Return what is wrong with a rule's words, pattern and groups, as keys and sentences.

    With ``linear``, the pattern must be one that RE2 matches.
    """
    faults = []
    if not rule.ignore and rule.action not in ACTIONS:
        faults.append(
            ("action", (f"`{rule.action}` is not an action; valid actions: {', '.join(ACTIONS)}"))
        )
    for key, word, known in (
        ("outcome", rule.outcome, OUTCOMES),
        ("method", rule.method, METHODS),
        ("reason", rule.reason, REASONS),
    ):
        if word not in known:
            faults.append(
                (key, (f"`{word}` is not valid; valid words: {', '.join(filter(None, known))}"))
            )
    if fault := _check_pattern(rule.pattern, linear):
        faults.append(("pattern", fault))
    if not rule.examples:
        faults.append(("examples", "has no example; add a real message and its facts"))
    return [(key, f"rule {rule.name}: {fault}") for key, fault in faults]


def _check_pattern(pattern: str, linear: bool) -> str:
    try:
        expanded = expand_macros(pattern)
        groups = set(compile_pattern(pattern).groupindex)
    except (re.error, KeyError, ValueError, OverflowError, RecursionError) as error:
        return f"the pattern is not valid: {error}"
    faults = [
        f"group `{group}` must be digits of a bounded number, as in `(?P<{group}>\\d{{1,6}})`"
        for group in sorted(groups & NUMBERS)
        if not re.search(rf"\(\?P<{group}>\\d\{{1,(?:[1-9]|10)\}}\)", expanded)
    ]
    if groups - GROUPS:
        faults.append(f"unknown groups {sorted(groups - GROUPS)}; valid groups: {sorted(GROUPS)}")
    if linear and (fault := check_linear(pattern)):
        faults.append(fault)
    elif has_possessive_group(expanded):
        faults.append(
            "write `(?>(…)*)` instead of `(…)*+`, which Python before 3.11.5 matches incorrectly"
        )
    return "; ".join(faults)

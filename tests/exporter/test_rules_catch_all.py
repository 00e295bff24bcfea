"""No line that names an account, an address or an attempt is read by a rule that takes nothing of it.

Such a line has a rule of its own, or it is not understood and counted as such.
"""

from collections.abc import Iterator

import pytest

from heptad.exporter.parsing.compiled_rule import CompiledRule
from heptad.exporter.parsing.rule_file import BUILT_IN, load_rule_files
from heptad.exporter.parsing.rulebook import Program
from tests.support.rulebook import RULEBOOK

EVIDENCE = (
    " for alice from 203.0.113.5",
    " for alice from 203.0.113.5 port 50022 ssh2",
    " for invalid user alice",
    " for illegal user alice from gate.example.org",
    " user 'alice'",
    " user=alice",
    " ruser=alice rhost=203.0.113.5",
    " rhost=gate.example.org",
    " 203.0.113.5",
    " from 203.0.113.5 port 50022",
    " 2001:db8::7",
    " [::ffff:203.0.113.5]",
)
SPEAKS = ("user", "target_user", "address")


def takes_nothing(rule: CompiledRule) -> bool:
    """Whether a rule is a catch-all: trouble of any kind, or ignored with no reason given."""
    if rule.rule.reason == "ambiguous" or any(map(rule.captures, SPEAKS)):
        return False
    return not rule.rule.note if rule.ignore else rule.rule.action == "daemon_error"


def programs() -> Iterator[Program]:
    """Every program, and PAM's rules by themselves."""
    for file in load_rule_files([BUILT_IN]):
        yield Program(file) if file.shared else RULEBOOK.programs[file.program]


@pytest.mark.parametrize("program", list(programs()), ids=lambda program: program.name)
def test_no_catch_all_takes_evidence(program: Program) -> None:
    """Whatever a program says of its own trouble, with a name or an address it is not that."""
    rules = program.own_rules if program.name != "pam" else program.rules
    taken = []
    for rule in filter(takes_nothing, rules):
        for example in rule.rule.examples:
            head, _, tail = example.message.rpartition(" ")
            for told in EVIDENCE:
                for line in (f"{example.message}{told}", f"{head}{told} {tail}"):
                    found = program.read(line)
                    if found is not None and takes_nothing(found.rule):
                        taken.append((found.rule.name, line))
    assert taken == []


@pytest.mark.parametrize(
    "line",
    [
        "error: PAM: Authentication failure for alice from 203.0.113.5 ",
        "error: PAM: a new answer for alice by 203.0.113.5",
        "error: maximum authentication attempts exceeded for alice from 203.0.x.x port 1 ssh2",
        "error: maximum authentication attempts exceeded for alice",
        "error: some_function: alice from 203.0.113.5 port 50022",
        "fatal: some_function: no more for invalid user alice",
    ],
)
def test_what_sshd_says_of_an_attempt_is_never_trouble_of_its_own(line: str) -> None:
    """An attempt in a form that no rule knows is not understood, so that it is told."""
    found = RULEBOOK.programs["sshd"].read(line)
    assert found is None or found.rule.rule.action != "daemon_error"

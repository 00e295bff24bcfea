"""heptad check-config: every error of a configuration at once."""

import argparse
from pathlib import Path

from exporter.parsers.engine import Rulebook, load_rule_files
from heptad.commands import DONE, WRONG_USE, add_command, complain
from heptad.config import load_config
from heptad.document import DocumentError, Problem

_EXAMPLES = """
heptad check-config /etc/heptad/heptad.yaml
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    summary = "tell every error of a configuration, with its place and remedy"
    parser = add_command(commands, "check-config", run, summary, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="the configuration")


def run(args: argparse.Namespace) -> int:
    """Check the file and the rule folders it names."""
    problems: list[Problem] = []
    try:
        config = load_config(args.file)
        problems += _check_rules(args.file, config.rules, [s.programs for s in config.sources])
    except DocumentError as error:
        problems += error.problems
    for problem in problems:
        complain(str(problem))
    if problems:
        return WRONG_USE
    print(f"{args.file}: ok")
    return DONE


def _check_rules(file: Path, folders: list[str], programs: list[list[str]]) -> list[Problem]:
    try:
        rulebook = Rulebook(load_rule_files(map(Path, folders)))
    except DocumentError as error:
        return error.problems
    known = sorted({program.name for program in rulebook.programs.values()})
    return [
        Problem(
            str(file),
            "1:1",
            f"sources.{number}.programs: no rules for `{name}`; known: " + ", ".join(known),
        )
        for number, names in enumerate(programs)
        for name in names
        if name not in known
    ]

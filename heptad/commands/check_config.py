"""heptad check-config: every error of a configuration at once."""

import argparse
from pathlib import Path

from exporter.parsers.engine import load_rulebook
from exporter.parsers.rule_file import Fault
from exporter.service import check_programs
from heptad.commands import DONE, WRONG_USE, add_command, complain
from heptad.config import Config, load_config
from heptad.document import DocumentError, Problem
from heptad.web_config import load_web_config

_EXAMPLES = """
heptad check-config /etc/heptad/heptad.yaml
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = add_command(commands, "check-config", run, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="the configuration")


def run(args: argparse.Namespace) -> int:
    """Check the file and the rule folders it names."""
    problems: list[Problem] = []

    def check_rules(config: Config) -> list[Fault]:
        try:
            rulebook = load_rulebook(map(Path, config.rules))
        except DocumentError as error:
            problems.extend(error.problems)
            return []
        return check_programs(config.sources, rulebook)

    try:
        config = load_config(args.file, check_rules)
        for name in {config.exporter.web_config_file, config.aggregator.web_config_file} - {""}:
            load_web_config(Path(name))
    except DocumentError as error:
        problems = error.problems + problems
    for problem in problems:
        complain(str(problem))
    if problems:
        return WRONG_USE
    print(f"{args.file}: ok")
    return DONE

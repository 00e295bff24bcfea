"""heptad rules: test rule files, and list what the rules make of which lines."""

import argparse
from pathlib import Path

from exporter.parsers.engine import BUILT_IN, check_examples, load_rule_files
from heptad.commands import DONE, FAILED, add_command, complain

_EXAMPLES = """
heptad rules test                          the rules that ship with Heptad
heptad rules test /etc/heptad/rules        and your own
heptad rules list                          every rule: program, action, outcome, method, reason
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = add_command(commands, "rules", run_test, "test and list the rules", _EXAMPLES)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    summary = "run every example of every rule"
    test = verbs.add_parser("test", help=summary, description=summary)
    test.set_defaults(run=run_test)
    listing = verbs.add_parser("list", help="list the rules", description="List the rules.")
    listing.set_defaults(run=run_list)
    for verb in (test, listing):
        verb.add_argument(
            "folders",
            nargs="*",
            type=Path,
            metavar="DIR",
            help="folders with rule files of your own",
        )


def run_test(args: argparse.Namespace) -> int:
    """Check every example; each that does not hold is told."""
    files = load_rule_files([BUILT_IN, *args.folders])
    faults = check_examples(files)
    for fault in faults:
        complain(fault)
    examples = sum(len(rule.examples) for file in files for rule in file.rules)
    rules = sum(len(file.rules) for file in files)
    print(f"{len(files)} files, {rules} rules, {examples} examples, {len(faults)} faults")
    return FAILED if faults else DONE


def run_list(args: argparse.Namespace) -> int:
    """Print a line a rule."""
    files = sorted(load_rule_files([BUILT_IN, *args.folders]), key=lambda file: file.program)
    row = "{:<18} {:<32} {:<16} {:<8} {:<21} {}"
    print(row.format("PROGRAM", "RULE", "ACTION", "OUTCOME", "METHOD", "REASON"))
    for file in files:
        for rule in file.rules:
            what = ("(ignored)", "", "", "")
            if not rule.ignore:
                what = (rule.action, rule.outcome, rule.method, rule.reason)
            print(row.format(file.program, rule.name, *what).rstrip())
    return DONE

"""heptad rules: test and list rule files, and apply rules again to stored lines."""

import argparse
from pathlib import Path

from heptad.cli.commands import (
    DONE,
    FAILED,
    WRONG_USE,
    add_command,
    add_config,
    print_error,
    set_up_log,
)
from heptad.cli.progress import make_bar
from heptad.core.config.schema import Config, load_config
from heptad.core.store.sqlite import LocalStore
from heptad.core.store.sqlite_file import StoreLocked
from heptad.core.units import parse_time
from heptad.exporter.app import open_store
from heptad.exporter.normalize.line_result import RESULTS, LineResult
from heptad.exporter.normalize.privacy import make_privacy
from heptad.exporter.normalize.provenance import find_user_ids
from heptad.exporter.parsing.rule_file import BUILT_IN, load_rule_files
from heptad.exporter.parsing.rulebook import check_examples
from heptad.exporter.settings import make_rulebook
from heptad.exporter.unparsed import Reprocessor

_EXAMPLES = """
heptad rules test                          test the built-in rules
heptad rules test /etc/heptad/rules        … and your own rules
heptad rules list                          list every rule with its program, action and outcome
heptad rules apply --since 7d              reparse lines that were not understood or rejected
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "rules", run_test, _EXAMPLES)
    verbs = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    summary = "run every example of every rule"
    test = verbs.add_parser("test", help=summary, description=f"{summary.capitalize()}.")
    test.set_defaults(run=run_test)
    listing = verbs.add_parser("list", help="list the rules", description="List the rules.")
    listing.set_defaults(run=run_list)
    for verb in (test, listing):
        verb.add_argument(
            "folders",
            nargs="*",
            type=Path,
            metavar="DIR",
            help="directories with your own rule files",
        )
    _add_apply(verbs)


def _add_apply(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    apply = verbs.add_parser(
        "apply",
        help="reparse stored lines that were not understood or rejected",
        description="Parse stored lines that no rule understood, or that were rejected for "
        "their provenance, again with the current rules and trust settings, and "
        "store the resulting events. Stop the exporter first.",
    )
    apply.set_defaults(run=run_apply)
    add_config(apply)
    apply.add_argument(
        "--since",
        required=True,
        metavar="T",
        help="oldest line: a duration before now such as 7d, or RFC 3339",
    )
    apply.add_argument(
        "--dry-run", action="store_true", help="only show the result, without changing the store"
    )


def run_test(args: argparse.Namespace) -> int:
    """Check all examples, and print those that fail."""
    files = load_rule_files([BUILT_IN, *args.folders])
    faults = check_examples(files)
    for fault in faults:
        print_error(fault)
    examples = sum(len(rule.examples) for file in files for rule in file.rules)
    rules = sum(len(file.rules) for file in files)
    print(f"{len(files)} files, {rules} rules, {examples} examples, {len(faults)} faults")
    return FAILED if faults else DONE


def run_list(args: argparse.Namespace) -> int:
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


def run_apply(args: argparse.Namespace) -> int:
    """Apply the rules to stored lines that are unparsed or rejected, and print the results."""
    try:
        since = parse_time(args.since)
    except ValueError as error:
        print_error(str(error))
        return WRONG_USE
    config = load_config(args.config)
    set_up_log(config)
    try:
        applied = _apply(config, since, dry_run=args.dry_run)
    except StoreLocked as error:
        print_error(str(error))
        print_error("stop the exporter first: stop its service, or `heptad up` with Ctrl-C")
        return FAILED
    if not applied.results:
        print_error(f"no lines since {args.since} were not understood or rejected")
        return DONE
    row = "{:<18} {:>10}  {}"
    print(row.format("PROGRAM", "LINES", "RESULT (DRY RUN)" if args.dry_run else "RESULT"))
    for (program, result), lines in sorted(applied.results.items()):
        print(row.format(program, lines, _RESULT_TEXTS.get(result, RESULTS[result])))
    return DONE


_RESULT_TEXTS = {
    LineResult.EVENT: "events",
    LineResult.IGNORED: "understood, but ignored",
    LineResult.NOT_UNDERSTOOD: "still not understood",
    LineResult.UNTRUSTED: "still rejected for their provenance",
}


def _apply(config: Config, since: int, *, dry_run: bool) -> Reprocessor:
    rulebook = make_rulebook(config)
    accounts = find_user_ids(config)
    path = Path(config.store.path)
    with LocalStore(path) as reader, make_bar("lines", 0, "lines") as bar:
        if dry_run:
            applied = Reprocessor(rulebook, None, None, accounts)
            applied.run(reader, since, bar.update)
            return applied
        with open_store(config) as writer:
            privacy = make_privacy(config.privacy, path)
            applied = Reprocessor(rulebook, privacy, writer, accounts)
            applied.run(reader, since, bar.update)
    return applied

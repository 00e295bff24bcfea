"""heptad report: what happened, what is unusual, and what to check first."""

import argparse
import textwrap
from contextlib import ExitStack
from shlex import quote

import msgspec

from heptad.aggregator.reports import REPORTED
from heptad.aggregator.summary.text import SHOW_EVENTS, build_summary, to_text
from heptad.cli.commands import (
    DONE,
    WRONG_USE,
    add_command,
    add_config,
    add_local,
    add_span,
    load_readable,
    print_error,
    print_rejected,
    read_span,
)
from heptad.cli.table import terminal_width
from heptad.core.stores import open_events, open_reports
from heptad.core.terminal import escape_json
from heptad.core.units import parse_time
from heptad.core.validation import Intake

_EXAMPLES = """
heptad report                                    report on the last 24 hours
heptad report --since 7d
heptad report --since 7d --format html > report.html     one HTML file
heptad report --local                            from the stores of this host, not from InfluxDB
heptad report --since 2026-03-01 --until 2026-03-08      one week
heptad report --since 2026-03-01 --format json | jq .findings
"""
_HANGING = 4
_NARROWEST = 40


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "report", run, _EXAMPLES)
    add_config(parser)
    add_local(parser)
    add_span(parser, since="24h")
    parser.add_argument(
        "--format",
        choices=("text", "html", "json"),
        default="text",
        help="output format; default: text",
    )


def run(args: argparse.Namespace) -> int:
    """Print the report for the time from --since to --until."""
    try:
        since, until = read_span(args)
    except ValueError as error:
        print_error(str(error))
        return WRONG_USE
    until = min(until or parse_time("now"), parse_time("now"))
    config = load_readable(args)
    intake = Intake(REPORTED)
    with ExitStack() as stack:
        events = open_events(config, stack, intake)
        report = build_summary(events, open_reports(config, stack, intake), since, until)
    if args.format == "json":
        text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        print(escape_json(text))
    elif args.format == "html":
        from heptad.aggregator.summary.html import to_html

        print(to_html(report))
    else:
        options = f" --config {quote(str(args.config))}" if args.config else ""
        for line in to_text(report, options + " --local" * args.local).split("\n"):
            print(_wrap(line, terminal_width()))
    print_rejected(intake)
    return DONE


def _wrap(line: str, width: int | None) -> str:
    """Wrap a line for the terminal; commands are not wrapped, so that they can be copied."""
    if width is None or len(line) <= width or SHOW_EVENTS in line:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + _HANGING)
    return textwrap.fill(line, max(width, _NARROWEST), subsequent_indent=indent)

"""The commands of the command line, one file each: their options and what they do.

Besides ``heptad.cli.main``, only these modules may import both exporter and aggregator.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from heptad.core.config.location import find_config
from heptad.core.config.schema import Config, load_config
from heptad.core.telemetry import log
from heptad.core.terminal import printable
from heptad.core.units import parse_time
from heptad.core.validation import Intake

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

COMMANDS: Final[dict[str, str]] = {
    "up": "run the exporter and the aggregator of this host",
    "exporter": "read the logs of this host and store their events",
    "aggregator": "compute findings and reports from the stored events",
    "status": "show whether Heptad is running, what it reads and how far behind it is",
    "parse": "parse a log file and print its events, without storing them",
    "events": "list the stored events",
    "report": "report what happened, what is unusual, and what to check first",
    "check-config": "report every configuration error with its location and a fix",
    "rules": "test, list and reapply the parsing rules",
    "influxdb": "set up InfluxDB for the fleet, and check it",
    "grafana": "install data sources and dashboards in a running Grafana",
}
"""All commands with their summaries; each is in a module of its name."""

DEFAULT_CONFIG: Final = (
    "default: $HEPTAD_CONFIG, otherwise /etc/heptad/heptad.yaml or ~/.config/heptad/heptad.yaml if "
    "one of them exists"
)

Run = Callable[[argparse.Namespace], int]
Subparsers = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Run,
    examples: str,
    summary: str = "",
) -> argparse.ArgumentParser:
    """Add a command's parser, with examples below its options.

    ``summary`` is required for subcommands; for others it comes from ``COMMANDS``.
    """
    summary = summary or COMMANDS[name]
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[:1].upper() + summary[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_config(parser: argparse.ArgumentParser, *, is_verb: bool = False) -> None:
    """Add the option --config; after a subcommand it does not override one before it."""
    parser.add_argument(
        "--config",
        type=Path,
        default=argparse.SUPPRESS if is_verb else find_config(),
        metavar="FILE",
        help=f"the configuration file; {DEFAULT_CONFIG}",
    )


def add_local(parser: argparse.ArgumentParser) -> None:
    """Add the option --local, for commands that read events."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="read the stores of this host, even if the configuration names InfluxDB",
    )


def load_readable(args: argparse.Namespace) -> Config:
    """Load the configuration of --config, without InfluxDB if --local is set."""
    config = load_config(args.config)
    if args.local:
        config.influxdb = None
    return config


def add_span(parser: argparse.ArgumentParser, *, since: str) -> None:
    """Add the options --since and --until, for commands that read a range of time."""
    parser.add_argument(
        "--since",
        default=since,
        metavar="T",
        help=f"start time: a duration before now such as 24h, or RFC 3339; default: {since}",
    )
    parser.add_argument(
        "--until", metavar="T", help="end time (exclusive), in the same form; default: now"
    )


def read_span(args: argparse.Namespace) -> tuple[int, int | None]:
    """Return --since and --until in ns (None without --until); raise ValueError with the remedy."""
    since = parse_time(args.since)
    until = None if args.until is None else parse_time(args.until)
    if until is not None and since >= until:
        raise ValueError(f"--since {args.since} is not before --until {args.until}")
    if since >= parse_time("now"):
        raise ValueError(
            f"--since {args.since} is in the future; write a time in the past, for example 24h"
        )
    return since, until


def choose_word(option: str, word: str, known: Iterable[str]) -> str:
    """Return the word if it is known; raise ValueError with the closest known words, or all."""
    words = sorted(filter(None, known))
    if word in words:
        return word
    close = get_close_matches(word, words, n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(close)}?" if close else f"valid values: {', '.join(words)}"
    raise ValueError(f"{option} {printable(word, 60)} is not known; {remedy}")


def set_up_log(config: Config) -> None:
    """Configure the log; for commands that keep running."""
    log.configure(config.log.level, config.log.format)


def print_error(message: str) -> None:
    print(f"heptad: {message}", file=sys.stderr)


def print_rejected(intake: Intake) -> None:
    """Print what was skipped as invalid, if anything."""
    if told := intake.describe():
        print_error(told)

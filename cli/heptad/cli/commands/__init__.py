"""The commands of the command line, a file each: what they take, and what they do.

Together with ``heptad.cli.main`` the only modules that may import both sides.
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
"""What there is and does what, each in a module of its name."""

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
    """A command's parser, with examples below its options.

    ``summary`` is that of a verb; those of ``COMMANDS`` have theirs there.
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
    """The option --config, which at a verb does not undo the one before it."""
    parser.add_argument(
        "--config",
        type=Path,
        default=argparse.SUPPRESS if is_verb else find_config(),
        metavar="FILE",
        help=f"the configuration file; {DEFAULT_CONFIG}",
    )


def add_local(parser: argparse.ArgumentParser) -> None:
    """The option --local, of commands that read events."""
    parser.add_argument(
        "--local",
        action="store_true",
        help="read the stores of this host, even if the configuration names InfluxDB",
    )


def load_readable(args: argparse.Namespace) -> Config:
    """The configuration of --config, without InfluxDB where --local asks for that."""
    config = load_config(args.config)
    if args.local:
        config.influxdb = None
    return config


def add_span(parser: argparse.ArgumentParser, *, since: str) -> None:
    """The options --since and --until, of commands that read a span of time."""
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
    """The times of --since and --until in ns, None without --until; ValueError with the remedy."""
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
    """The word if it is known; ValueError names the closest that is, or all."""
    words = sorted(filter(None, known))
    if word in words:
        return word
    close = get_close_matches(word, words, n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(close)}?" if close else f"valid values: {', '.join(words)}"
    raise ValueError(f"{option} {printable(word, 60)} is not known; {remedy}")


def set_up_log(config: Config) -> None:
    """Log as the configuration says; for commands that run on."""
    log.configure(config.log.level, config.log.format)


def print_error(message: str) -> None:
    """A message for the person at the terminal."""
    print(f"heptad: {message}", file=sys.stderr)


def print_rejected(intake: Intake) -> None:
    """Name what was left out of an output, where anything was."""
    if told := intake.describe():
        print_error(told)

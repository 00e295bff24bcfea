"""The commands of the command line, a file each: what they take, and what they do.

Together with ``heptad.__main__`` the only modules that may import both sides.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from heptad import log
from heptad.config import Config

DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

Run = Callable[[argparse.Namespace], int]
Subparsers = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Run,
    summary: str,
    examples: str,
) -> argparse.ArgumentParser:
    """A command's parser, with examples below its options."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[:1].upper() + summary[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_config(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """The option --config."""
    parser.add_argument(
        "--config",
        type=Path,
        default=default,
        metavar="FILE",
        help="the configuration; without it every setting has its default",
    )


def set_up_log(config: Config) -> None:
    """Log as the configuration says; for commands that run on."""
    log.configure(config.log.level, config.log.format)


def complain(message: str) -> None:
    """A message for the person at the terminal."""
    print(f"heptad: {message}", file=sys.stderr)

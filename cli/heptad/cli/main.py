"""The command line: its parser, and the exit status for each error."""

import argparse
import io
import os
import sqlite3
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import shtab

from heptad.cli.commands import COMMANDS, DONE, FAILED, WRONG_USE, print_error
from heptad.cli.extras import describe_missing
from heptad.cli.grafana import GrafanaError
from heptad.cli.runtime.early_signals import expect_signals
from heptad.cli.screen import screened
from heptad.core import __version__
from heptad.core.config.strict_yaml import DocumentError
from heptad.core.config.web import ServerError
from heptad.core.store.api import StoreError

_DESCRIPTION = """\
Heptad reads who logged in, who tried, and who became root from the logs of a host, as events
(time, host, service, event, user, source, object). It counts and stores them, and reports what
is unusual. It does not block anyone."""
_EPILOG = """\
start here:
  heptad up                          run the exporter and the aggregator of this host
  heptad status                      show whether Heptad is running and up to date
  heptad events --since 1h           list the events of the last hour
  heptad report --since 24h          report what happened and what is unusual
  heptad parse /var/log/auth.log     parse a log file without storing its events

exit status: 0 success, 1 failure, 2 invalid usage or configuration"""


_ALONE: Final = ("-h", "--help", "--version")


def make_parser(first: str = "") -> argparse.ArgumentParser:
    """Create the parser for a command line that starts with ``first``.

    The options of a command are defined in its module, whose import is slow: other commands are
    only listed.
    """
    parser = argparse.ArgumentParser(
        prog="heptad",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"heptad {__version__}")
    shtab.add_argument_to(parser, "--print-completion", help="print a completion script and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    is_known = first in COMMANDS or first in _ALONE
    for name, summary in COMMANDS.items():
        if is_known and name != first:
            commands.add_parser(name, help=summary)
            continue
        command: Any = import_module(f"heptad.cli.commands.{name.replace('-', '_')}")
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    if arguments is None:
        expect_signals(*sys.argv[1:2])
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a name from a log must not cause an error if the terminal's encoding cannot represent it
        sys.stdout.reconfigure(errors="backslashreplace")
    with screened():
        return _run(arguments)


def _open_standard_streams() -> None:
    """Open streams that the caller closed: otherwise other files would get their descriptors."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _run(arguments: Sequence[str] | None) -> int:  # noqa: PLR0911 - one return per status
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        args = make_parser(*arguments[:1]).parse_args(arguments)
        status: int = args.run(args)
        sys.stdout.flush()
    except DocumentError as error:
        for problem in error.problems:
            print_error(str(problem))
        return WRONG_USE
    except (StoreError, ServerError, GrafanaError) as error:
        print_error(str(error))
        return FAILED
    except ModuleNotFoundError as error:
        missing = describe_missing(error)
        if missing is None:
            raise
        print_error(missing)
        return FAILED
    except BrokenPipeError:
        # the reader has closed the pipe, as in `heptad events | head`; nothing is left to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except sqlite3.Error as error:
        print_error(
            f"cannot read a store: {error}; if the file is corrupt, the exporter renames it "
            "and creates a new one"
        )
        return FAILED
    except OSError as error:
        print_error(f"cannot continue: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return DONE
    return status

"""heptad exporter: read the logs of this host."""

import argparse
import logging
import threading

from exporter.service import Exporter, NoSources
from heptad.commands import FAILED, add_command, add_config, complain, prepare
from heptad.commands.parts import run_parts

log = logging.getLogger("heptad")

_EXAMPLES = """
heptad exporter                            this host's journal, or its auth log
heptad exporter --config heptad.yaml       as the configuration says
heptad exporter --once                     read what is there, then exit
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = add_command(commands, "exporter", run, "read the logs of this host", _EXAMPLES)
    add_config(parser)
    parser.add_argument("--once", action="store_true", help="work off what is there, then exit")


def run(args: argparse.Namespace) -> int:
    """Run the exporter until it is told to stop."""
    config = prepare(args)
    try:
        exporter = Exporter(config, once=args.once, serve=not args.once)
    except NoSources as error:
        complain(str(error))
        return FAILED
    log.info("exporter starts", extra=exporter.describe())
    status = run_parts({"exporter": exporter.run}, threading.Event())
    problems = exporter.pipeline.problems() if args.once else []
    for problem in problems:
        complain(problem)
    return FAILED if problems else status

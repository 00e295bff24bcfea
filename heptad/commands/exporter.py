"""heptad exporter: read the logs of this host."""

import argparse
import logging

from prometheus_client.registry import Collector

from exporter.service import Exporter, NoSources
from exporter.service import prepare as prepare_exporter
from heptad.commands import FAILED, add_command, add_config, complain, prepare
from heptad.commands.parts import Part, run_parts
from heptad.commands.reload import Plan, plan_exporter, run_reloading

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


def _build(plan: Plan, also: Collector) -> dict[str, Part]:
    exporter = Exporter(plan.config, prepared=plan.prepared, also=[also])
    log.info("exporter starts", extra=exporter.describe())
    return exporter.parts()


def run(args: argparse.Namespace) -> int:
    """Run the exporter until it is told to stop."""
    config = prepare(args)
    try:
        plan = Plan(config, prepare_exporter(config))
    except NoSources as error:
        complain(str(error))
        return FAILED
    if not args.once:
        return run_reloading(plan, _build, lambda: plan_exporter(args.config))
    exporter = Exporter(config, once=True, serve=False, prepared=plan.prepared)
    log.info("exporter starts", extra=exporter.describe())
    status = run_parts({"exporter": exporter.run})
    problems = exporter.problems()
    for problem in problems:
        complain(problem)
    return FAILED if problems else status

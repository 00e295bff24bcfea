"""heptad exporter: read the logs of this host."""

import argparse
import json
import logging
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
from heptad.cli.runtime.reload import CheckedConfig, check_exporter_config, run_reloading
from heptad.cli.runtime.supervisor import Worker, run_workers
from heptad.core.config.location import describe_config, find_config
from heptad.core.config.schema import load_config
from heptad.core.store.outbox import read_rejections
from heptad.core.telemetry.metrics import StoredMetrics
from heptad.core.terminal import escape_json, printable
from heptad.core.units import format_time
from heptad.exporter.app import Exporter, NoSources, find_sources
from heptad.exporter.delivery.redelivery import request_resend
from heptad.exporter.settings import load_settings

log = logging.getLogger("heptad")

_EXAMPLES = """
heptad exporter                            read the journal of this host, or its auth log
heptad exporter --config heptad.yaml       read the sources of a configuration
heptad exporter --once                     read all logs to their end, deliver, then exit
heptad exporter rejected                   list the points that InfluxDB rejected, and why
heptad exporter resend                     deliver all events again after InfluxDB lost some
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "exporter", run, _EXAMPLES)
    add_config(parser)
    parser.add_argument(
        "--once",
        action="store_true",
        help="read all logs to their end, deliver the events, then exit",
    )
    verbs = parser.add_subparsers(title="subcommands", metavar="COMMAND")
    rejected = verbs.add_parser(
        "rejected",
        help="list the points that InfluxDB rejected permanently, and why",
        description="List the points that InfluxDB rejected permanently, and why.",
    )
    rejected.set_defaults(run=run_rejected)
    # an option before the subcommand must keep its value
    add_config(rejected, is_verb=True)
    rejected.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="output format; default: text"
    )
    summary = "deliver all events of the local store again, including rejected ones"
    resend = verbs.add_parser("resend", help=summary, description=f"{summary.capitalize()}.")
    resend.set_defaults(run=run_resend)
    add_config(resend, is_verb=True)


def _build(plan: CheckedConfig, also: StoredMetrics) -> dict[str, Worker]:
    exporter = Exporter(plan.config, rulebook=plan.rulebook, sources=plan.sources, also=[also])
    _log_start(plan, exporter)
    return exporter.workers()


def _log_start(plan: CheckedConfig, exporter: Exporter) -> None:
    told = {"config": describe_config(plan.file), **exporter.describe()}
    log.info("starting exporter", extra=told)


def run(args: argparse.Namespace) -> int:
    """Run the exporter until it is stopped."""
    settings = load_settings(args.config)
    config = settings.config
    set_up_log(config)
    try:
        sources = find_sources(config)
    except NoSources as error:
        print_error(str(error))
        return FAILED
    plan = CheckedConfig(config, settings.rulebook, sources, args.config)
    if not args.once:
        return run_reloading(plan, _build, lambda: check_exporter_config(find_config(args.config)))
    exporter = Exporter(
        config, once=True, serve=False, rulebook=plan.rulebook, sources=plan.sources
    )
    _log_start(plan, exporter)
    status = run_workers({"exporter": exporter.run})
    problems = exporter.problems()
    for problem in problems:
        print_error(problem)
    return FAILED if problems else status


def run_rejected(args: argparse.Namespace) -> int:
    """Print rejected points: the time, the server's reason, the line of line protocol."""
    path = Path(load_config(args.config).store.path)
    shown = 0
    for rejection in read_rejections(path):
        at = format_time(rejection.at)
        if args.format == "jsonl":
            told = {"at": at, "reason": rejection.reason, "line": rejection.line}
            print(escape_json(json.dumps(told)))
        else:
            print(at, printable(rejection.reason), printable(rejection.line), sep="  ")
        shown += 1
    if not shown:
        print_error("InfluxDB has rejected no points")
    return DONE


def run_resend(args: argparse.Namespace) -> int:
    """Ask the exporter, running or not, to deliver its whole store again."""
    config = load_config(args.config)
    path = Path(config.store.path)
    if config.influxdb is None:
        print_error(
            "InfluxDB is not configured; add `influxdb:` with its `url:` to the configuration, "
            "and pass the file with --config"
        )
        return WRONG_USE
    if not path.exists():
        print_error(f"{path} does not exist: no exporter has run with this configuration yet")
        return FAILED
    number = request_resend(path)
    print(
        f"{number} events of {path} are queued for delivery after new ones; a running exporter "
        "starts within a few seconds, otherwise the next one does"
    )
    return DONE

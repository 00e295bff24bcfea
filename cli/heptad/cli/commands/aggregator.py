"""heptad aggregator: compute findings and reports from the events."""

import argparse
import logging
from pathlib import Path

from heptad.aggregator.app import Aggregator
from heptad.cli.commands import WRONG_USE, add_command, add_config, print_error, set_up_log
from heptad.cli.runtime.reload import CheckedConfig, run_reloading
from heptad.cli.runtime.supervisor import Worker, run_workers
from heptad.core.config.location import describe_config, find_config
from heptad.core.config.schema import load_config
from heptad.core.telemetry.metrics import StoredMetrics
from heptad.core.units import parse_time

log = logging.getLogger("heptad")

_EXAMPLES = """
heptad aggregator                                       next to the exporter of this host
heptad aggregator --once                                process the stored events, then exit
heptad aggregator --once --since 7d --until now         recompute the last week
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "aggregator", run, _EXAMPLES)
    add_config(parser)
    parser.add_argument("--once", action="store_true", help="process the stored events, then exit")
    parser.add_argument(
        "--since", metavar="T", help=("recompute findings and reports from this time on, then exit")
    )
    parser.add_argument("--until", metavar="T", help="recompute up to this time; default: now")


def run(args: argparse.Namespace) -> int:
    """Run the aggregator until it is stopped."""
    try:
        since = parse_time(args.since) if args.since else None
        until = parse_time(args.until) if args.until else None
    except ValueError as error:
        print_error(str(error))
        return WRONG_USE
    if until is not None and since is None:
        print_error("--until requires --since")
        return WRONG_USE
    if since is not None and until is not None and since >= until:
        print_error(f"--since {args.since} is not before --until {args.until}")
        return WRONG_USE
    config = load_config(args.config)
    set_up_log(config)
    if not args.once and since is None:
        return run_reloading(
            CheckedConfig(config, file=args.config),
            _build,
            lambda: _check(find_config(args.config)),
        )
    aggregator = Aggregator(config, once=args.once, since=since, until=until)
    told = {"config": describe_config(args.config), "store": aggregator.store}
    log.info("starting aggregator", extra=told)
    return run_workers({"aggregator": aggregator.run})


def _check(path: Path | None) -> CheckedConfig:
    return CheckedConfig(load_config(path), file=path)


def _build(plan: CheckedConfig, also: StoredMetrics) -> dict[str, Worker]:
    aggregator = Aggregator(plan.config, also=[also])
    told = {"config": describe_config(plan.file), "store": aggregator.store}
    if aggregator.server is not None:
        told["metrics"] = f"{aggregator.server.url}/metrics"
        if plan.config.aggregator.page:
            told["page"] = f"{aggregator.server.url}/"
    log.info("starting aggregator", extra=told)
    return {"aggregator": aggregator.run}

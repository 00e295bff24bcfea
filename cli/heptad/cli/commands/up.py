"""heptad up: run exporter and aggregator of one host, and print events as they arrive."""

import argparse
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from heptad.aggregator.app import Aggregator
from heptad.cli import sample
from heptad.cli.commands import FAILED, add_command, add_config, print_error, set_up_log
from heptad.cli.commands.events import make_printer
from heptad.cli.highlight import FindingLines
from heptad.cli.runtime.reload import CheckedConfig, check_exporter_config, run_reloading
from heptad.cli.runtime.supervisor import Worker
from heptad.cli.table import terminal_width, wants_colour
from heptad.core import __version__
from heptad.core.config.location import describe_config, find_config
from heptad.core.config.schema import Config
from heptad.core.event import Event
from heptad.core.store.api import StoreError
from heptad.core.store.sqlite import LocalStore
from heptad.core.telemetry.metrics import StoredMetrics
from heptad.exporter.app import Exporter, NoSources, describe_source, find_sources
from heptad.exporter.settings import load_settings

log = logging.getLogger("heptad")

_EXAMPLES = """
heptad up                          read the journal of this host, or its auth log
heptad up --config heptad.yaml     use a configuration
heptad up --sample                 replay a recorded log with current timestamps
"""
_REPLAYING: Final = (
    "Replaying a log recorded from a real sshd, sudo and su, with current timestamps."
)
_EVERY: Final = 0.3
_MOST_SHOWN: Final = 500
_SHOWN_OF_MANY: Final = 20


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "up", run, _EXAMPLES)
    add_config(parser)
    parser.add_argument(
        "--sample", action="store_true", help="replay the sample log that is included in Heptad"
    )


def run(args: argparse.Namespace) -> int:
    """Run both parts until they are stopped."""
    settings = load_settings(args.config)
    config, path = settings.config, args.config
    set_up_log(config)
    both = _LocalServices()
    try:
        if args.sample:
            raise NoSources
        plan = CheckedConfig(config, settings.rulebook, find_sources(config))
    except NoSources as error:
        if not args.sample:
            print_error(str(error))
            if path:
                # a configuration refers to this host, so the sample would not help
                return FAILED
        print(_REPLAYING)
        config, path = sample.prepare(config)
        plan = CheckedConfig(config)
        both.beside["sample"] = sample.make_replay()
    stop = threading.Event()
    # a daemon thread: a blocked terminal must neither stop the others nor delay the exit
    show = threading.Thread(target=_show, args=(both, stop), name="show", daemon=True)

    def begin() -> None:
        _introduce(config, both.exporter, both.aggregator, path)
        both.position = both.exporter.store.newest_position()
        both.begun = True
        show.start()

    _show_findings(config)
    status = run_reloading(
        plan, both.build, lambda: check_exporter_config(find_config(path)), begin
    )
    stop.set()
    show.join(timeout=1)
    if both.begun:
        command, hint = _command(), f" --config {path}" if path else ""
        print(f"Stopped. The data is stored in {config.store.path}.")
        print(f"To list the events: {command} events --since 24h{hint}", flush=True)
    return status


def _show_findings(config: Config) -> None:
    """Show findings among the events, except with a JSON log, which programs read."""
    if config.log.format != "json":
        shown = FindingLines(_print_line, terminal_width, colour=wants_colour())
        for handler in logging.getLogger().handlers:
            handler.addFilter(shown)


def _print_line(line: str) -> None:
    with suppress(OSError, ValueError):  # the terminal may be gone
        print(line, flush=True)


class _LocalServices:
    """Exporter and aggregator of the active configuration, and the position of the shown events."""

    def __init__(self) -> None:
        self.beside: dict[str, Worker] = {}
        self.path = Path()
        self.position = 0
        self.begun = False

    def build(self, plan: CheckedConfig, also: StoredMetrics) -> dict[str, Worker]:
        """Build the parts for a configuration."""
        exporter = Exporter(plan.config, rulebook=plan.rulebook, sources=plan.sources, also=[also])
        try:
            aggregator = Aggregator(plan.config, also=[also], beside=exporter.problems)
        except BaseException:
            exporter.close()
            raise
        self.exporter, self.aggregator = exporter, aggregator
        self.path = exporter.store.path
        return self.beside | exporter.workers() | {"aggregator": aggregator.run}


def _introduce(
    config: Config, exporter: Exporter, aggregator: Aggregator, path: Path | None
) -> None:
    command, hint = _command(), f" --config {path}" if path else ""
    url = aggregator.server.url if aggregator.server else ""
    rows = {
        "page": f"{url}/" if config.aggregator.page else "",
        "config": describe_config(path),
        "reads": ", ".join(map(describe_source, exporter.sources)),
        "stores": f"{config.store.path}, {_reports_place(config)}",
        "metrics": f"{exporter.server.url if exporter.server else ''}/metrics (exporter)",
        "": f"{url}/metrics (aggregator)",
        "report": f"{command} report{hint}",
        "events": f"{command} events --since 24h{hint}",
        "stop": "Ctrl-C",
    }
    print(f"Heptad {__version__}")
    for name, text in rows.items():
        if text:
            print(f"  {name:<8} {text}")
    print(flush=True)


def _command() -> str:
    return sys.argv[0] if "/" in sys.argv[0] and not sys.argv[0].endswith(".py") else "heptad"


def _reports_place(config: Config) -> str:
    return config.aggregator.store.path if config.influxdb is None else config.influxdb.url


def _show(both: _LocalServices, stop: threading.Event) -> None:
    """Print events as they are stored, until output fails."""
    try:
        show = make_printer("table")
        while not stop.is_set():
            try:
                _follow(both, stop, show)
            except (StoreError, sqlite3.Error):
                # the exporter has renamed and replaced a corrupt store, and logged that
                both.position = 0
                stop.wait(_EVERY)
    except (OSError, ValueError) as error:
        log.debug("events are no longer printed", extra={"error": error})


def _follow(both: _LocalServices, stop: threading.Event, show: Callable[[Event], None]) -> None:
    """Print events that are stored after the position; of very many at once only the newest.

    Return when a new configuration uses another store.
    """
    path, position = both.path, both.position
    with LocalStore(path) as store:
        while not stop.wait(_EVERY):
            if both.path != path:
                both.position = 0
                return
            newest = store.newest_position()
            if newest - position > _MOST_SHOWN:
                print(f"… {newest - position - _SHOWN_OF_MANY} more events; see `heptad events`")
                position = newest - _SHOWN_OF_MANY
            events, position = store.since_arrival(position, _MOST_SHOWN)
            for event in events:
                show(event)
            both.position = position

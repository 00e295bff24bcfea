"""heptad check-config: every error of a configuration at once."""

import argparse
from pathlib import Path

from heptad.cli.commands import DONE, add_command
from heptad.core.config.web import load_web_config
from heptad.core.terminal import printable
from heptad.exporter.app import choose_sources
from heptad.exporter.handover import preview, scope_of
from heptad.exporter.settings import load_settings

_EXAMPLES = """
heptad check-config /etc/heptad/heptad.yaml
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = add_command(commands, "check-config", run, _EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="the configuration file")


def run(args: argparse.Namespace) -> int:
    """Check the file, and the rule folders and web-config files that it names.

    Raises DocumentError with what is wrong.
    """
    settings = load_settings(args.file)
    config = settings.config
    for name in {config.exporter.web_config_file, config.aggregator.web_config_file} - {""}:
        load_web_config(Path(name))
    print(f"{args.file}: ok")
    sources = config.sources or choose_sources(Path(config.exporter.host_root))
    readings = [scope_of(source, settings.rulebook) for source in sources]
    for text in preview(Path(config.store.path), readings, config.host):
        print(f"{args.file}: note: {printable(text)}")
    return DONE

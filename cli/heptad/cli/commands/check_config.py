"""heptad check-config: report all errors of a configuration at once."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from heptad.cli.commands import DEFAULT_CONFIG, DONE, add_command
from heptad.core.config.location import find_config
from heptad.core.config.schema import Config
from heptad.core.config.strict_yaml import DocumentError, Problem
from heptad.core.config.web import load_web_config
from heptad.core.terminal import printable
from heptad.exporter.app import choose_sources
from heptad.exporter.handover import preview, scope_of
from heptad.exporter.settings import load_settings

_EXAMPLES = """
heptad check-config                  the configuration that the commands read
heptad check-config heptad.yaml      another one
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "check-config", run, _EXAMPLES)
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        default=find_config(),
        metavar="FILE",
        help=f"the configuration file; {DEFAULT_CONFIG}",
    )


def run(args: argparse.Namespace) -> int:
    """Check the file, and the rule directories and web configuration files that it refers to.

    Raise DocumentError with the errors.
    """
    settings = load_settings(args.file, _check_web_files)
    config = settings.config
    name = args.file or "no configuration file, all options have their defaults"
    print(f"{name}: ok")
    sources = config.sources or choose_sources(Path(config.exporter.host_root))
    readings = [scope_of(source, settings.rulebook) for source in sources]
    for text in preview(Path(config.store.path), readings, config.host):
        print(f"{name}: note: {printable(text)}")
    return DONE


def _check_web_files(config: Config) -> Iterator[Problem]:
    files = (config.exporter.web_config_file, config.aggregator.web_config_file)
    for name in dict.fromkeys(filter(None, files)):
        try:
            load_web_config(Path(name))
        except DocumentError as error:
            yield from error.problems

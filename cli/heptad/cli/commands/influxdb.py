"""heptad influxdb: prepare the server for the fleet, and see whether this host gets on with it."""

import argparse
from pathlib import Path

from docs.generate.schema_page import BUCKETS
from heptad.cli.commands import (
    DONE,
    FAILED,
    WRONG_USE,
    add_command,
    add_config,
    print_error,
    set_up_log,
)
from heptad.cli.influxdb_admin import setup
from heptad.cli.influxdb_admin.check import check
from heptad.cli.influxdb_admin.roles import ROLES
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config, load_config
from heptad.core.influxdb.client import InfluxConnection

_EXAMPLES = """
heptad influxdb setup --config admin.yaml                       the three buckets
heptad influxdb setup --config admin.yaml --secrets-to secrets  and a token or user for each role
heptad influxdb setup --config admin.yaml --secrets-to secrets --renew   … other ones
heptad influxdb check --config /etc/heptad/heptad.yaml          does this host get on with it?
heptad influxdb check --config heptad.yaml --role aggregator    may it do what the aggregator does?
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = add_command(commands, "influxdb", run_check, _EXAMPLES)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    preparing = add_command(
        verbs,
        "setup",
        run_setup,
        "\n".join(_EXAMPLES.strip().splitlines()[:3]),
        "make the buckets, with their retention, and a token or user with least rights for "
        "each role; running it again makes nothing twice",
    )
    add_config(preparing)
    preparing.add_argument(
        "--secrets-to",
        type=Path,
        metavar="DIR",
        help="2.x: make a token for each role; 1.x: a user. What each shows the server goes into a "
        "new file in DIR that only you may read, for `token_file` or `password_file`",
    )
    preparing.add_argument(
        "--renew",
        action="store_true",
        help="with --secrets-to: make these anew, for example after a theft; the ones before are "
        "good no longer",
    )
    checking = add_command(
        verbs,
        "check",
        run_check,
        "\n".join(_EXAMPLES.strip().splitlines()[3:]),
        "say whether URL, version, clock, token and buckets work, and what to do if not",
    )
    add_config(checking)
    checking.add_argument(
        "--role",
        choices=sorted(ROLES),
        help="whose rights are needed; without it, told is whose work the rights suffice for",
    )


def run_setup(args: argparse.Namespace) -> int:
    """Prepare the server, and tell what was done."""
    config = load_config(args.config)
    set_up_log(config)
    influxdb = _find_section(config)
    if influxdb is None:
        return WRONG_USE
    if args.renew and args.secrets_to is None:
        print_error("--renew needs --secrets-to DIR, the folder for what it makes")
        return WRONG_USE
    connection = InfluxConnection(influxdb)
    try:
        for told in setup.prepare(connection, args.secrets_to, renew=args.renew):
            print(told, flush=True)
    finally:
        connection.close()
    return DONE


def run_check(args: argparse.Namespace) -> int:
    """Try everything, and tell each result on a line of its own."""
    config = load_config(args.config)
    set_up_log(config)
    influxdb = _find_section(config)
    if influxdb is None:
        return WRONG_USE
    connection = InfluxConnection(influxdb)
    faults = 0
    try:
        for result in check(connection, BUCKETS, args.role):
            print(f"{result.state:<6} {result.text}", flush=True)
            faults += result.state == "fault"
    finally:
        connection.close()
    return FAILED if faults else DONE


def _find_section(config: Config) -> InfluxConfig | None:
    if config.influxdb is None:
        print_error("no server is configured; write `influxdb:` with its `url:`, and name --config")
    return config.influxdb

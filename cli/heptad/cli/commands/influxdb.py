"""heptad influxdb: set up the server for the fleet, and check it from this host."""

import argparse
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
from heptad.cli.influxdb_admin import setup
from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.cli.influxdb_admin.check import check
from heptad.cli.influxdb_admin.roles import ROLES
from heptad.core.config.influxdb import InfluxConfig
from heptad.core.config.schema import Config, load_config
from heptad.core.influxdb.client import InfluxConnection

_EXAMPLES = """
heptad influxdb setup --config admin.yaml                       create the three buckets
heptad influxdb setup --config admin.yaml --secrets-to secrets  … and a token or user for each role
heptad influxdb setup --config admin.yaml --secrets-to secrets --renew   … replacing existing ones
heptad influxdb check --config /etc/heptad/heptad.yaml          check the setup of this host
heptad influxdb check --config heptad.yaml --role aggregator    check the rights of the aggregator
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "influxdb", run_check, _EXAMPLES)
    verbs = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    preparing = add_command(
        verbs,
        "setup",
        run_setup,
        "\n".join(_EXAMPLES.strip().splitlines()[:3]),
        "create the buckets with their retention, and a token or user with least privileges "
        "for each role; running it again creates nothing twice",
    )
    add_config(preparing)
    preparing.add_argument(
        "--secrets-to",
        type=Path,
        metavar="DIR",
        help="create a token (2.x) or a user (1.x) for each role and write each secret to a "
        "file in DIR that only you can read, for use as `token_file` or `password_file`",
    )
    preparing.add_argument(
        "--renew",
        action="store_true",
        help="with --secrets-to: replace existing tokens or passwords, for example after a "
        "leak; the old ones stop working",
    )
    checking = add_command(
        verbs,
        "check",
        run_check,
        "\n".join(_EXAMPLES.strip().splitlines()[3:]),
        "check URL, version, clock, token and buckets, and show how to fix what fails",
    )
    add_config(checking)
    checking.add_argument(
        "--role",
        choices=sorted(ROLES),
        help=(
            "check the permissions that this role requires; default: list the roles for which "
            "they are sufficient"
        ),
    )


def run_setup(args: argparse.Namespace) -> int:
    """Set up the server, and print what was done."""
    config = load_config(args.config)
    set_up_log(config)
    influxdb = _find_section(config)
    if influxdb is None:
        return WRONG_USE
    if args.renew and args.secrets_to is None:
        print_error("--renew requires --secrets-to DIR, the directory for the new secrets")
        return WRONG_USE
    connection = InfluxConnection(influxdb)
    try:
        for told in setup.prepare(connection, args.secrets_to, renew=args.renew):
            print(told, flush=True)
    finally:
        connection.close()
    return DONE


def run_check(args: argparse.Namespace) -> int:
    """Run all checks, and print each result on its own line."""
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
        print_error(
            "InfluxDB is not configured; add `influxdb:` with its `url:` to the configuration, "
            "and pass the file with --config"
        )
    return config.influxdb

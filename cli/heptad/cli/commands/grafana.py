"""heptad grafana: install or compare data sources, folder and dashboards in a running Grafana."""

import argparse
import re
from pathlib import Path
from typing import Any, Final

from heptad.cli.commands import DONE, FAILED, WRONG_USE, add_command, add_config, print_error
from heptad.cli.grafana.dashboards import load_dashboards, preset
from heptad.cli.grafana.datasources import (
    UIDS,
    choose,
    influxdb_datasources,
    prometheus_datasource,
    read_small,
)
from heptad.core import units
from heptad.core.config.influxdb import InfluxConfig, check_url
from heptad.core.config.options import check_sections, check_values
from heptad.core.config.schema import load_config

_EXAMPLES = """
heptad grafana push --url http://localhost:3000 --token-file grafana.token \\
    --prometheus-url http://localhost:9090 --config /etc/heptad/heptad.yaml
heptad grafana push --url https://NAME.grafana.net --token-file grafana.token \\
    --use prometheus=grafanacloud-prom \\
    --influxdb-url https://influxdb.example.org:8086 --influxdb-token-file secrets/grafana.token
heptad grafana push --url … --token-file … --dry-run     show what would change
heptad grafana push --url … --token-file … --check       exit with 1 if anything differs
"""
_WORDS: Final = {
    "write": {"missing": "created", "different": "changed", "same": "unchanged"},
    "dry_run": {"missing": "would be created", "different": "would be changed", "same": "the same"},
    "check": {"missing": "missing", "different": "differs", "same": "the same"},
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "grafana", run_push, _EXAMPLES)
    verbs = parser.add_subparsers(title="subcommands", metavar="COMMAND", required=True)
    pushing = add_command(
        verbs,
        "push",
        run_push,
        _EXAMPLES,
        "create or update resources that differ, and list the changes; running it again changes "
        "nothing",
    )
    pushing.add_argument("--url", required=True, help="URL of Grafana, including its sub-path")
    pushing.add_argument(
        "--token-file",
        type=Path,
        required=True,
        metavar="FILE",
        help=(
            "file with the token of a Grafana service account; its role must be Admin, or Editor "
            "if no data sources are installed"
        ),
    )
    modes = pushing.add_mutually_exclusive_group()
    modes.add_argument(
        "--dry-run", action="store_true", help="show what would change, without changing it"
    )
    modes.add_argument(
        "--check",
        action="store_true",
        help="only compare; the exit status is 1 if anything differs",
    )
    add_config(pushing)
    _add_sources(pushing)
    pushing.add_argument(
        "--dashboards",
        type=Path,
        metavar="DIR",
        help="install the dashboards of this directory instead of Heptad's",
    )
    pushing.add_argument(
        "--ca-file",
        default="",
        metavar="FILE",
        help="CA certificates (PEM) to verify Grafana's certificate with",
    )
    pushing.add_argument(
        "--timeout", default="10s", help="timeout of each request (default: %(default)s)"
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "data sources",
        "The URLs must be reachable from Grafana. Without these options, the dashboards use a "
        "data source that exists in Grafana; select it at the top of each dashboard.",
    )
    group.add_argument(
        "--prometheus-url", metavar="URL", help="install a data source for this Prometheus"
    )
    group.add_argument(
        "--prometheus-user", default="", metavar="NAME", help="user name for basic auth"
    )
    group.add_argument(
        "--prometheus-password-file",
        type=Path,
        metavar="FILE",
        help="file with the password for basic auth",
    )
    group.add_argument(
        "--scrape-interval",
        default="15s",
        metavar="TIME",
        help="scrape interval of Prometheus (default: %(default)s)",
    )
    _add_influxdb(group)
    group.add_argument(
        "--use",
        action="append",
        default=[],
        metavar="WHAT=UID",
        help="use an existing data source; WHAT is prometheus, events or reports",
    )
    group.add_argument(
        "--renew-secrets",
        action="store_true",
        help=(
            "send passwords and tokens even if nothing else changed; Grafana does not show "
            "whether they differ"
        ),
    )


def _add_influxdb(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--influxdb-url",
        metavar="URL",
        help=(
            "install two data sources for this InfluxDB; default: the InfluxDB of the configuration"
        ),
    )
    group.add_argument(
        "--influxdb-token-file",
        default="",
        metavar="FILE",
        help=(
            "2.x, 3.x: file with a token that may read; create one for Grafana with `heptad "
            "influxdb setup`"
        ),
    )
    group.add_argument(
        "--influxdb-user", default="", metavar="NAME", help="1.x: user that may read"
    )
    group.add_argument(
        "--influxdb-password-file",
        default="",
        metavar="FILE",
        help="1.x: file with the password of that user",
    )


def run_push(args: argparse.Namespace) -> int:
    """Install or compare all resources, and print the result for each."""
    # imports requests, which no other command needs
    from heptad.cli.grafana.client import Grafana
    from heptad.cli.grafana.push import FOLDER, DesiredState, Mode, list_datasources, push

    try:
        timeout = units.parse_duration(args.timeout)
        if not 0.1 <= timeout <= 300:
            raise ValueError("--timeout must be between 100ms and 5m")
        used = _parse_used(args.use)
        datasources = _datasources(args, used)
    except ValueError as error:
        print_error(str(error))
        return WRONG_USE
    boards = load_dashboards(args.dashboards)
    secrets = [text for source in datasources for text in source["secureJsonData"].values()]
    secrets += [secret.removeprefix("Token ") for secret in secrets]
    grafana = Grafana(args.url, read_small(args.token_file), args.ca_file, timeout, secrets)
    mode: Mode = "check" if args.check else "dry_run" if args.dry_run else "write"
    differing = 0
    try:
        there = list_datasources(grafana)
        left = choose(used, there, [source["uid"] for source in datasources])
        preset(boards, used, left)
        for step in push(grafana, DesiredState(datasources, boards, args.renew_secrets), mode):
            note = f" ({step.note})" if step.note else ""
            print(f"{step.thing}: {_WORDS[mode][step.state]}{note}", flush=True)
            differing += step.state != "same"
    finally:
        grafana.close()
    if left:
        print(
            f"no data source was specified for {', '.join(left)}; select one at the top of a "
            "dashboard"
        )
    if not differing:
        print("nothing to change: Grafana is up to date")
    elif mode == "write":
        print(f"see {grafana.url}/dashboards/f/{FOLDER}")
    return FAILED if args.check and differing else DONE


def _parse_used(pairs: list[str]) -> dict[str, str]:
    used = {}
    for pair in pairs:
        what, _, uid = pair.partition("=")
        if what not in UIDS or not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid):
            raise ValueError(
                f"--use {pair} is not valid; write WHAT=UID, where WHAT is one of "
                f"{', '.join(UIDS)} and UID is the last part of the URL of the data source's "
                "page in Grafana"
            )
        used[what] = uid
    read = {**UIDS, **used}
    if read["events"] == read["reports"]:
        raise ValueError(
            f"--use: events and reports cannot both use the data source {read['events']}, which "
            "reads one bucket; specify two data sources"
        )
    return used


def _datasources(args: argparse.Namespace, used: dict[str, str]) -> list[dict[str, Any]]:
    """Return the data sources to install; raise ValueError, GrafanaError or DocumentError."""
    made: list[dict[str, Any]] = []
    if args.prometheus_url:
        _check_url("--prometheus-url", args.prometheus_url)
        if bool(args.prometheus_user) != bool(args.prometheus_password_file):
            raise ValueError("--prometheus-user and --prometheus-password-file require each other")
        units.parse_duration(args.scrape_interval)
        path = args.prometheus_password_file
        password = read_small(path) if path else ""
        url = args.prometheus_url.rstrip("/")
        made.append(
            prometheus_datasource(url, args.scrape_interval, args.prometheus_user, password)
        )
    influxdb = _influxdb(args)
    if influxdb is not None:
        made += influxdb_datasources(influxdb)
    return [source for source in made if source["uid"] not in {UIDS[what] for what in used}]


def _influxdb(args: argparse.Namespace) -> InfluxConfig | None:
    """Return the server of the configuration; options override its settings."""
    config = load_config(args.config).influxdb
    if args.influxdb_url:
        config = config or InfluxConfig(args.influxdb_url)
        config.url = args.influxdb_url
    shown = (args.influxdb_token_file, args.influxdb_user, args.influxdb_password_file)
    if any(shown):
        if config is None:
            raise ValueError("no InfluxDB is specified; add --influxdb-url or --config")
        config.token = config.password = ""
        config.token_file, config.username, config.password_file = shown
    for fault in (*check_values(config), *check_sections(config)) if config else ():
        raise ValueError(f"influxdb.{'.'.join(map(str, fault.path))}: {fault.message}")
    return config


def _check_url(option: str, url: str) -> None:
    try:
        check_url(url)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None

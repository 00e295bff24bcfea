"""heptad status: whether Heptad runs on this host, what it reads, and how far behind it is."""

import argparse
import math
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from heptad.cli.commands import DONE, FAILED, WRONG_USE, add_command, add_config, print_error
from heptad.cli.part_status import PARTS, PartStatus, SourceStatus, examine
from heptad.core.config.location import describe_config
from heptad.core.config.schema import load_config
from heptad.core.config.small_file import read_file
from heptad.core.telemetry.masking import remember_secret
from heptad.core.terminal import escape_json, printable

_EXAMPLES = """
heptad status                                     both parts of this host
heptad status exporter                            only the exporter
heptad status --config /etc/heptad/heptad.yaml    the parts of this configuration
heptad status --format json | jq .state
heptad status --username scraper --password-file scraper.password
"""
_EPILOG: Final = """

exit status: 0 healthy, 1 problem or unknown, 2 not running
(also 2: invalid usage or configuration)"""
_ORDER: Final = ("healthy", "unknown", "problem", "not running")
_EXIT: Final = {"healthy": DONE, "unknown": FAILED, "problem": FAILED, "not running": 2}
_LONGEST_PASSWORD: Final = 4096


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "status", run, _EXAMPLES)
    parser.epilog = (parser.epilog or "") + _EPILOG
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part; default: both")
    add_config(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="output format; default: text"
    )
    parser.add_argument("--username", help="user name for basic auth; requires --password-file")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="a file that contains only the password"
    )


def run(args: argparse.Namespace) -> int:
    """Print the status of each part; the exit status is that of the worst one."""
    if (args.username is None) != (args.password_file is None):
        print_error("--username and --password-file require each other")
        return WRONG_USE
    if args.username is not None and ":" in args.username:
        print_error("--username: a user name must not contain a colon (RFC 7617)")
        return WRONG_USE
    config = load_config(args.config)
    login = _read_login(args)
    chosen = PARTS if args.part is None else (args.part,)
    parts = [examine(part, config, args.config, login) for part in chosen]
    counted = [one for one in parts if args.part or one.state != "not running" or one.has_run_here]
    worst = max((one.state for one in counted), key=_ORDER.index, default="not running")
    if args.format == "json":
        file = None if args.config is None else str(args.config)
        told = {"state": worst, "configuration": file, "parts": parts}
        print(escape_json(msgspec.json.format(msgspec.json.encode(told), indent=2).decode()))
    else:
        print(f"configuration: {printable(describe_config(args.config))}")
        for part in parts:
            print()
            for line in _describe(part, is_counted=part in counted):
                print(line)
    return _EXIT[worst]


def _read_login(args: argparse.Namespace) -> tuple[str, str] | None:
    if args.username is None:
        return None
    data = read_file(args.password_file, _LONGEST_PASSWORD)
    password = data.decode(errors="surrogateescape").rstrip("\r\n")
    remember_secret(password, args.username)
    return args.username, password


def _describe(part: PartStatus, *, is_counted: bool) -> Iterator[str]:
    yield f"{part.part}: {part.state}"
    rows: list[tuple[str, str]] = [("problem", text) for text in part.problems]
    rows += [("note", text) for text in part.notes]
    if part.state == "not running":
        rows.append(("address", f"{part.address}: the {part.part} does not listen there"))
        if not is_counted:
            rows.append(("note", "it has never run on this host with this configuration"))
    else:
        rows += _facts(part)
    for name, text in rows:
        yield f"  {name:<10} {text}"


def _facts(part: PartStatus) -> Iterator[tuple[str, str]]:
    process = f", process {part.process}" if part.process is not None else ""
    version = f", version {part.version}" if part.version else ""
    since = _when(part.running_since, " ago")
    yield "running", f"{f'since {since}' if since else 'start time unknown'}{version}{process}"
    yield "address", part.address
    yield "store", part.store
    for source in part.sources:
        yield "reads", _describe_source(source)
    if part.part == "exporter":
        until = _when(part.read_until, " ago")
        yield "read until", f"{until}: every log was read to its end" if until else "unknown"
    elif part.behind_seconds is not None:
        ago = _length(part.behind_seconds)
        yield "behind", f"all events that arrived up to {ago} ago have been processed"
    if part.delivers_to is not None:
        behind = part.delivery_behind_events
        last = _when(part.last_delivery, " ago") or "none since the start"
        waiting = "unknown" if behind is None else f"{behind:,}"
        yield (
            "delivers",
            f"to {part.delivers_to}; events waiting: {waiting}; last delivery: {last}",
        )


def _describe_source(source: SourceStatus) -> str:
    told = f"{source.name}: {source.reads or 'not in this configuration'}"
    if source.is_readable is False:
        told += "; cannot be read"
    if source.behind_bytes is not None:
        told += f"; {source.behind_bytes:,} bytes behind"
    return f"{told}; last event: {_when(source.last_event, ' ago') or 'none'}"


def _when(stamp: str | None, after: str) -> str:
    """Return the time on this host's clock, and how long ago it was; empty without a time."""
    if stamp is None:
        return ""
    moment = datetime.fromisoformat(stamp)
    ago = _length(max(0.0, time.time() - moment.timestamp()))
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z} ({ago}{after})"


def _length(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{math.ceil(seconds)} s"

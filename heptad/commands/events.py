"""heptad events: the stored events as 7W lines."""

import argparse
import time as clock
from collections.abc import Callable
from contextlib import ExitStack

from aggregator.evidence import read_evidence
from aggregator.finding import find_finding
from exporter.rendering import classify_address
from heptad.commands import (
    DONE,
    FAILED,
    WRONG_USE,
    add_command,
    add_config,
    add_local,
    complain,
    load_readable,
)
from heptad.commands.table import HEADING, format_event, format_json, wants_colour
from heptad.event import OUTCOMES, Event
from heptad.event_row import event_of_point
from heptad.store.opening import open_events, open_reports
from heptad.terminal import printable
from heptad.units import parse_time

_EXAMPLES = """
heptad events                                         the last hour
heptad events --since 24h --outcome failure --program sshd
heptad events --address 192.0.2.7 --user root
heptad events --finding 019e3c22d41f2a07              the log lines that a finding is made of
heptad events --follow                                as they come
heptad events --local                                 of this host, where InfluxDB has the fleet's
heptad events --since 7d --format jsonl | jq .user
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = add_command(commands, "events", run, _EXAMPLES)
    add_config(parser)
    add_local(parser)
    parser.add_argument(
        "--since", default="1h", metavar="T", help="24h (that long ago) or RFC 3339"
    )
    parser.add_argument("--user", help="only this account: who acted, was asked for or acted on")
    parser.add_argument("--address", help="only from this address")
    parser.add_argument("--program", help="only this program")
    parser.add_argument("--outcome", choices=sorted(OUTCOMES), help="only this outcome")
    parser.add_argument("--follow", action="store_true", help="go on with events as they come")
    parser.add_argument(
        "--finding",
        metavar="ID",
        help="only the events of this finding, of any age; `heptad report` prints the id",
    )
    parser.add_argument(
        "--format",
        choices=("table", "jsonl", "lines"),
        help="`lines` are the log lines themselves; the default with --finding, else `table`",
    )


def run(args: argparse.Namespace) -> int:
    """Print what is stored, then with --follow what comes."""
    try:
        since = parse_time(args.since)
    except ValueError as error:
        complain(str(error))
        return WRONG_USE
    if args.finding is not None:
        return _print_finding(args)
    tags = {"program": args.program, "outcome": args.outcome}
    address = args.address and (classify_address(args.address)[0] or args.address)
    wanted = {name: value for name, value in tags.items() if value is not None}
    shown = 0
    with ExitStack() as stack:
        store = open_events(load_readable(args), stack)
        show = make_printer(args.format)
        follower = store.follow(since, wanted)
        points = follower.history()
        while True:
            for event in map(event_of_point, points):
                if _matches(event, args.user, address):
                    show(event)
                    shown += 1
            if not args.follow:
                break
            clock.sleep(follower.pause)
            points = follower.look()
        if not shown:
            complain(f"no such events since {args.since}; a longer --since may show some")
    return DONE


def _print_finding(args: argparse.Namespace) -> int:
    """Print the events of the finding ``args.finding``."""
    config = load_readable(args)
    with ExitStack() as stack:
        events, reports = open_events(config, stack), open_reports(config, stack)
        finding = find_finding(reports, args.finding) if reports is not None else None
        if reports is None or finding is None:
            complain(f"no finding {args.finding}; `heptad report` prints the id of each")
            return FAILED
        evidence = read_evidence(reports, events, finding)
    show = make_printer(args.format or "lines")
    for event in evidence.events:
        show(event)
    if note := evidence.note(finding):
        complain(note)
    return DONE


def make_printer(form: str | None) -> Callable[[Event], None]:
    """Prints events in a format; a table begins with its heading."""
    if form == "lines":
        return lambda event: print(printable(event.raw) if event.raw else format_event(event))
    if form == "jsonl":
        return lambda event: print(format_json(event), flush=True)
    colour = wants_colour()
    print(HEADING)
    return lambda event: print(format_event(event, colour=colour), flush=True)


def _matches(event: Event, user: str | None, address: str | None) -> bool:
    if user is not None and user not in (event.user, event.target_user):
        return False
    return address is None or address in (event.source_ip, event.source_domain)

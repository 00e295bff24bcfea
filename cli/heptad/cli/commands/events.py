"""heptad events: print stored events as 7W lines."""

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Final

from heptad.aggregator.detection.evidence import read_evidence
from heptad.aggregator.detection.finding import find_finding
from heptad.aggregator.reports import REPORTED
from heptad.cli.commands import (
    DONE,
    FAILED,
    WRONG_USE,
    add_command,
    add_config,
    add_local,
    add_span,
    choose_word,
    load_readable,
    print_error,
    print_rejected,
    read_span,
)
from heptad.cli.table import format_event, format_heading, format_json, terminal_width, wants_colour
from heptad.core.event import ACTIONS, OUTCOMES, Event
from heptad.core.stores import open_events, open_reports
from heptad.core.terminal import printable
from heptad.core.validation import Intake
from heptad.exporter.parsing.captured_fields import classify_address
from heptad.exporter.parsing.rulebook import load_rulebook

_EXAMPLES = """
heptad events                                         events of the last hour
heptad events --since 24h --outcome failure --program sshd
heptad events --action login --address 192.0.2.7 --user root
heptad events --host web-1 --since 2026-03-01 --until 2026-03-02
heptad events --limit 20 --since 7d                   the newest 20
heptad events --finding 019e3c22d41f2a07              the log lines behind a finding
heptad events --limit 5 --follow                      the newest 5, then new ones as they arrive
heptad events --local                                 from the store of this host, not from InfluxDB
heptad events --since 7d --format jsonl | jq .user
"""

_MOST: Final = 100_000


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "events", run, _EXAMPLES)
    add_config(parser)
    add_local(parser)
    add_span(parser, since="1h")
    parser.add_argument("--host", help="only events of this host")
    parser.add_argument(
        "--action", help=("only events with this action, for example login (see docs/events.md)")
    )
    parser.add_argument("--user", help="only events of this account, as the actor or as the target")
    parser.add_argument(
        "--address", help="only events from this address or network, for example 2001:db8::/64"
    )
    parser.add_argument("--program", help="only events of this program")
    parser.add_argument("--outcome", help=f"only events with this outcome: {', '.join(OUTCOMES)}")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="only the newest N events; with --follow, print these first",
    )
    parser.add_argument(
        "--follow", action="store_true", help="keep running and print new events as they arrive"
    )
    parser.add_argument(
        "--finding",
        metavar="ID",
        help="only the events of this finding, whatever their age; `heptad report` prints the id",
    )
    parser.add_argument(
        "--format",
        choices=("table", "jsonl", "lines"),
        help=(
            "output format; `lines` prints the original log lines; default: `lines` with "
            "--finding, otherwise `table`"
        ),
    )


def run(args: argparse.Namespace) -> int:
    """Print the stored events, and with --follow also new ones."""
    try:
        since, until = read_span(args)
        wanted = _read_tags(args)
    except ValueError as error:
        print_error(str(error))
        return WRONG_USE
    if args.finding is not None:
        return _print_finding(args)
    is_from = _read_origin(args.address)
    shown, intake = 0, Intake()

    def select(events: Iterable[Event]) -> Iterator[Event]:
        return (event for event in events if _is_of(event, args.user) and is_from(event))

    with ExitStack() as stack:
        store = open_events(load_readable(args), stack, intake)
        show = make_printer(args.format)
        tail = store.tail(since, wanted)
        stored = select(tail.history() if until is None else store.events(since, until, wanted))
        for event in stored if args.limit is None else deque(stored, args.limit):
            show(event)
            shown += 1
        while args.follow:
            time.sleep(tail.pause)
            for event in select(tail.poll()):
                show(event)
    print_rejected(intake)
    if not shown:
        print_error(_explain_nothing(args))
    return DONE


def _read_tags(args: argparse.Namespace) -> dict[str, str]:
    """Return the tags to select; raise ValueError if an option is invalid."""
    if args.limit is not None and not 1 <= args.limit <= _MOST:
        raise ValueError(f"--limit {args.limit} is out of range; it must be between 1 and {_MOST}")
    if args.follow and args.until is not None:
        raise ValueError("--until and --follow cannot be combined; remove one of them")
    if args.action is not None:
        choose_word("--action", args.action, ACTIONS)
    if args.outcome is not None:
        choose_word("--outcome", args.outcome, OUTCOMES)
    names = ("host", "program", "action", "outcome")
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def _explain_nothing(args: argparse.Namespace) -> str:
    """Return why there may be no events, and what to try."""
    if args.program is not None:
        try:
            programs = {program.name for program in load_rulebook().programs.values()}
            choose_word("--program", args.program, programs | {"heptad"})
        except ValueError as error:
            return f"no events found; {error}"
    end = "" if args.until is None else f" until {args.until}"
    return f"no events found since {args.since}{end}; try an earlier --since"


def _print_finding(args: argparse.Namespace) -> int:
    config, intake = load_readable(args), Intake(REPORTED)
    with ExitStack() as stack:
        events = open_events(config, stack, intake)
        reports = open_reports(config, stack, intake)
        finding = find_finding(reports, args.finding) if reports is not None else None
        if reports is None or finding is None:
            print_error(
                f"no finding has the id {args.finding}; `heptad report` prints the id of each "
                "finding"
            )
            return FAILED
        evidence = read_evidence(reports, events, finding)
    show = make_printer(args.format or "lines")
    for event in evidence.events:
        show(event)
    if note := evidence.note(finding):
        print_error(note)
    print_rejected(intake)
    return DONE


def make_printer(form: str | None) -> Callable[[Event], None]:
    """Return a function that prints events; for a table, print the heading first."""
    if form == "lines":
        return lambda event: print(printable(event.raw) if event.raw else format_event(event))
    if form == "jsonl":
        return lambda event: print(format_json(event), flush=True)
    colour = wants_colour()
    print(format_heading(terminal_width()))

    def show(event: Event) -> None:
        # the window size may change
        print(format_event(event, colour=colour, room=terminal_width()), flush=True)

    return show


def _is_of(event: Event, user: str | None) -> bool:
    return user is None or user in (event.user, event.target_user)


def _read_origin(text: str | None) -> Callable[[Event], bool]:
    """Return a function that checks whether an event comes from this address, name or network."""
    if text is None:
        return lambda event: True
    network = None
    if "/" in text:
        with suppress(ValueError):
            network = ip_network(text, strict=False)
    if network is None:
        address = classify_address(text)[0] or text
        return lambda event: address in (event.source_ip, event.source_domain)

    @lru_cache(maxsize=4096)
    def is_within(source: str | None) -> bool:
        try:
            return source is not None and ip_address(source) in network
        except ValueError:
            return False

    return lambda event: is_within(event.source_ip)

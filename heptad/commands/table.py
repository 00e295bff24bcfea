"""Events as a person reads them: the seven answers on one line, or JSON, one object a line."""

import os
import sys
from datetime import datetime
from typing import Any

import msgspec

from heptad.commands.screen import COLOURS, PLAIN
from heptad.event import Event
from heptad.terminal import escape_json, printable
from heptad.units import SECOND, format_time

_ROW = "{:<19}  {:<12} {:<9} {:<38} {:<24} {:<28} {}"
HEADING = _ROW.format("WHEN", "WHERE", "TO WHERE", "WHAT", "WHO", "FROM WHERE", "ON WHAT").rstrip()


def format_event(event: Event, *, colour: bool = False) -> str:
    """One line; everything that came from a log is made harmless for a terminal."""
    when = datetime.fromtimestamp(event.time // SECOND).astimezone()
    what = " ".join(filter(None, (event.action, event.outcome, event.method, event.reason)))
    times = f" ×{event.count}" if event.count > 1 else ""
    who = event.user or ("''" if event.user == "" else "-")
    if event.target_user is not None:
        who += f" → {event.target_user}"
    source = event.source_ip or event.source_domain or event.tty or "-"
    if event.source_port is not None:
        source += f" port {event.source_port}"
    line = _ROW.format(
        f"{when:%Y-%m-%d %H:%M:%S}",
        printable(event.host, 12),
        printable(event.program, 9),
        printable(what, 38 - len(times)) + times,
        printable(who, 24),
        printable(source, 28),
        printable(event.object or "", 80),
    ).rstrip()
    return f"{COLOURS[event.outcome]}{line}{PLAIN}" if colour and event.outcome in COLOURS else line


def format_json(event: Event, **more: Any) -> str:
    """A JSON object with the event's own field names; ``time`` as RFC 3339."""
    fields: dict[str, Any] = {"time": format_time(event.time), **more}
    fields |= {
        name: value
        for name, value in msgspec.structs.asdict(event).items()
        if name != "time" and value is not None and value != ""
    }
    if event.user == "":
        fields["user"] = ""
    return escape_json(msgspec.json.encode(fields).decode())


def wants_colour() -> bool:
    """Whether standard output is a terminal and nobody asked for plain text (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")

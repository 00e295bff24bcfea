"""Format events for reading: the seven answers on one line, or one JSON object per line."""

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from heptad.cli.screen import COLOURS, PLAIN
from heptad.core.event import Event
from heptad.core.terminal import columns, escape_json, printable
from heptad.core.units import SECOND, format_time

HEADINGS: Final = ("Time", "Host", "Service", "Event", "User", "Source", "Object")
_WIDEST: Final = (19, 12, 9, 38, 24, 28, 80)
"""Column widths without a limit: if the output is not a terminal."""
_NARROWEST: Final = (8, 5, 6, 13, 8, 15, 0)
_BY_NEED: Final = (
    (3, 20),
    (2, 8),
    (4, 10),
    (0, 14),
    (1, 8),
    (2, 9),
    (3, 30),
    (5, 24),
    (0, 19),
    (6, 24),
)
"""(column, width): which column grows first, up to which width, if there is room."""
_WHENS: Final = {19: "%Y-%m-%d %H:%M:%S", 14: "%m-%d %H:%M:%S", 8: "%H:%M:%S"}


def terminal_width() -> int | None:
    """Return the columns of the terminal on standard output; None if it is not a terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


@lru_cache(maxsize=64)
def _widths(room: int | None) -> tuple[int, ...]:
    """Return the width of each column; 0 for one that is omitted."""
    if room is None:
        return _WIDEST
    widths = list(_NARROWEST)
    left = room - sum(widths) - len(widths) + 2  # a space after each column but the last
    wanted = [*_BY_NEED, *enumerate(_WIDEST[:-1])]
    for place, width in wanted:
        more = width - widths[place]
        if place == 6 and not widths[6]:
            more += 1  # the space before it
        if place == 0 and more > left:
            continue  # a time is shown completely or not at all
        if more > 0 and left > 0:
            widths[place] += min(more, left) - (place == 6 and not widths[6])
            left -= min(more, left)
    if widths[6]:
        widths[6] += max(left, 0)
    return tuple(widths)


def format_heading(room: int | None = None) -> str:
    """Return the heading of a table with ``room`` columns; None: no limit."""
    return _join(HEADINGS, _widths(room))


def _join(texts: Sequence[str], widths: Sequence[int]) -> str:
    """Join texts into columns, by the width that their characters have on a terminal."""
    cells = [(text, width) for text, width in zip(texts, widths, strict=True) if width > 0]
    shown = [printable(text, width) for text, width in cells]
    return " ".join(
        text + " " * (width - columns(text)) for text, (_, width) in zip(shown, cells, strict=True)
    ).rstrip()


def format_event(event: Event, *, colour: bool = False, room: int | None = None) -> str:
    """Format an event in one line of ``room`` columns; text from logs is escaped."""
    widths = _widths(room)
    when = datetime.fromtimestamp(event.time // SECOND).astimezone()
    what = " ".join(filter(None, (event.action, event.outcome, event.method, event.reason)))
    times = f" ×{event.count}" if event.count > 1 else ""
    who = event.user or ("''" if event.user == "" else "-")
    if event.target_user is not None:
        who += f" → {event.target_user}"
    source = event.source_ip or event.source_domain or event.tty or "-"
    if event.source_port is not None and widths[5] >= 22:
        source += f" port {event.source_port}"
    if not widths[6] and event.object and not event.source_ip:
        source = event.object  # the object says more than the terminal
    texts = (
        when.strftime(_WHENS[widths[0]]),
        event.host,
        event.program,
        printable(what, widths[3] - len(times)) + times,
        who,
        source,
        event.object or "",
    )
    line = _join(texts, widths)
    return f"{COLOURS[event.outcome]}{line}{PLAIN}" if colour and event.outcome in COLOURS else line


def format_json(event: Event, **more: Any) -> str:
    """Return a JSON object with the event's own field names; ``time`` as RFC 3339."""
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
    """Return whether standard output is a terminal and NO_COLOR is not set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")

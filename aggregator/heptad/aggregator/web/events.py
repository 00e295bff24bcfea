"""The view of events: newest first, and those that arrived since."""

import time
import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from heptad.aggregator.detection.finding import identity_of
from heptad.aggregator.web.query import Budget, Query
from heptad.core.event import Event
from heptad.core.store.api import EventStore
from heptad.core.terminal import printable
from heptad.core.units import SECOND, format_time

SHOWN: Final = 256
"""The maximum number of columns shown of a value."""
_SHOWN_RAW: Final = 4096
_SECONDS: Final = 0.6
_AHEAD: Final = 60 * SECOND
"""Events up to this far ahead of the clock are shown, because clocks differ."""
_TAGS: Final = ("host", "program", "action", "outcome")
TEXTS: Final = (
    "host source program action outcome method reason user target_user source_ip source_domain "
    "tty object log_host trust path unit"
).split()
NUMBERS: Final = ("count", "source_port", "pid")


def find_events(store: EventStore, query: Query, seconds: float | None = None) -> dict[str, Any]:
    """Return the newest ``query.limit`` matching events, or those since ``query.after``.

    ``next`` is a cursor if there may be more; ``searched_to`` is how far back the search went.
    ``skipped`` is true if more events arrived than are returned. The search ends after ``seconds``.
    """
    now = int(time.time() * SECOND)
    # an event far ahead of the clock would be listed before all others
    query = msgspec.structs.replace(query, until=min(query.until, now + _AHEAD))
    if query.after >= 0:
        return _follow(store, query)
    position = store.newest_position()
    found: list[dict[str, Any]] = []
    budget = Budget(_SECONDS if seconds is None else seconds)
    cursor = (query.until - 1, 0)
    more = False
    for behind, event in _walk(store, query):
        cursor = behind
        if _fits(event, query):
            found.append(show_event(event))
        more = len(found) >= query.limit or budget.is_over()
        if more:
            break
    return {
        "events": found,
        "position": position,
        "next": f"{cursor[0]}.{cursor[1]}" if more else None,
        "searched_to": format_time(cursor[0] if more else query.since),
    }


def _walk(store: EventStore, query: Query) -> Iterator[tuple[tuple[int, int], Event]]:
    """Yield the events of the range, newest first, each with the cursor to what follows it."""
    until, skip = query.until, 0
    if query.before is not None:
        until, skip = min(query.before[0] + 1, until), query.before[1]
    last, same_time = until - 1, 0
    for event in store.events(query.since, until, query.tags(*_TAGS), newest_first=True):
        same_time = same_time + 1 if event.time == last else 1
        last = event.time
        if last < until - 1 or same_time > skip:
            yield (last, same_time), event


def _follow(store: EventStore, query: Query) -> dict[str, Any]:
    newest = store.newest_position()
    # in a store that was replaced, positions start at the beginning
    begin = query.after if query.after <= newest else 0
    begin = max(begin, newest - 5 * query.limit)
    events, position = store.since_arrival(begin, 5 * query.limit, query.tags(*_TAGS))
    found = [
        show_event(event)
        for event in events
        if query.since <= event.time < query.until and _fits(event, query)
    ]
    found.sort(key=lambda event: str(event["time"]), reverse=True)
    skipped = begin > query.after or len(found) > query.limit
    return {"events": found[: query.limit], "position": position, "skipped": skipped}


def fits(event: Event, query: Query) -> bool:
    """Return whether an event matches; a value also matches in its displayed form."""
    wanted = query.tags(*_TAGS).items()
    return all(getattr(event, tag) == value for tag, value in wanted) and _fits(event, query)


def _fits(event: Event, query: Query) -> bool:
    """Match user, address and text; a value also matches in its displayed form."""
    if query.user and not _is_one_of(query.user, event.user, event.target_user):
        return False
    if query.address and not _is_one_of(query.address, event.source_ip, event.source_domain):
        return False
    if not query.text:
        return True
    values = (event.raw, *(str(getattr(event, name) or "") for name in TEXTS))
    return any(query.text.lower() in value.lower() for value in values)


def _is_one_of(wanted: str, *values: str | None) -> bool:
    return any(v is not None and wanted in (v, printable(v, SHOWN)) for v in values)


def show_event(event: Event) -> dict[str, Any]:
    """Return an event as the page shows it, with control characters escaped."""
    shown: dict[str, Any] = {
        "key": f"{event.time}-{zlib.crc32(identity_of(event).series.encode()):08x}"
    }
    shown["time"] = format_time(event.time)
    shown |= {
        name: printable(value, SHOWN)
        for name in TEXTS
        if (value := getattr(event, name)) is not None
    }
    shown |= {name: value for name in NUMBERS if (value := getattr(event, name)) is not None}
    shown["raw"] = printable(event.raw, _SHOWN_RAW)
    return shown

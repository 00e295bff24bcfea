"""An event as the stores keep it: tags in the head, everything an attacker may choose in fields."""

import re
from collections.abc import Callable
from functools import lru_cache
from types import NoneType
from typing import Final, get_args, get_type_hints

import msgspec

from heptad.event import FIELDS, TAGS, Event
from heptad.line_protocol import decode_head, encode_fields, encode_head
from heptad.schema import Field, Measurement
from heptad.store import Point, Row, point_of

MEASUREMENT: Final = "events"
LEFT_OVER: Final = "not_understood"
"""Lines of known programs that no rule understood."""
_OWN: Final = frozenset({"time", "raw", *TAGS})


def _declare() -> dict[str, Field]:
    """The fields, each with the type that it has in ``Event``."""
    hints = get_type_hints(Event)
    types = {
        name: next((t for t in get_args(hint) if t is not NoneType), hint)
        for name, hint in hints.items()
    }
    own = {"time", *TAGS}
    return {name: Field(types[name], f.meaning) for name, f in FIELDS.items() if name not in own}


EVENTS: Final = Measurement(
    name=MEASUREMENT,
    about="What happened on the hosts, one row an event: see [events](events.md).",
    always="count",
    tags={tag: FIELDS[tag].meaning for tag in TAGS},
    fields=_declare(),
)


@lru_cache(maxsize=8192)
def head_of(*tags: str) -> str:
    """The head of an event with these values of ``TAGS``, in that order."""
    return encode_head(MEASUREMENT, zip(TAGS, tags, strict=True))


def row_of_event(event: Event) -> Row:
    """The row of an event; its time may still move on when it is stored."""
    fields = {k: v for k, v in msgspec.structs.asdict(event).items() if k not in _OWN}
    head = head_of(*(getattr(event, tag) for tag in TAGS))
    return (head, event.time, encode_fields(fields), event.raw)


def _match_fields() -> Callable[[str], re.Match[str] | None]:
    """Matches the body of an event without an escape, in the order in which it is written."""
    patterns = []
    for name in Event.__struct_fields__:
        if name in EVENTS.fields and name not in _OWN:
            value = r"(\d+)i" if EVENTS.fields[name].type is int else r'"([^"\\]*)"'
            pattern = f"{name}={value},?"
            # an empty branch costs half of what "?" does: most are not there
            patterns.append(pattern if name == EVENTS.always else f"(?:{pattern}|)")
    return re.compile("".join(patterns)).fullmatch


_match = _match_fields()


@lru_cache(maxsize=8192)
def _tags_of(head: str) -> tuple[str, ...]:
    tags = decode_head(head)[1]
    return tuple(tags.get(tag, "") for tag in TAGS)


def event_of_row(head: str, time: int, body: str, raw: str = "") -> Event:
    """The event of a stored row, quicker than by way of a point, for they are many."""
    found = _match(body)
    if found is None:
        return event_of_point(point_of(head, time, body, raw))
    count, user, target, address, port, domain, tty, object_, pid, log_host, trust, path, unit = (
        found.groups()
    )
    host, source, program, action, outcome, method, reason = _tags_of(head)
    return Event(
        time,
        host,
        source,
        program,
        action,
        outcome,
        method,
        reason,
        int(count),
        user,
        target,
        address,
        int(port) if port else None,
        domain,
        tty,
        object_,
        int(pid) if pid else None,
        log_host,
        trust or "file",
        path,
        unit,
        raw,
    )


def event_of_point(point: Point) -> Event:
    """The event of a stored point; what this version does not know is left out."""
    return msgspec.convert({**point.tags, **point.fields, "time": point.time}, Event)

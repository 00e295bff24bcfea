"""Events as the stores keep them: tags in the series, everything an attacker controls in fields."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from types import NoneType
from typing import Final, get_args, get_type_hints

import msgspec
from msgspec.structs import asdict

from heptad.core.event import FIELDS, LATEST, MOST_COUNT, TAGS, Event
from heptad.core.store.line_protocol import (
    decode_series,
    encode_fields,
    encode_series,
    escape,
    point_of,
)
from heptad.core.store.measurements import Field, Measurement
from heptad.core.store.point import Identity, Point, Row
from heptad.core.validation import (
    FAULTS,
    LONGEST,
    LONGEST_LINE,
    Intake,
    Invalid,
    check_encoding,
    check_text,
)

MEASUREMENT: Final = "events"
UNPARSED: Final = "not_understood"
"""Lines of known programs that no rule matches."""
_OWN: Final = frozenset({"time", "raw", *TAGS})
_NEEDED: Final = TAGS[:5]
"""Every event has these tags; others are omitted if empty."""
_DIGITS: Final = 18
Content = tuple[str | None, str | None, str | None, int | None, str | None, str | None, str | None]
"""The fields of an event that come from the message alone: user, target_user, source_ip,
source_port, source_domain, tty and object. Creating a NamedTuple would take four times as long."""


def _declare() -> dict[str, Field]:
    """Return the fields, each with its type in ``Event``."""
    hints = get_type_hints(Event)
    types = {
        name: next((t for t in get_args(hint) if t is not NoneType), hint)
        for name, hint in hints.items()
    }
    own = {"time", *TAGS}
    return {
        name: Field(types[name], f.description) for name, f in FIELDS.items() if name not in own
    }


EVENTS: Final = Measurement(
    name=MEASUREMENT,
    about="What happened on the hosts, one row per event: see [events](events.md).",
    always="count",
    tags={tag: FIELDS[tag].description for tag in TAGS},
    fields=_declare(),
)


@lru_cache(maxsize=8192)
def series_of(*tags: str) -> str:
    """Return the series of events with these values of ``TAGS``, in that order."""
    return encode_series(MEASUREMENT, zip(TAGS, tags, strict=True))


def series_of_event(event: Event) -> str:
    """Return the series of an event: its measurement and tags."""
    return series_of(
        event.host,
        event.source,
        event.program,
        event.action,
        event.outcome,
        event.method,
        event.reason,
    )


def encode_content(content: Content, plain: bool = False) -> str:
    """Encode the fields that come from the message alone, each after a comma.

    Like ``encode_fields``, field by field without a loop, because most lines need it.
    ``plain``: they come from text without characters that must be escaped.
    """
    user, target_user, ip, port, domain, tty, object_ = content
    if not plain:
        texts = (user, target_user, ip, domain, tty, object_)
        user, target_user, ip, domain, tty, object_ = (t and escape(t) for t in texts)
    encoded = "" if user is None else f',user="{user}"'
    if target_user is not None:
        encoded += f',target_user="{target_user}"'
    if ip is not None:
        encoded += f',source_ip="{ip}"'
    if port is not None:
        encoded += f",source_port={port}i"
    if domain is not None:
        encoded += f',source_domain="{domain}"'
    if tty is not None:
        encoded += f',tty="{tty}"'
    if object_ is not None:
        encoded += f',object="{object_}"'
    return encoded


def encode_origin(log_host: str | None, trust: str, path: str | None, unit: str | None) -> str:
    """Encode the fields that all lines of one origin share, each after a comma."""
    fields = {"log_host": log_host, "trust": trust, "path": path, "unit": unit}
    return f",{encode_fields(fields)}"


def row_of_event(event: Event) -> Row:
    """Encode an event; its time may still change when it is stored."""
    fields = {name: value for name, value in asdict(event).items() if name not in _OWN}
    return Row(series_of_event(event), event.time, encode_fields(fields), event.raw)


def _match_fields() -> Callable[[str], re.Match[str] | None]:
    """Match the body of an event without escapes, in the order in which it is written."""
    patterns = []
    for name in Event.__struct_fields__:
        if name in EVENTS.fields and name not in _OWN:
            value = r"(\d+)i" if EVENTS.fields[name].type is int else r'"([^"\\]*)"'
            pattern = f"{name}={value},?"
            # an empty branch costs half of what "?" does: most fields are missing
            patterns.append(pattern if name == EVENTS.always else f"(?:{pattern}|)")
    return re.compile("".join(patterns)).fullmatch


_match = _match_fields()


@lru_cache(maxsize=8192)
def _tags_of(series: str) -> tuple[str, ...]:
    tags = _check_tags(decode_series(series)[1])
    return tuple(tags.get(tag, "") for tag in TAGS)


def _check_tags(tags: dict[str, str]) -> dict[str, str]:
    own: dict[str, str] = {tag: tags[tag] for tag in TAGS if tag in tags}
    if not all(own.get(tag) for tag in _NEEDED):
        raise Invalid("missing", f"one of the tags {', '.join(_NEEDED)}")
    check_text("".join(own.values()))
    return own


def event_of_row(row: Row) -> Event:
    """Convert a stored row to an event, faster than through a point, because there are many.

    Raise one of ``heptad.core.validation.FAULTS`` if it is invalid.
    """
    time, body, raw = row.time, row.body, row.raw
    found = _match(body)
    usual = type(time) is int and 0 <= time < LATEST and type(raw) is str
    if found is None or not usual or len(body) > LONGEST or "\0" in body:
        return event_of_point(point_of(row))
    if not (body.isascii() and raw.isascii()):
        check_encoding(body + raw)
    if len(raw) > LONGEST_LINE:
        raise Invalid("text", f"a line of {len(raw)} characters")
    count, user, target, address, port, domain, tty, object_, pid, log_host, trust, path, unit = (
        found.groups()
    )
    host, source, program, action, outcome, method, reason = _tags_of(row.series)
    if not (len(count) <= _DIGITS and 1 <= int(count) <= MOST_COUNT):
        raise Invalid("number", f"a count of {count[:20]}")
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
    """Convert a stored point to an event; fields unknown to this version are ignored.

    Raise one of ``heptad.core.validation.FAULTS`` if it is invalid.
    """
    _, tags, fields, time = point
    own = {name: value for name, value in fields.items() if name in EVENTS.fields}
    if EVENTS.always not in own:
        raise Invalid("missing", f"no field `{EVENTS.always}`")
    event = msgspec.convert({**_check_tags(tags), **own, "time": time}, Event)
    for name, value in own.items():
        if type(value) is not str:
            continue
        if name != "raw":
            check_text(value)
        elif len(value) > LONGEST_LINE:
            raise Invalid("text", f"a line of {len(value)} characters")
        elif not value.isascii():
            check_encoding(value)
    return event


def events_of_points(points: Iterable[Point], intake: Intake) -> Iterator[Event]:
    """Convert stored points to events; invalid ones are skipped."""
    return intake.sift("event", points, event_of_point, identify)


def identify(point: Point) -> Identity:
    """Return the identity of a stored point."""
    return Identity(point.time, encode_series(point.measurement, sorted(point.tags.items())))


def identify_row(row: Row) -> Identity:
    """Return the identity of a stored row."""
    try:
        return identify(point_of(Row(row.series, row.time, "")))
    except FAULTS:
        return Identity(row.time, row.series)

"""An event as the stores keep it: tags in the head, everything an attacker may choose in fields."""

from functools import lru_cache

import msgspec

from heptad.event import TAGS, Event
from heptad.line_protocol import encode_head, quote
from heptad.store import Point, Row

MEASUREMENT = "events"


@lru_cache(maxsize=4096)
def _head(tags: tuple[str, ...]) -> str:
    return encode_head(MEASUREMENT, zip(TAGS, tags, strict=True))


def row_of_event(event: Event) -> Row:
    """The row of an event; its time may still move on when it is stored."""
    e = event
    head = _head((e.host, e.source, e.program, e.action, e.outcome, e.method, e.reason))
    parts = [f'count={e.count}i,trust="{e.trust}"']
    for name, text in (
        ("user", e.user),
        ("target_user", e.target_user),
        ("source_ip", e.source_ip),
        ("source_domain", e.source_domain),
        ("tty", e.tty),
        ("object", e.object),
        ("log_host", e.log_host),
        ("path", e.path),
        ("unit", e.unit),
    ):
        if text is not None:
            parts.append(f"{name}={quote(text)}")
    if e.source_port is not None:
        parts.append(f"source_port={e.source_port}i")
    if e.pid is not None:
        parts.append(f"pid={e.pid}i")
    return Row(head, e.time, ",".join(parts), e.raw)


def event_of_point(point: Point) -> Event:
    """The event of a stored point; what this version does not know is left out."""
    return msgspec.convert({**point.tags, **point.fields, "time": point.time}, Event)

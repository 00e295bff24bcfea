"""What an exporter and an aggregator write of a log, as the lines that go to InfluxDB."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from aggregator.findings import rules_of
from exporter.sources import Batch
from heptad.findings_config import FindingsConfig
from heptad.line_protocol import decode_head
from heptad.store.outbox import Outbox
from tests.aggregator_world import World
from tests.feed import Bench

# line protocol a second time, by InfluxDB's reference: the type of a value is seen from its form
_FORMS: Final = {
    "string": r'"(?:[^"\\\n]|\\["\\nr])*"',
    "integer": r"-?\d+i",
    "float": r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?",
    "boolean": r"true|false",
}
_VALUE: Final = "|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items())
_FIELD: Final = re.compile(rf"(?P<key>[a-z_0-9]+)=(?:{_VALUE})(?P<more>,?)")
_HEAD: Final = re.compile(r"(?:[^\\ \n]|\\[^\n])+")


class Line(NamedTuple):
    """A line of line protocol; ``types`` are those of its fields, by name."""

    measurement: str
    tags: dict[str, str]
    types: dict[str, str]
    text: str


def parse_line(text: str) -> Line:
    """A line, read from its beginning to its end; fails where it is none."""
    head = _HEAD.match(text)
    assert head is not None
    assert text[head.end()] == " "
    at, types, more = head.end() + 1, {}, ","
    while more:
        field = _FIELD.match(text, at)
        assert field is not None, text[at:]
        assert field["key"] not in types, text
        types[field["key"]] = next(form for form in _FORMS if field[form] is not None)
        at, more = field.end(), field["more"]
    assert re.fullmatch(r" -?\d+", text[at:]), text[at:]
    measurement, tags = decode_head(head[0])
    return Line(measurement, tags, types, text)


def write_everything(folder: Path, *logs: list[str]) -> list[Line]:
    """What is written of logs, each read by a source of its own: events, findings and reports."""
    bench = Bench(folder / "events.db")
    feeds: list[list[Batch | list[str]]] = [[log] for log in logs]
    bench.start(*feeds)
    bench.run()
    bench.stop()
    with World(folder, rules=rules_of(FindingsConfig())) as world:
        world.finish()
    return [*lines_of(folder / "events.db"), *lines_of(folder / "reports.db")]


def lines_of(path: Path) -> Iterable[Line]:
    """All that a store would deliver."""
    outbox = Outbox(path)
    try:
        lines = outbox.take(0, 2**40, 2**40, -(2**62)).lines
    finally:
        outbox.close()
    return map(parse_line, lines)

"""What exporter and aggregator write for a log, as lines for InfluxDB."""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from docs.generate.series import find_report_tags, find_tag_sets
from heptad.aggregator.detection.finding import ENDS, PROGRAMS, SEVERITIES
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.detection.rules.session import SessionRule
from heptad.aggregator.reports import REPORTS, WINDOWS
from heptad.cli.influxdb_admin.buckets import BUCKETS
from heptad.core.config.findings import FindingsConfig, SessionConfig
from heptad.core.event import TAGS
from heptad.core.store.line_protocol import decode_series
from heptad.core.store.measurements import TYPES
from heptad.core.store.outbox import Outbox
from heptad.exporter.sources import RecordBatch
from tests.support.aggregator_world import World
from tests.support.feed import Bench
from tests.support.rulebook import RULEBOOK

DECLARED: Final = {m.name: m for measurements in BUCKETS.values() for m in measurements}

# line protocol again, from InfluxDB's reference: the form of a value determines its type
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
    """Parse a line completely; fail if it is invalid."""
    series = _HEAD.match(text)
    assert series is not None
    assert text[series.end()] == " "
    at, types, more = series.end() + 1, {}, ","
    while more:
        field = _FIELD.match(text, at)
        assert field is not None, text[at:]
        assert field["key"] not in types, text
        types[field["key"]] = next(form for form in _FORMS if field[form] is not None)
        at, more = field.end(), field["more"]
    assert re.fullmatch(r" -?\d+", text[at:]), text[at:]
    measurement, tags = decode_series(series[0])
    return Line(measurement, tags, types, text)


def write_everything(folder: Path, *logs: list[str]) -> list[Line]:
    """Return what is written for logs: events, findings and reports.

    Each log has its own source.
    """
    bench = Bench(folder / "events.db")
    feeds: list[list[RecordBatch | list[str]]] = [[log] for log in logs]
    bench.start(*feeds)
    bench.run()
    bench.stop()
    with World(folder, rules=[*rules_of(FindingsConfig()), SessionRule(SessionConfig())]) as world:
        world.finish()
    return [*lines_of(folder / "events.db"), *lines_of(folder / "reports.db")]


def lines_of(path: Path) -> Iterable[Line]:
    """Return all lines that a store would deliver."""
    outbox = Outbox(path)
    try:
        lines = outbox.take(0, 2**40, 2**40, -(2**62)).lines
    finally:
        outbox.close()
    return map(parse_line, lines)


def faults(line: Line) -> list[str]:
    """Return what of a line differs from its declaration."""
    declared = DECLARED[line.measurement]
    found = [f"tag {tag}" for tag in line.tags.keys() - declared.tags.keys()]
    for name, kind in line.types.items():
        known = declared.fields.get(name) or declared.fields.get(name.rpartition("_")[0])
        if known is None or TYPES[known.type] != kind:
            found.append(f"field {name} is {kind}")
    if declared.always not in line.types:
        found.append(f"{declared.always} is missing")
    return found


@functools.cache
def possible(measurement: str) -> set[frozenset[tuple[str, str]]]:
    """Return the tag sets of one host and source that the page counts, without the window."""
    tag_sets = find_tag_sets(RULEBOOK)
    where = {"host": "host", "source": "feed0"}
    if measurement == "events":
        found = [{**where, **dict(zip(TAGS[2:], tags, strict=True))} for tags in tag_sets]
    elif measurement == "not_understood":
        found = [{**where, "program": p.name} for p in RULEBOOK.programs.values()]
    elif measurement == "findings":
        names = [rule.name for rule in rules_of(FindingsConfig())]
        found = [{"rule": name, "severity": word} for name in names for word in SEVERITIES]
    elif measurement == "findings_current":
        found = [{"rule": rule.name} for rule in rules_of(FindingsConfig())]
    elif measurement == "looked":
        found = [{"by": "aggregator"}]
    elif measurement == "evidence":
        names = ["session", *(rule.name for rule in rules_of(FindingsConfig()))]
        found = [{"rule": name, "host": "host"} for name in names]
    elif measurement == "sessions":
        found = [
            {"host": "host", "program": program, "end": end} for program in PROGRAMS for end in ENDS
        ]
    else:
        report = next(report for report in REPORTS if report.name == measurement)
        return {drop_empty(dict(tags)) for tags in find_report_tags(report, tag_sets)}
    return set(map(drop_empty, found))


def drop_empty(tags: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Return tags as InfluxDB stores them."""
    return frozenset((name, value) for name, value in tags.items() if value)


def unforeseen(lines: Iterable[Line]) -> set[str]:
    """Return the series of lines that the page does not count."""
    found = set()
    for line in lines:
        tags = dict(line.tags)
        if line.measurement.startswith("report_"):
            assert tags.pop("window") in WINDOWS
        if drop_empty(tags) not in possible(line.measurement):
            found.add(f"{line.measurement} {tags}")
    return found

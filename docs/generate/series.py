"""Compute the maximum number of series by running the code on all possible tag values.

Tags only come from the rules, the vocabulary and the configuration, so all values are known without
reading a log.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from heptad.aggregator.detection.finding import ENDS, PROGRAMS, SEVERITIES
from heptad.aggregator.detection.rules import rules_of
from heptad.aggregator.reports import REPORTS, WINDOWS, Report
from heptad.core.config.findings import FindingsConfig
from heptad.core.event import Event
from heptad.exporter.normalize.login_attempts import classifications_of
from heptad.exporter.parsing.rulebook import Rulebook
from heptad.exporter.sources import GAP_REASONS

TagSet = tuple[str, str, str, str, str]
"""Program, action, outcome, method and reason of an event."""
TagPairs = frozenset[tuple[str, str]]

_MANY: Final = 64
"""More distinct values than any report ranks."""


def find_tag_sets(rulebook: Rulebook) -> set[TagSet]:
    """Return all tag sets that events of one host and source can have."""
    found: set[TagSet] = {("heptad", "gap", "unknown", "", reason) for reason in GAP_REASONS}
    for program in rulebook.programs.values():
        for rule in program.rules:
            found |= {(program.name, *judged) for judged in classifications_of(rule)}
    return found


def find_report_tags(report: Report, tag_sets: Iterable[TagSet]) -> set[TagPairs]:
    """Return all tag sets, without the window, that rows of one host or of the fleet can have."""
    accumulator = report.begin()
    for tags in sorted(tag_sets):
        if not report.actions or tags[1] in report.actions:
            accumulator.add(list(_events(tags, report)))
    return {frozenset(tags.items()) for tags, _ in accumulator.rows()}


def _events(tags: TagSet, report: Report) -> Iterator[Event]:
    """Yield events of a tag set, with enough distinct values to fill every rank."""
    for number in range(_MANY if "rank" in report.tags else 1):
        text = str(number)
        host = "host" if "host" in report.tags else text
        yield Event(number, host, "source", *tags, user=text, object=text, source_ip=text)


def count_series(rulebook: Rulebook) -> dict[str, tuple[int, int]]:
    """Return measurement → the maximum number of series per host, and of the fleet in addition."""
    tag_sets = find_tag_sets(rulebook)
    counts = {"events": (len(tag_sets), 0), "not_understood": (len(rulebook.names()), 0)}
    rules = rules_of(FindingsConfig())
    counts["findings"] = (0, len(rules) * len(SEVERITIES))
    counts["findings_current"] = (0, len(rules))
    counts["looked"] = (0, 1)
    counts["sessions"] = (len(PROGRAMS) * len(ENDS), 0)
    counts["evidence"] = (len(rules) + 1, 0)  # including that of sessions
    for report in REPORTS:
        number = len(find_report_tags(report, tag_sets)) * len(WINDOWS)
        counts[report.name] = (number, 0) if "host" in report.tags else (0, number)
    counts["heartbeat"] = (1, 0)
    counts["state"] = (0, len(rules) + len(REPORTS) + 3)
    return counts

"""Lines that no rule understood, as a report tells them."""

import json
from collections import Counter
from typing import Final

import msgspec

from aggregator.tally import cut
from heptad.store import Point
from heptad.store.local import LocalStore

_MOST_SAMPLES: Final = 3


class NotUnderstood(msgspec.Struct):
    """Lines of a program that no rule understood, with the latest.

    On one host since its store was begun; of a fleet, those of the report's time.
    """

    program: str
    lines: int
    samples: list[str]


class Strange:
    """Takes up the lines that no rule understood, the latest of each program with their text."""

    def __init__(self) -> None:
        self.hosts: Counter[str] = Counter()
        self._programs: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}

    def add(self, point: Point) -> None:
        """A line."""
        program = point.tags.get("program", "")
        self.hosts[point.tags.get("host", "")] += 1
        self._programs[program] += 1
        samples = self._samples.setdefault(program, [])
        samples.append(cut(str(point.fields.get("raw", ""))))
        del samples[:-_MOST_SAMPLES]

    def told(self) -> list[NotUnderstood]:
        """The programs, those with most lines first."""
        ordered = sorted(self._programs.items(), key=lambda item: (-item[1], item[0]))
        return [NotUnderstood(program, n, self._samples[program]) for program, n in ordered]


def read_not_understood(events: LocalStore) -> list[NotUnderstood]:
    """Those of this host, as the exporter counted and kept them."""
    lines = {"": 0}
    for (name, labels), value in events.counters().items():
        told = json.loads(labels)
        if name == "heptad_lines_not_understood_total":
            lines[told["program"]] = lines.get(told["program"], 0) + int(value)
        elif name == "heptad_lines_total" and told.get("result") == "no_header":
            lines[""] += int(value)
    found = []
    for program, number in sorted(lines.items(), key=lambda item: (-item[1], item[0])):
        kept = events.recall(f"not_understood/{program}")
        samples = msgspec.json.decode(kept, type=list[str])[-_MOST_SAMPLES:] if kept else []
        if number or samples:
            found.append(NotUnderstood(program, number, samples))
    return found

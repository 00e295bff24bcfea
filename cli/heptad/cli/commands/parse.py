"""heptad parse: parse a log and print its events, without storing them."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from datetime import tzinfo
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from heptad.cli.commands import DONE, FAILED, WRONG_USE, add_command, print_error
from heptad.cli.log_input import UNREADABLE, LineCounts, open_log, read_texts
from heptad.cli.progress import make_bar
from heptad.cli.table import format_event, format_heading, format_json, terminal_width, wants_colour
from heptad.core.gc_tuning import tune_gc
from heptad.core.locale_names import find_locale
from heptad.core.units import local_zone, parse_zone
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.line_result import NOT_UNDERSTOOD, LineResult
from heptad.exporter.normalize.login_attempts import Classification
from heptad.exporter.normalize.normalizer import EVERY_HOST, NormalizedLine, Normalizer
from heptad.exporter.normalize.text import normalize_record
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.repeated_lines import add_before
from heptad.exporter.parsing.rulebook import Program, load_rulebook
from heptad.exporter.parsing.timestamps import TimestampParser

_EXAMPLES = """
heptad parse /var/log/auth.log                       list the events of a log
heptad parse --summary /var/log/auth.log.*           count lines and events
heptad parse --format jsonl auth.log.2.gz | jq .
journalctl -o short-iso -t sshd | heptad parse -
heptad parse --timezone Europe/Berlin --year 2024 old.log
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add_command(commands, "parse", run, _EXAMPLES)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a log file, plain or compressed (gzip, bzip2, xz); - is standard input",
    )
    parser.add_argument(
        "--format",
        choices=("table", "jsonl"),
        default="table",
        help="output format; default: table",
    )
    parser.add_argument(
        "--summary", action="store_true", help="print counts over all files as one JSON object"
    )
    parser.add_argument(
        "--timezone", metavar="Z", help="time zone of timestamps without one; default: this host's"
    )
    parser.add_argument(
        "--year", type=int, metavar="Y", help="year of the first line, if its timestamp has none"
    )
    parser.add_argument(
        "--locale", metavar="L", help="locale of ambiguous month names, for example fr_FR"
    )
    parser.add_argument("--rules", type=Path, action="append", default=[], metavar="DIR",
                        help="a directory with your own rule files")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Parse all files; return a failure if one of them cannot be read."""
    try:
        zone, locale = _read_settings(args)
    except ValueError as error:
        print_error(str(error))
        return WRONG_USE
    rulebook = load_rulebook(args.rules)
    tune_gc()
    if args.format == "table" and not args.summary:
        print(format_heading(terminal_width()))
    summary = ParseSummary()
    failed = False
    for name in args.files:
        read = LineCounts()
        normalizer = Normalizer(rulebook, "localhost", "parse", EVERY_HOST)
        try:
            with open_log(name) as (file, size, modified):
                programs = frozenset(normalizer.app_names())
                header = make_header(name, zone, args.year, modified, locale, programs)
                texts = read_texts(file, make_bar(Path(name).name, size, "B"), read)
                if args.summary:
                    summary.add_file(texts, header, normalizer, read)
                else:
                    _print_events(texts, header, normalizer, args.format, read)
            problem = read.find_problem(header.strange)
            if told := header.problem or problem:
                print_error(f"{name}: {told}")
            failed = failed or bool(problem)
        except UNREADABLE as error:
            if isinstance(error, BrokenPipeError):
                raise
            print_error(f"{name}: {getattr(error, 'strerror', None) or error}")
            failed = True
    if args.summary:
        print(json.dumps(summary.as_dict(), indent=2))
    return FAILED if failed else DONE


def _read_settings(args: argparse.Namespace) -> tuple[tzinfo, str | None]:
    """Return zone and locale; raise ValueError if an argument is invalid."""
    zone = parse_zone(args.timezone) if args.timezone else local_zone()
    if args.year is not None and not 1970 <= args.year <= 2261:
        raise ValueError(f"--year {args.year} is out of range; it must be between 1970 and 2261")
    locale = find_locale(args.locale) if args.locale else None
    if args.locale and locale is None:
        raise ValueError(f"--locale {args.locale} is not a known locale; write for example fr_FR")
    return zone, locale


def make_header(
    name: str,
    zone: tzinfo,
    year: int | None,
    modified: int,
    locale: str | None = None,
    programs: Container[str] = (),
) -> HeaderParser:
    """Create the header parser of a file.

    A timestamp without a year is not later than the file's last change.
    """
    reference = min(modified, time.time_ns())
    clock_of_log = TimestampParser(zone, reference=reference, year=year or 0)
    return HeaderParser(clock_of_log, Provenance(name), locale, programs)


def _print_events(
    texts: Iterator[str], header: HeaderParser, normalizer: Normalizer, form: str, read: LineCounts
) -> None:
    colour, room = wants_colour(), terminal_width()
    lines = (line for text in texts for line in text.split("\n"))
    for number, (line, before) in enumerate(add_before(lines), 1):
        records, strange = header.parse_text(line, before)
        read.add(line, len(records), len(strange))
        event = normalize_record(normalizer, records[0]) if records else None
        if event is None:
            continue
        if form == "jsonl":
            print(format_json(event, line=number))
        else:
            print(format_event(event, colour=colour, room=room))


_WHAT: Final = attrgetter("program", "classification", "count")


class ParseSummary:
    """The results of parsing the lines of all files."""

    def __init__(self) -> None:
        self._lines = 0
        self._rejected = 0
        self._results: Counter[str] = Counter()
        self._strange: Counter[str] = Counter()
        self._events: Counter[tuple[str, str, str]] = Counter()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add_file(
        self, texts: Iterator[str], header: HeaderParser, normalizer: Normalizer, read: LineCounts
    ) -> None:
        results = self._results
        events: Counter[tuple[Program, Classification, int]] = Counter()
        for text, before in add_before(texts):
            records, strange = header.parse_text(text, before)
            read.add(text, len(records), len(strange))
            results[LineResult.NO_HEADER] += len(strange)
            understood = list(map(normalizer.classify, records))
            # Counter's own loop is faster than one here
            found = [line for line in understood if type(line) is NormalizedLine]
            events.update(map(_WHAT, found))
            if len(found) < len(understood):
                self._add_others(zip(records, understood, strict=True), normalizer)
        self._lines += read.lines
        results[LineResult.OVERSIZED] += read.oversized
        self._rejected += normalizer.rejected_repeats
        for (program, (action, outcome, _, _), count), amount in events.items():
            results[LineResult.EVENT] += amount
            self._events[program.name, action, outcome] += amount
            self._counts[program.name, action, outcome] += amount * count

    def _add_others(
        self, lines: Iterable[tuple[LogRecord, NormalizedLine | LineResult]], normalizer: Normalizer
    ) -> None:
        """Count the lines that are not events."""
        others = [(record.app_name, one) for record, one in lines if isinstance(one, LineResult)]
        self._results.update(one for _, one in others)
        for app_name, one in others:
            if one is NOT_UNDERSTOOD:
                program = normalizer.find_program(app_name)
                self._strange[program.name if program else ""] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object of --summary."""
        return {
            "lines": self._lines,
            "events": self._results[LineResult.EVENT],
            "not_understood": dict(sorted(self._strange.items())),
            "repeats_rejected": self._rejected,
            "lines_by_result": {str(k): v for k, v in sorted(self._results.items()) if v},
            "events_by": _nest(self._events),
            "counts_by": _nest(self._counts),
        }


def _nest(flat: "Counter[tuple[str, str, str]]") -> dict[str, dict[str, dict[str, int]]]:
    """Return {program: {action: {outcome: number}}}."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for (program, action, outcome), number in sorted(flat.items()):
        nested.setdefault(program, {}).setdefault(action, {})[outcome] = number
    return nested

"""Why a source is deaf, and its lines that were rejected for their provenance."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from heptad.core.store.line_protocol import decode_series
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore
from heptad.exporter.metrics import CounterDelta
from heptad.exporter.normalize.line_result import UNTRUSTED, LineResult
from heptad.exporter.normalize.normalizer import Normalizer, SkippedRecord
from heptad.exporter.rejected_lines import UntrustedLines
from heptad.exporter.sources import Source
from heptad.exporter.unparsed import row_of_line
from heptad.exporter.usable_lines import Hearing

log = logging.getLogger("heptad.pipeline")

_HEADLESS: Final = (
    "nearly all of its recent lines have an unknown header format, so their events are "
    "missing; `heptad report` shows some of them"
)


class Deaf(msgspec.Struct):
    """Why a source is deaf: DEAF_REASONS → sentence; ``programs`` are untrusted."""

    reasons: dict[str, str] = {}
    programs: list[str] = []


class Listening:
    """The health of one source, across restarts."""

    def __init__(self) -> None:
        self._hearing = Hearing()
        self._untrusted = UntrustedLines()
        self._deaf = Deaf()
        self._kept = Deaf()

    def restore(self, store: LocalStore, source: str) -> dict[str, bytes]:
        """Restore the state of an earlier run from the store, and return it."""
        recalled = {key: store.recall(f"{key}/{source}") or b"" for key in ("refused", "deaf")}
        try:
            self._untrusted.restore(recalled["refused"] or b"{}")
            self._kept = msgspec.json.decode(recalled["deaf"] or b"{}", type=Deaf)
        except msgspec.MsgspecError as error:
            # no event depends on it: start without it
            log.warning(
                ("cannot read the stored health of a source"),
                extra={"source": source, "error": error},
            )
        headless = "no_header" in self._kept.reasons
        self._hearing.restore(self._kept.programs, headless=headless)
        return {f"{key}/{source}": data for key, data in recalled.items() if data}

    def judge(self, source: Source) -> dict[str, str]:
        """Return why the source is deaf, by its own health and by its last lines."""
        known = self._untrusted.programs
        deaf = Deaf(dict(source.health().deaf))
        if self._hearing.headless():
            deaf.reasons["no_header"] = _HEADLESS
        deaf.programs = [name for name in self._hearing.untrusted() if name in known]
        if deaf.programs:
            told = (known[name].describe(name) for name in deaf.programs)
            deaf.reasons["untrusted"] = "; ".join(told)
        self._deaf = deaf
        return deaf.reasons

    def news(self, source: str) -> dict[str, bytes]:
        """Return the state that changed since the last call, to be stored."""
        news = {}
        if self._deaf != self._kept:
            self._kept = self._deaf
            news[f"deaf/{source}"] = msgspec.json.encode(self._deaf)
        if self._untrusted.changed:
            news[f"refused/{source}"] = self._untrusted.dump()
        return news

    def hear(
        self,
        normalizer: Normalizer,
        lines: tuple[int, int],
        series_counts: Mapping[str, int],
        others: Sequence[SkippedRecord],
        *,
        refused_some: bool,
    ) -> None:
        """Process a batch: lines with and without a header, events by series, and other records."""
        self._hearing.hear(sum(lines), lines[1])
        used: Counter[str] = Counter()
        untrusted: Counter[str] = Counter()
        for series, rows in series_counts.items():
            used[_program_of(series)] += rows
        if self._hearing.doubts or refused_some:
            for result, record in others:
                program = normalizer.find_program(record.app_name)
                if program is None or result is LineResult.OTHER_PROGRAM:
                    continue
                # any user may run a program that only has rules of PAM
                if result is not UNTRUSTED:
                    used[program.name] += 1
                elif not program.pam_only:
                    untrusted[program.name] += 1
        self._hearing.hear_programs(used, untrusted)

    def count_untrusted(
        self,
        normalizer: Normalizer,
        others: Sequence[SkippedRecord],
        delta: CounterDelta,
        now: int,
        history_before: int,
    ) -> list[Row]:
        """Count the rejected lines of a batch at ``now`` (ns); return the rows of those to keep."""
        rows = []
        for result, record in others:
            program = normalizer.find_program(record.app_name) if result is UNTRUSTED else None
            if program is None:
                continue
            name = program.name
            delta.add("heptad_lines_untrusted_total", program=name)
            untrusted = self._untrusted.add(program, record.provenance, now)
            kept = normalizer.masking.keep_untrusted(program, record)
            if kept is not None and untrusted.may_keep(now):
                host, history = normalizer.host_of(record.host), record.time < history_before
                row = row_of_line(
                    kept,
                    host,
                    delta.source,
                    name,
                    history=history,
                    untrusted=True,
                    masked=kept is not record,
                )
                rows.append(row)
        return rows


@lru_cache(maxsize=8192)
def _program_of(series: str) -> str:
    return decode_series(series)[1].get("program", "")

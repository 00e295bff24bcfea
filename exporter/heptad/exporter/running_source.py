"""A source together with its normalizer and its progress."""

from typing import Final

import msgspec

from heptad.core.event import LABELS
from heptad.core.store.point import Row
from heptad.core.store.sqlite import LocalStore, counter_key
from heptad.core.telemetry.metrics import CounterDict
from heptad.exporter import handover
from heptad.exporter.already_read import AlreadyRead
from heptad.exporter.handover import SourceScope
from heptad.exporter.metrics import COUNTERS
from heptad.exporter.normalize.line_result import NOT_UNDERSTOOD, LineResult
from heptad.exporter.normalize.normalizer import Normalizer, SkippedRecord
from heptad.exporter.normalize.timestamp_range import StampRange
from heptad.exporter.source_health import Listening
from heptad.exporter.sources import GAP_REASONS, Source
from heptad.exporter.unparsed import row_of_line

_KINDS: Final = ("source", "attempts", "caught_up", "strangers", "handover", "joined")
"""Kinds of state that the store has for each source."""

UnparsedLine = tuple[str, Row | None]
"""A line that no rule matched: its program, and its row if it may be stored."""


class RunningSource(msgspec.Struct):
    """A source, its normalizer, the places it reads, and whether it was read to its end once.

    ``read_until`` is when it was last polled and had nothing more (ns); 0 if it always had.
    ``already_read`` knows what another source has read of the programs that this one takes over.
    """

    source: Source
    normalizer: Normalizer
    locations: tuple[str, ...] = ("",)
    caught_up: bool = False
    read_until: int = 0
    stamps: StampRange = msgspec.field(default_factory=StampRange)
    listening: Listening = msgspec.field(default_factory=Listening)
    already_read: AlreadyRead | None = None
    past: LocalStore | None = None

    @property
    def scope(self) -> SourceScope:
        return SourceScope(self.source.name, self.locations, self.normalizer.programs())

    def restore(self, store: LocalStore, host: str) -> dict[str, bytes]:
        """Restore the state of an earlier run from the store, and return it; raises StoreError."""
        name = self.source.name
        recalled = {kind: store.recall(f"{kind}/{name}") or b"" for kind in _KINDS}
        self.caught_up = bool(recalled["caught_up"])
        state = handover.recall_handover(store, name)
        if state is not None:
            # only committed points are compared, so the writer's own connection is not needed
            self.past = LocalStore(store.path)
            own = handover.own_names(store, host)
            past = self.past.past(state.upto)
            self.already_read = AlreadyRead(past, state, own, recalled["joined"])
        if state is not None and not recalled["source"]:
            self.source.restore(None, state.since)
        else:
            self.source.restore(recalled["source"] or None)
        if recalled["attempts"]:
            self.normalizer.attempts.restore(recalled["attempts"])
        if recalled["strangers"]:
            self.normalizer.masking.unknown_users.restore(recalled["strangers"])
        known = self.listening.restore(store, name)
        return known | {f"{kind}/{name}": value for kind, value in recalled.items() if value}

    def end_hand_over(self, now: int) -> dict[str, bytes]:
        """Return the state to commit when the takeover is complete; empty before that."""
        if self.already_read is None or not self.caught_up or not self.already_read.is_over(now):
            return {}
        self.already_read = None
        return {f"{kind}/{self.source.name}": b"" for kind in ("handover", "joined")}

    def close(self) -> None:
        """Release the source's files, processes and threads."""
        try:
            self.source.close()
        finally:
            if self.past is not None:
                self.past.close()

    def unparsed_rows(self, others: list[SkippedRecord], history_before: int) -> list[UnparsedLine]:
        """Return the lines of known programs that no rule matched, as they may be stored."""
        normalizer, unparsed = self.normalizer, list[UnparsedLine]()
        for result, record in others:
            if result is NOT_UNDERSTOOD:
                found = normalizer.find_program(record.app_name)
                program = found.name if found else ""
                row: Row | None = None
                if normalizer.masking.keep_record(program, record) is not None:
                    host, history = normalizer.host_of(record.host), record.time < history_before
                    row = row_of_line(record, host, self.source.name, program, history=history)
                unparsed.append((program, row))
        return unparsed

    def zero_counters(self) -> CounterDict:
        """Return every counter that it may increase, so that ``increase()`` sees the first time."""
        source, normalizer = self.source.name, self.normalizer
        gap = dict(zip(LABELS, ("heptad", "gap", "unknown", ""), strict=True))
        keys = [counter_key("auth_events_total", **gap)]
        keys += [
            counter_key("heptad_lines_total", source=source, result=str(r)) for r in LineResult
        ]
        keys += [counter_key("heptad_gaps_total", source=source, reason=r) for r in GAP_REASONS]
        keys += [
            counter_key(name, source=source)
            for name, (labels, _) in COUNTERS.items()
            if labels == ("source",)
        ]
        for program in sorted(normalizer.programs()):
            keys.append(counter_key("heptad_lines_not_understood_total", program=program))
            keys.append(counter_key("heptad_lines_untrusted_total", program=program))
        return dict.fromkeys(keys, 0)

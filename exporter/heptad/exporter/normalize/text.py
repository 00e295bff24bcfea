"""Events of a text or of one record, without a store, for `heptad parse` and examples."""

import time
from zoneinfo import ZoneInfo

from heptad.core.event import Event
from heptad.exporter.log_record import LogRecord, Provenance
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.rulebook import load_rulebook
from heptad.exporter.parsing.timestamps import TimestampParser


def normalize_text(text: str, *, timezone: str = "UTC") -> list[Event]:
    """Return the events of a log given as text."""
    header = HeaderParser(
        TimestampParser(ZoneInfo(timezone), reference=time.time_ns()), Provenance()
    )
    normalizer = Normalizer(load_rulebook(), "localhost", "text")
    records, _ = header.parse_text(text)
    return [event for record in records if (event := normalize_record(normalizer, record))]


def normalize_record(normalizer: Normalizer, record: LogRecord) -> Event | None:
    """Return the event of one record; None if it is not an event."""
    events, _, _ = normalizer.normalize([record])
    return events[0] if events else None

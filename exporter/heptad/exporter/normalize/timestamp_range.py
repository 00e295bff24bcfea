"""Replace timestamps that are out of range.

A timestamp before 1970, or more than a day ahead, is replaced by the time of arrival, so that
readers of events need not handle it. The sender of such lines has a wrong clock, or wants to hide.
"""

from collections import deque
from typing import Final

import msgspec

from heptad.exporter.log_record import LogRecord

DAY: Final = 86_400 * 10**9
WINDOW: Final = 300 * 10**9
MANY: Final = 3
_LONGEST_NAME: Final = 64


class StampRange:
    """Checks the timestamps of one source; ``rejected`` counts until the caller resets it to 0."""

    def __init__(self) -> None:
        self.rejected = 0
        self._last = deque[tuple[int, str | None]](maxlen=MANY)

    def judge(self, records: list[LogRecord], now: int) -> list[LogRecord]:
        """Return the records; those out of range get the time ``now`` (ns)."""
        times = sorted(
            [record.time for record in records]
        )  # nearly sorted already, so faster than min and max
        if not times or (times[0] >= 0 and times[-1] <= now + DAY):
            return records
        return [
            record if 0 <= record.time <= now + DAY else self._replace(record, now)
            for record in records
        ]

    def _replace(self, record: LogRecord, now: int) -> LogRecord:
        self.rejected += 1
        self._last.append((now, record.host))
        return msgspec.structs.replace(record, time=now)

    def problem(self, now: int, host: str) -> str | None:
        """Return whose clock is wrong, if many recent timestamps were; ``host`` is the default."""
        if len(self._last) < MANY or not 0 <= now - self._last[0][0] <= WINDOW:
            return None
        name = self._last[-1][1] or host
        shown = (name if name.isprintable() else ascii(name))[:_LONGEST_NAME]
        return (
            f"the clock of {shown} is wrong: {MANY} lines within 5 minutes have a timestamp "
            "before 1970 or more than a day ahead; they are stored at the time of their arrival"
        )

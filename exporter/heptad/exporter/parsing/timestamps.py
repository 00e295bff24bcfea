"""Convert timestamps of syslog daemons, even without year or zone, to UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

SECOND: Final = 10**9
DAY: Final = 86_400 * SECOND
_DISORDER: Final = 31 * DAY
_FORGOTTEN: Final = 5 * 365 * DAY
"""If the last line is older than this, it says nothing about the year of the next."""
_FARTHEST: Final = 2**63 - DAY
"""The range of the stores, minus some room for tie-breakers: the years 1678 to 2261."""
MONTHS: Final = {
    name: number + 1
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
}
_MOST_HOURS: Final = 2000
_WITHIN_HOUR: Final = {
    f":{minute:02}:{second:02}": (minute * 60 + min(second, 59)) * SECOND
    for minute in range(60)
    for second in range(61)
}
"""Nanoseconds of every :mm:ss; a leap second counts as the second before it."""


class TimestampParser:
    """Converts a log's timestamps to UTC; the last one decides the year and ambiguous hours.

    ``zone`` is the zone of timestamps without one. Timestamps without a year get the newest
    plausible year: at most a day after ``reference`` (ns), and in the order of the log. With
    ``year``, the first timestamp is in that year, regardless of ``reference``.
    """

    def __init__(
        self, zone: tzinfo = UTC, last: int | None = None, reference: int = 0, year: int = 0
    ) -> None:
        self.zone = zone
        self.last = last
        self.reference = reference
        self._year = year
        self._hours: dict[str, int] = {}
        self._zone = ""
        self._behind = 0  # number of characters after the time in the last unusual timestamp

    def recall(self, stamp: str) -> int | None:
        """Return what ``read`` returns, quickly, for a timestamp in a known hour; else None.

        Text that is not a timestamp is never in a known hour.
        """
        if stamp[:1] <= "9":
            return self._recall_dated(stamp)
        base, within = self._hours.get(stamp[:-6]), _WITHIN_HOUR.get(stamp[-6:])
        if base is None and (behind := self._behind):
            base = self._hours.get(f"{stamp[: -behind - 6]}:{stamp[-behind:]}")
            within = _WITHIN_HOUR.get(stamp[-behind - 6 : -behind])
        last = self.last
        if base is None or within is None or last is None:
            return None
        if not -_DISORDER < base - last < _DISORDER:
            return None
        time = base + within
        if time > last:
            self._go_on(time)
        return time

    def _recall_dated(self, stamp: str) -> int | None:
        zone, rest = self._zone, stamp[19:]
        base, within = self._hours.get(stamp[:13] + zone), _WITHIN_HOUR.get(stamp[13:19])
        if base is None or within is None or not rest.endswith(zone):
            return None
        time = base + within
        if len(rest) > len(zone):
            digits = rest[1 : len(rest) - len(zone)]
            if rest[0] not in ".," or not (digits.isdigit() and digits.isascii()):
                return None
            time += int(digits[:9]) * 10 ** (9 - len(digits[:9]))
        if self.last is None or time > self.last:
            self._go_on(time)
        return time

    def read_bsd(self, stamp: str) -> int:
        """Return the nanoseconds of ``Mar  1 13:06:56`` (RFC 3164); raises ValueError."""
        hour, within = stamp[:-6], _WITHIN_HOUR.get(stamp[-6:])
        if within is None:
            raise ValueError(stamp)
        base = self._hours.get(hour)
        if base is None or self.last is None or not -_DISORDER < base - self.last < _DISORDER:
            month, day, number = hour.split()
            parts = (MONTHS.get(month, 0), int(day), int(number))
            start = datetime(self._find_year(*parts), *parts, tzinfo=self.zone)
            base = self._begin_hour(hour, start, within)
        time = base + within
        if self.last is None or time > self.last:
            self._go_on(time)
        return time

    def know_as(self, stamp: str, end: int, hour: str) -> None:
        """Let ``recall`` recognize timestamps like this one, which was read in a known ``hour``.

        Its seconds end at ``end``; what follows them, for example a year, is constant within the
        hour.
        """
        base = self._hours.get(hour)
        if base is None:
            return
        self._make_room()
        behind = stamp[end:]
        if behind:
            self._behind = len(behind)
            self._hours[f"{stamp[: end - 6]}:{behind}"] = base
        else:
            self._hours[stamp[:-6]] = base

    def _go_on(self, time: int) -> None:
        """Accept ``time`` as the last one, unless a wrong clock logged it."""
        if self._year or not self.reference or time <= self.reference + DAY:
            self.last = time

    def _begin_hour(self, hour: str, start: datetime, within: int) -> int:
        """Return the start of the hour of a timestamp; cache it unless it occurs twice.

        ``within`` is the time after the start. One hour a year occurs twice when clocks are set
        back.
        """
        once = start.utcoffset() == start.replace(minute=59, second=59, fold=1).utcoffset()
        if once:
            base = int(start.timestamp()) * SECOND
        else:
            minute, second = divmod(within // SECOND, 60)
            base = self._unfold(start.replace(minute=minute, second=second)) - within
        if not -_FARTHEST < base < _FARTHEST:
            raise ValueError(hour)
        if once:
            self._make_room()
            self._hours[hour] = base
        return base

    def _make_room(self) -> None:
        if len(self._hours) > _MOST_HOURS:
            self._hours.clear()

    def _find_year(self, month: int, day: int, hour: int) -> int:
        if self._year and self.last is None:
            return self._year
        latest = 2**62 if self._year else self.reference + DAY
        last = self.last
        if last is not None and not self._year and latest - last > _FORGOTTEN:
            last = None
        newest = self._year_of(last if self._year and last is not None else latest)
        plausible: dict[int, int] = {}
        for year, start in self._starts(newest, month, day, hour):
            if start > latest:
                continue
            plausible[year] = start
            if last is None or start <= last - _DISORDER:
                break  # an earlier year is neither after the last line nor just before it
        if not plausible:
            raise ValueError(f"no such day: {month}-{day}")
        newest = next(iter(plausible))
        if last is None:
            return newest
        ahead = [year for year, start in plausible.items() if start >= last]
        behind = [year for year, start in plausible.items() if last - _DISORDER < start < last]
        if ahead and behind and latest - plausible[newest] < 2 * DAY:
            return newest  # a log that was silent for a year continues now
        if behind:
            return behind[0]
        return ahead[-1] if ahead else newest

    def _starts(self, newest: int, month: int, day: int, hour: int) -> Iterator[tuple[int, int]]:
        """Yield years in which the month, day and hour exist, and their start, newest first."""
        for year in range(newest + 1, newest - 9, -1):  # a 29 February can be 8 years ago
            try:
                moment = datetime(year, month, day, hour, tzinfo=self.zone)
            except ValueError:
                continue
            yield year, int(moment.timestamp()) * SECOND

    def _year_of(self, time: int) -> int:
        return datetime.fromtimestamp(time // SECOND, self.zone).year

    def read(self, stamp: str) -> int:
        """Return the nanoseconds of a timestamp of either kind; raises ValueError."""
        if stamp[0] > "9":
            return self.read_bsd(stamp)
        rest = stamp[19:]
        zone = rest.lstrip(".,0123456789")
        return self.read_dated(stamp[:19], rest[1 : len(rest) - len(zone)], zone)

    def read_dated(self, date: str, fraction: str, zone: str) -> int:
        """Return the nanoseconds of ``2024-03-01T13:06:56`` (RFC 3339); raises ValueError."""
        hour, within = date[:13], _WITHIN_HOUR.get(date[13:])
        if within is None:
            raise ValueError(date)
        base = self._hours.get(hour + zone)
        if base is None:
            start = datetime.fromisoformat(f"{hour}:00:00{zone}")
            start = start if start.tzinfo else start.replace(tzinfo=self.zone)
            base = self._begin_hour(hour + zone, start, within)
        self._zone = zone
        time = base + within
        if fraction:
            time += int(fraction) * 10 ** (9 - len(fraction))
        if self.last is None or time > self.last:
            self._go_on(time)
        return time

    def _unfold(self, moment: datetime) -> int:
        """Resolve a time that occurs twice: choose the one that continues from ``last``."""
        first = int(moment.timestamp()) * SECOND
        second = int(moment.replace(fold=1).timestamp()) * SECOND
        slack = 300 * SECOND
        if self.last is not None and first < self.last - slack and second > first:
            return second
        return first

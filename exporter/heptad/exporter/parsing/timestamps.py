"""When a line was logged: the stamps of syslog daemons, without year or zone too, become UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

SECOND: Final = 10**9
DAY: Final = 86_400 * SECOND
_DISORDER: Final = 31 * DAY
_FORGOTTEN: Final = 5 * 365 * DAY
"""A last line so long ago says nothing of the year of the next."""
_FARTHEST: Final = 2**63 - DAY
"""What the stores can keep, less some room for tie-breakers: the years 1678 to 2261."""
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
"""Nanoseconds of every :mm:ss; a leap second counts as the one before it."""


class TimestampParser:
    """Turns a log's stamps into UTC; remembers the last, by which a year and a fold are told.

    ``zone`` is the zone of stamps that name none. Stamps without a year get the newest
    plausible one: not more than a day after ``reference`` (ns), and in the order of the log.
    With ``year`` the first stamp lies in that year, whatever ``reference`` says.
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
        self._behind = 0  # so many characters the last unusual stamp had behind its time

    def recall(self, stamp: str) -> int | None:
        """What ``read`` gives, quickly, for a stamp in an hour that is known; else None.

        A stamp that is none is in no hour that is known.
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
        """Nanoseconds of a stamp as ``Mar  1 13:06:56`` (RFC 3164, 4.1.2); ValueError if none."""
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
        """Let ``recall`` know stamps such as this one, which was read in an ``hour`` that is known.

        Its seconds end at ``end``; what is behind them, such as a year, is the same in that hour.
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
        """Later lines follow ``time``, unless a wrong clock wrote it: one must not mislead all."""
        if self._year or not self.reference or time <= self.reference + DAY:
            self.last = time

    def _begin_hour(self, hour: str, start: datetime, within: int) -> int:
        """The begin of an hour, of which ``within`` is read; remembered if it comes only once.

        The clocks go through one hour of a year twice, where they are changed.
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
                break  # a year before that is neither ahead of the last line nor just behind it
        if not plausible:
            raise ValueError(f"no such day: {month}-{day}")
        newest = next(iter(plausible))
        if last is None:
            return newest
        ahead = [year for year, start in plausible.items() if start >= last]
        behind = [year for year, start in plausible.items() if last - _DISORDER < start < last]
        if ahead and behind and latest - plausible[newest] < 2 * DAY:
            return newest  # a log that was silent for a year goes on now
        if behind:
            return behind[0]
        return ahead[-1] if ahead else newest

    def _starts(self, newest: int, month: int, day: int, hour: int) -> Iterator[tuple[int, int]]:
        """Years in which there is such a month, day and hour, and its begin, the newest first."""
        for year in range(newest + 1, newest - 9, -1):  # a 29 February can lie 8 years back
            try:
                moment = datetime(year, month, day, hour, tzinfo=self.zone)
            except ValueError:
                continue
            yield year, int(moment.timestamp()) * SECOND

    def _year_of(self, time: int) -> int:
        return datetime.fromtimestamp(time // SECOND, self.zone).year

    def read(self, stamp: str) -> int:
        """Nanoseconds of a stamp of either kind; ValueError if it is none."""
        if stamp[0] > "9":
            return self.read_bsd(stamp)
        rest = stamp[19:]
        zone = rest.lstrip(".,0123456789")
        return self.read_dated(stamp[:19], rest[1 : len(rest) - len(zone)], zone)

    def read_dated(self, date: str, fraction: str, zone: str) -> int:
        """Nanoseconds of ``2024-03-01T13:06:56`` with fraction and zone; ValueError if none."""
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
        """An hour that the clocks went through twice: the reading that goes on from ``last``."""
        first = int(moment.timestamp()) * SECOND
        second = int(moment.replace(fold=1).timestamp()) * SECOND
        slack = 300 * SECOND
        if self.last is not None and first < self.last - slack and second > first:
            return second
        return first

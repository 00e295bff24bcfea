"""Who logged a line and when: every header that syslog daemons write to files.

RFC 3164 (BSD syslog, with and without PRI, day padded or not, with or without a fraction of the
second, year first or after the day),
RFC 5424 with structured data, RFC 3339 and ISO 8601 stamps with and without zone, and
messages without a host name.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

from exporter.record import Origin, Record

SECOND: Final = 10**9
DAY: Final = 86_400 * SECOND
_DISORDER: Final = 31 * DAY
_FORGOTTEN: Final = 5 * 365 * DAY
"""A last line so long ago says nothing of the year of the next."""
_FARTHEST: Final = 2**63 - DAY
"""What the stores can keep, less some room for tie-breakers: the years 1678 to 2261."""
_MONTHS: Final = {
    name: number + 1
    for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
}

# A host never ends in a colon and holds no bracket: so a tag is not taken for one.
_REST: Final = (
    r"(?:(?P<host>[^\s\[\]]{0,254}[^\s:\[\]]) )?"
    r"(?P<tag>\([\w-]+\)|[^\s:\[\]()]{1,128})\]?(?: \d[\w.]*)?(?:\((?P<module>\w+)\))?"
    r"(?:\[(?P<pid>\d{1,9})\])?:(?: (?P<message>.*))?(?<!\r)"  # \r: ``parse_text`` strips it
)
_FRACTION: Final = r"(?:[.,](?P<fraction>\d{1,9})\d*)?"
_ISO: Final = r"(?P<date>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)" + _FRACTION
_ZONE: Final = r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
_PRI: Final = r"(?:<\d{1,3}>)?"
_BSD: Final = re.compile(
    _PRI + r"(?P<stamp>[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d)" + _FRACTION + " " + _REST,
    re.DOTALL | re.ASCII,
)
_BSD_YEAR: Final = re.compile(
    _PRI
    + r"(?:(?P<year1>\d{4}) )?(?P<day>[A-Z][a-z]{2} {1,2}\d{1,2})(?: (?P<year2>\d{4}))? "
    + r"(?P<clock>\d\d:\d\d:\d\d) "
    + _REST,
    re.DOTALL | re.ASCII,
)
_RFC3339: Final = re.compile(_PRI + _ISO + _ZONE + " " + _REST, re.DOTALL | re.ASCII)
_RFC5424: Final = re.compile(
    r"<\d{1,3}>\d{1,2} " + _ISO + _ZONE + r" (?P<host>\S{1,255}) (?P<tag>\S{1,128}) "
    r"(?P<pid>\S{1,128}) \S{1,128} "
    r'(?:-|(?>(?:\[[^\s=\]"]+(?>(?: [^\s=\]"]+="(?>(?:[^"\\]|\\.)*)")*)\])+))'
    r"(?: (?P<message>.*))?",
    re.DOTALL | re.ASCII,
)
# What nearly every line is: the same as _BSD and _RFC3339 read in it, found in a whole text at
# once, which takes a third of the time; a class is one look if it has neither \w nor \d. Any other
# line is the last group, and left to those.
_LINES: Final = re.compile(
    r"^(?:(([A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d|"
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
    r" ([0-9A-Za-z_.-]{1,255}) ([0-9A-Za-z_./-]{1,128})(?:\[([0-9]{1,9})\])?: "
    r"(?!message repeated )(.*[^\r\n]))\r?|(.+))$",
    re.ASCII | re.MULTILINE,
)
_REPEATED: Final = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL | re.ASCII)
_AGAIN: Final = re.compile(
    r"(?:<\d{1,3}>)?(?P<stamp>[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d|"
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?) "
    r"(?P<host>[\w.-]{1,255}) last message repeated (?P<count>\d{1,9}) times?",
    re.ASCII,
)
_MOST_REPEATS: Final = 10**6
_MOST_HOURS: Final = 2000
_WITHIN_HOUR: Final = {
    f"{minute:02}:{second:02}": (minute * 60 + min(second, 59)) * SECOND
    for minute in range(60)
    for second in range(61)
}
"""Nanoseconds of every mm:ss; a leap second counts as the one before it."""


class Clock:
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
        self._stamp = ""
        self._time = 0
        self._iso = ("", "")
        self._iso_base = 0

    def read_bsd(self, stamp: str) -> int:
        """Nanoseconds of a stamp as ``Mar  1 13:06:56`` (RFC 3164, 4.1.2); ValueError if none."""
        if stamp == self._stamp:
            return self._time
        hour = stamp[:-6]
        within = _WITHIN_HOUR.get(stamp[-5:])
        if within is None:
            raise ValueError(stamp)
        base = self._hours.get(hour)
        if base is None or self.last is None or not -_DISORDER < base - self.last < _DISORDER:
            base = self._find_hour(hour, within)
        self._stamp = stamp
        self._time = time = base + within
        if self.last is None or time > self.last:
            self._go_on(time)
        return time

    def _go_on(self, time: int) -> None:
        """Later lines follow ``time``, unless a wrong clock wrote it: one must not mislead all."""
        if self._year or not self.reference or time <= self.reference + DAY:
            self.last = time

    def _find_hour(self, hour: str, within: int) -> int:
        """The start of an hour without a year; remembered where the clocks go through it once."""
        month, day, number = hour.split()
        parts = (_MONTHS.get(month, 0), int(day), int(number))
        start = datetime(self._find_year(*parts), *parts, tzinfo=self.zone)
        if start.utcoffset() == start.replace(minute=59, second=59, fold=1).utcoffset():
            if len(self._hours) > _MOST_HOURS:
                self._hours.clear()
            base = self._hours[hour] = int(start.timestamp()) * SECOND
            return base
        minute, second = divmod(within // SECOND, 60)
        return self._unfold(start.replace(minute=minute, second=second)) - within

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
        if (date, zone) != self._iso:
            # a leap second counts as the one before it, as in ``read_bsd``
            shown = f"{date[:-2]}59" if date.endswith(":60") else date
            moment = datetime.fromisoformat(shown + zone)
            if moment.tzinfo is None:
                base = self._unfold(moment.replace(tzinfo=self.zone))
            else:
                base = int(moment.timestamp()) * SECOND
            if not -_FARTHEST < base < _FARTHEST:
                raise ValueError(date)
            self._iso, self._iso_base = (date, zone), base
        time = self._iso_base
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


class HeaderParser:
    """Splits the lines of one log into records; the format that matched last is tried first."""

    def __init__(self, clock: Clock, origin: Origin) -> None:
        self.clock = clock
        self.origin = origin
        self._order = [self._read_bsd, self._read_rfc3339, self._read_rfc5424, self._read_year]

    def parse(self, raw: str) -> Record | None:
        """The record of a line without its line end, or None if it has no known header."""
        order = self._order
        for number, read in enumerate(order):
            try:
                record = read(raw)
            except (ValueError, OverflowError):
                continue
            if record is not None:
                if number:
                    order.insert(0, order.pop(number))
                return record
        return None

    def parse_text(self, text: str, before: str = "") -> tuple[list[Record], list[str]]:
        """The records of the lines of a text, and the lines that have no known header.

        ``before`` is the text right before, where the first line may refer to it.
        """
        records = self._find_last(before) if before else []
        known = len(records)
        broken = 0  # so many records there were when a line without a header came last
        strange: list[str] = []
        read, add, origin = self.clock.read, records.append, self.origin
        known_stamp, time = "", 0
        for line, stamp, host, tag, pid, message, rest in _LINES.findall(text):
            if rest:
                last = records[-1] if len(records) > broken else None
                if not self._parse_rest(rest, last, records, strange):
                    broken = len(records)
                known_stamp = ""
                continue
            if stamp != known_stamp:
                try:
                    time = read(stamp)
                except (ValueError, OverflowError):
                    strange.append(line)
                    broken = len(records)
                    known_stamp = ""
                    continue
                known_stamp = stamp
            add((time, host, tag, pid, message, line, 1, origin))
        return records[known:] if known else records, strange

    def _parse_rest(
        self, line: str, last: Record | None, records: list[Record], strange: list[str]
    ) -> bool:
        """What the plain headers do not cover; whether it gave a record."""
        line = line.rstrip("\r").lstrip("\0\ufeff")
        record = self._repeat(line, last) if last else None
        record = record or self.parse(line)
        if record is not None:
            records.append(record)
        elif line:
            strange.append(line)
        return record is not None

    def _repeat(self, line: str, last: Record) -> Record | None:
        """sysklogd's ``last message repeated N times``: the host's line right before, N times more.

        It names no program; see syslogd.c of sysklogd and of the BSDs. The raw line is the one
        that is repeated: from it is judged whether it may be kept.
        """
        found = _AGAIN.fullmatch(line)
        if found is None or found["host"] != last[1] or int(found["count"]) == 0:
            return None
        try:
            time = self.clock.read(found["stamp"])
        except (ValueError, OverflowError):
            return None
        count = min(int(found["count"]), _MOST_REPEATS)
        return (time, last[1], last[2], last[3], last[4], last[5], count, self.origin)

    def _find_last(self, before: str) -> list[Record]:
        """The record of the last line of a text that was read already, or none."""
        clock = Clock(self.clock.zone, self.clock.last, self.clock.reference)
        records, strange = HeaderParser(clock, self.origin).parse_text(before)
        line = before.removesuffix("\n").rpartition("\n")[2].rstrip("\r")
        return [] if not line or strange[-1:] == [line] else records[-1:]

    def _read_bsd(self, raw: str) -> Record | None:
        found = _BSD.fullmatch(raw)
        if found is None:
            return None
        stamp, fraction, host, tag, module, pid, message = found.groups("")
        time = self.clock.read_bsd(stamp)
        if fraction:
            time += int(fraction) * 10 ** (9 - len(fraction))
        return self._record(time, host, tag, module, pid, message, raw)

    def _read_rfc3339(self, raw: str) -> Record | None:
        found = _RFC3339.fullmatch(raw)
        if found is None:
            return None
        date, fraction, zone, host, tag, module, pid, message = found.groups("")
        time = self.clock.read_dated(date, fraction, zone)
        return self._record(time, host, tag, module, pid, message, raw)

    def _read_rfc5424(self, raw: str) -> Record | None:
        found = _RFC5424.fullmatch(raw)
        if found is None:
            return None
        date, fraction, zone, host, tag, pid, message = found.groups("")
        time = self.clock.read_dated(date, fraction, zone)
        host = "" if host == "-" else host
        pid = pid if pid.isascii() and pid.isdigit() and len(pid) < 10 else ""
        # rsyslog's RSYSLOG_SyslogProtocol23Format keeps the blank before an RFC 3164 message
        message = message.removeprefix("\ufeff").removeprefix(" ")
        return self._record(time, host, tag, "", pid, message, raw)

    def _read_year(self, raw: str) -> Record | None:
        found = _BSD_YEAR.fullmatch(raw)
        if found is None:
            return None
        first, day, second, clock, host, tag, module, pid, message = found.groups("")
        month, number = day.split()
        date = f"{first or second}-{_MONTHS.get(month, 0):02}-{int(number):02}T{clock}"
        time = self.clock.read_dated(date, "", "")
        return self._record(time, host, tag, module, pid, message, raw)

    def _record(
        self, time: int, host: str, tag: str, module: str, pid: str, message: str, raw: str
    ) -> Record:
        count = 1
        if message.startswith("message repeated "):
            count, message = unwrap_repeated(message)
        if module:  # before Linux-PAM 0.99: sshd(pam_unix)[1]: … for sshd[1]: pam_unix(sshd): …
            message = f"{module}({tag}): {message}"
        return (time, host, tag, pid, message, raw, count, self.origin)


def unwrap_repeated(message: str) -> tuple[int, str]:
    """(N, the message) of rsyslog's ``message repeated N times: [ … ]``; else (1, message)."""
    found = _REPEATED.fullmatch(message)
    if found is None or int(found[1]) == 0:
        return 1, message
    return min(int(found[1]), _MOST_REPEATS), found[2]

"""Who logged a line and when: every header that syslog daemons write to files.

RFC 3164 (BSD syslog, with and without PRI, day padded or not, with or without a fraction of the
second, year first or after the day),
RFC 5424 with structured data, RFC 3339 and ISO 8601 stamps with and without zone, and
messages without a host name.
"""

import re
from typing import Final

from exporter.parsers.clock import MONTHS, Clock
from exporter.record import Origin, Record

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
_REPEATED: Final = re.compile(r"message repeated (\d{1,9}) times: \[ ?(.*)\]", re.DOTALL | re.ASCII)
_AGAIN: Final = re.compile(
    r"(?:<\d{1,3}>)?(?P<stamp>[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d:\d\d|"
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?) "
    r"(?P<host>[\w.-]{1,255}) last message repeated (?P<count>\d{1,9}) times?",
    re.ASCII,
)
_MOST_REPEATS: Final = 10**6
_IS_PID: Final = re.compile(r"\d{1,9}\]", re.ASCII).fullmatch
_MOST_PLACES: Final = 5000
_MOST_RECENT: Final = 1000


class HeaderParser:
    """Splits the lines of one log into records; the format that matched last is tried first.

    Nearly every line differs from one before it in no more than its time, process id and message.
    So ``_width``, how long the last stamp was, ``_places``, what stood between stamp and process
    id and is known to be a host and a tag, and ``_recent``, the same with the id, take the place
    of a pattern for most lines.
    """

    def __init__(self, clock: Clock, origin: Origin) -> None:
        self.clock = clock
        self.origin = origin
        self._width = 0
        self._places: dict[str, tuple[str | None, str]] = {}
        self._recent: dict[str, tuple[str | None, str, str]] = {}
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
        recall, recent, add, origin = self.clock.recall, self._recent, records.append, self.origin
        known_stamp, time, width = "", None, self._width
        lines = text.split("\n")
        if "\r" in text:
            lines = [line.rstrip("\r") for line in lines]
        folded = "message repeated " in text
        for line in lines:
            head, _, message = line.partition(": ")
            place = head[width:]
            who = recent.get(place) or self._recall_place(place)
            if who is not None and message:
                stamp = head[:width]
                if stamp != known_stamp:
                    time, known_stamp = recall(stamp), stamp
                if time is not None:
                    host, tag, pid = who
                    count = 1
                    if folded and message.startswith("message repeated "):
                        count, message = unwrap_repeated(message)
                    add((time, host, tag, pid, message, line, count, origin))
                    continue
            if line:
                last = records[-1] if len(records) > broken else None
                if not self._parse_other(line, last, records, strange):
                    broken = len(records)
                known_stamp, width = "", self._width
        return records[known:] if known else records, strange

    def _parse_other(
        self, line: str, last: Record | None, records: list[Record], strange: list[str]
    ) -> bool:
        """What is not known from lines before; whether it gave a record."""
        line = line.lstrip("\0\ufeff")
        record = self._repeat(line, last) if last else None
        record = record or self.parse(line)
        if record is not None:
            records.append(record)
            self._learn(record)
        elif line:
            strange.append(line)
        return record is not None

    def _learn(self, record: Record) -> None:
        """Know such a line again, if it is no more than a stamp, a host, a tag and a message."""
        time, host, tag, pid, message, raw, _, _ = record
        place = f" {host} {tag}" if host else f" {tag}"
        rest = f"{place}[{pid}]: {message}" if pid else f"{place}: {message}"
        if not raw.endswith(rest):
            return
        width = len(raw) - len(rest)
        if self.clock.recall(raw[:width]) == time:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            self._places[place] = host, tag
            self._width = width

    def _recall_place(self, place: str) -> tuple[str | None, str, str] | None:
        """Host, tag and process id, if host and tag are known and no more than an id is new."""
        before, bracket, pid = place.partition("[")
        known = self._places.get(before)
        if known is None or (bracket and not _IS_PID(pid)):
            return None
        if len(self._recent) >= _MOST_RECENT:
            self._recent.clear()
        found = self._recent[place] = *known, pid[:-1]
        return found

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
        line = before.rstrip("\r\n").rpartition("\n")[2].lstrip("\0\ufeff")
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
        date = f"{first or second}-{MONTHS.get(month, 0):02}-{int(number):02}T{clock}"
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

"""Split the lines of a log into records: header, message and repeat count.

A folded line (heptad.exporter.parsing.repeated_lines) becomes the line that it stands for.
heptad.exporter.parsing.header_formats has the header formats.
"""

import re
from collections.abc import Container
from typing import Final

import msgspec

from heptad.exporter.log_record import LogRecord, Provenance, RepeatCount
from heptad.exporter.parsing.header_formats import Formats, Header
from heptad.exporter.parsing.repeated_lines import (
    FOLDER,
    REPEAT,
    count_repeats,
    split_phrase,
    unwrap_repeated,
)
from heptad.exporter.parsing.timestamps import TimestampParser

_IS_PID: Final = re.compile(r"\d{1,9}\]", re.ASCII).fullmatch
_MOST_NAMES: Final = 10_000
_MOST_PLACES: Final = 5000
_MOST_RECENT: Final = 1000


class HeaderParser:
    """Splits the lines of one log into records; ``locale`` is that of its timestamps, if known.

    Nearly every line differs from an earlier one only in time, process id and message. These caches
    therefore replace the patterns for most lines: ``_width``, the length of the last timestamp;
    ``_places``, the text between timestamp and process id for known hosts and tags; ``_recent``,
    the same with the process id. ``strange`` is the first line without a header.
    """

    def __init__(
        self,
        clock: TimestampParser,
        provenance: Provenance,
        locale: str | None = None,
        programs: Container[str] = (),
    ) -> None:
        self.timestamps = clock
        self.provenance = provenance
        self.strange: str | None = None
        self._locale = locale
        self._programs = programs
        self._formats = Formats(clock, locale, programs)
        self._width = 0
        self._hosts: set[str] = set()
        self._app_names: set[str] = set()
        self._places: dict[str, tuple[str | None, str]] = {}
        self._recent: dict[str, tuple[str | None, str, str]] = {}

    @property
    def problem(self) -> str | None:
        """Why timestamps of the log cannot be read, if a setting would help."""
        return self._formats.problem

    def parse(self, raw: str) -> LogRecord | None:
        """Return the record of a line without line end, or None if its header is unknown."""
        header = self._formats.read(raw)
        return None if header is None else self._record(header, raw)

    def parse_text(self, text: str, before: str = "") -> tuple[list[LogRecord], list[str]]:
        """Return the records of a text, and its lines with an unknown header.

        ``before`` is the text right before, if the first line refers to it.
        """
        records = self._find_last(before) if before else []
        known = len(records)
        broken = 0  # number of records at the last line without a header
        strange: list[str] = []
        recall, recent, add, provenance = (
            self.timestamps.recall,
            self._recent,
            records.append,
            self.provenance,
        )
        known_stamp, time, width = "", None, self._width
        lines = text.split("\n")
        if "\r" in text:
            lines = [line.rstrip("\r") for line in lines]
        folded = REPEAT in text
        for line in lines:
            prefix, _, message = line.partition(": ")
            place = prefix[width:]
            who = recent.get(place) or self._recall_place(place)
            if who is not None and message and not (folded and REPEAT in message):
                stamp = prefix[:width]
                if stamp != known_stamp:
                    time, known_stamp = recall(stamp), stamp
                if time is not None:
                    host, app_name, pid = who
                    add(LogRecord(time, host, app_name, pid, message, line, 1, provenance))
                    continue
            if line:
                last = records[-1] if len(records) > broken else None
                if not self._parse_other(line, last, records, strange):
                    broken = len(records)
                known_stamp, width = "", self._width
        self.strange = self.strange or next(iter(strange), None)
        return records[known:] if known else records, strange

    def _parse_other(
        self, line: str, last: LogRecord | None, records: list[LogRecord], strange: list[str]
    ) -> bool:
        """Parse a line that differs from those before; return whether it has a record."""
        line = line.lstrip("\0\ufeff")
        header = self._formats.read(line)
        if header is not None and header.end:
            self._learn(header, line)
        record = self._unfold(line, header, last) if last and REPEAT in line else None
        if record is None and header is not None:
            record = self._record(header, line)
        if record is not None:
            records.append(record)
        elif line:
            strange.append(line)
        return record is not None

    def _learn(self, header: Header, raw: str) -> None:
        """Add a line to the caches if it is only a timestamp, a host, a tag and a message."""
        width, end, pid = header.width, header.end, header.pid
        behind = f"[{pid}]: " if pid else ": "
        if not raw.startswith(behind, end):
            return
        if (
            raw.find(": ") != end + len(behind) - 2
            or self.timestamps.recall(raw[:width]) != header.time
        ):
            return
        place, host, app_name = raw[width:end], header.host, header.app_name
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        self._places[place] = host, app_name
        self._width = width
        if place == f" {host} {app_name}":
            for name, names in ((host, self._hosts), (app_name, self._app_names)):
                if len(names) >= _MOST_NAMES:
                    names.clear()
                names.add(name)

    def _recall_place(self, place: str) -> tuple[str | None, str, str] | None:
        """Return host, tag and process id if host and tag are known."""
        before, bracket, pid = place.partition("[")
        known = self._places.get(before)
        if known is None and before.startswith(" "):
            known = self._recall_names(before)
        if known is None or (bracket and not _IS_PID(pid)):
            return None
        if len(self._recent) >= _MOST_RECENT:
            self._recent.clear()
        found = self._recent[place] = *known, pid[:-1]
        return found

    def _recall_names(self, place: str) -> tuple[str | None, str] | None:
        """Return host and tag if both are known from different lines."""
        host, _, app_name = place[1:].partition(" ")
        if host not in self._hosts or app_name not in self._app_names:
            return None
        if len(self._places) >= _MOST_PLACES:
            self._places.clear()
        known = self._places[place] = host, app_name
        return known

    def _unfold(self, line: str, header: Header | None, last: LogRecord) -> LogRecord | None:
        """Return the record that a folded line stands for, if it is the one right before it.

        The raw line is the repeated one, because it decides whether the line may be stored.
        """
        if header is None:
            header = self._read_fold(line, last)
            if header is None:
                return None
        record = self._record(header, line)
        time, count = record.time, record.count
        if isinstance(count, RepeatCount):  # it contains its message, possibly the last one
            if not _say_the_same(record, last):
                return None
            return msgspec.structs.replace(record, count=RepeatCount(count, again=True))
        count = count_repeats(record, last)
        if not count:
            return None
        count = RepeatCount(count, again=True)
        return msgspec.structs.replace(last, time=time, count=count, provenance=self.provenance)

    def _read_fold(self, line: str, last: LogRecord) -> Header | None:
        """Return the header of a folded line without a tag, or without any header (metalog)."""
        parts = split_phrase(line)
        if parts is None:
            return None
        before, words = parts
        if not before.strip():
            return Header(last.time, "", FOLDER, "", "", words)
        return self._formats.read(f"{before}{FOLDER}: {words}")

    def _find_last(self, before: str) -> list[LogRecord]:
        """Return the record of the last line of a text that was already read, or none."""
        clock = TimestampParser(
            self.timestamps.zone, self.timestamps.last, self.timestamps.reference
        )
        records, strange = HeaderParser(
            clock, self.provenance, self._locale, self._programs
        ).parse_text(before)
        line = before.rstrip("\r\n").rpartition("\n")[2].lstrip("\0\ufeff")
        return [] if not line or strange[-1:] == [line] else records[-1:]

    def _record(self, header: Header, raw: str) -> LogRecord:
        app_name, message = header.app_name, header.message
        if header.module:  # before Linux-PAM 0.99: sshd(pam_unix)[1]: … for pam_unix(sshd): …
            message = f"{header.module}({app_name}): {message}"
        count = 1
        if message.startswith("message repeated "):
            count, message = unwrap_repeated(message)
        return LogRecord(
            header.time, header.host, app_name, header.pid, message, raw, count, self.provenance
        )


def _say_the_same(one: LogRecord, other: LogRecord) -> bool:
    """Return whether both are the same message of the same process."""
    return (
        one.message == other.message
        and one.pid == other.pid
        and one.app_name == other.app_name
        and one.host == other.host
    )

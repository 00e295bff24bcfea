"""The header formats of lines that syslog daemons and journalctl write to files.

RFC 3164 (BSD syslog, with and without PRI, day padded or not, with or without a fraction of the
second), RFC 5424 with structured data, RFC 3339 and ISO 8601 timestamps with and without zone.
Variants of these are tried last: a year or a weekday, a zone's name, a locale's month
(heptad.exporter.parsing.stamp_formats); facility and severity before or after the host (FreeBSD -v,
BusyBox, OpenWrt); a program in brackets (metalog); no host; no colon after the process id; two
blanks; and a whole line within another (a relay that could not parse it).
"""

import re
from collections.abc import Callable, Container
from re import Match
from typing import Final

import msgspec

from heptad.core.locale_names import AmbiguousMonth, redefines_english
from heptad.exporter.parsing.severity import SEVERITY
from heptad.exporter.parsing.stamp_formats import read_stamp
from heptad.exporter.parsing.timestamps import TimestampParser

_NO_HOST: Final = rf"(?!(?:{SEVERITY}|(?:19|20)\d\d|UTC|GMT|CET|CEST) )"
_NO_TAG: Final = rf"(?!(?:{SEVERITY}|UTC|GMT|CET|CEST):|<\d)"
# A host never ends in a colon and has no brackets, so that a tag is not mistaken for one.
_HOST: Final = r"[^\s\[\]]{0,254}[^\s:\[\]]"
_TAG: Final = rf"{_NO_TAG}(?P<tag>\([\w-]+\)|[^\s:\[\]()]{{1,128}})"
_REST: Final = (
    rf"(?:{_NO_HOST}(?P<host>{_HOST}) )?"
    rf"{_TAG}\]?(?: \d[\w.]*)?(?:\((?P<module>\w+)\))?"
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
_RFC3339: Final = re.compile(_PRI + _ISO + _ZONE + " " + _REST, re.DOTALL | re.ASCII)
_STRUCTURED: Final = (
    r'(?:-|(?>(?:\[[^\s=\]"]+(?>(?: [^\s=\]"]+="(?>(?:[^"\\]|\\.)*)")*)\])+))'
    r"(?: (?P<message>.*))?"
)
_RFC5424: Final = re.compile(
    r"<\d{1,3}>\d{1,2} " + _ISO + _ZONE + r" (?P<host>\S{1,255}) (?P<tag>\S{1,128}) "
    r"(?P<pid>\S{1,128}) \S{1,128} " + _STRUCTURED,
    re.DOTALL | re.ASCII,
)
# journalctl -o with-unit: a unit's name contains colons if systemd created it for a connection
_UNIT: Final = r"(?P<unit>[\w@\\:.-]{1,200})\.(?:service|scope)(?:/\S{1,200})?(?=\[\d)"
_FACILITY: Final = rf"(?:[<\[(]?{SEVERITY}[>\])]?:?|<\d{{1,2}}\.\d>|<\d{{1,3}}>) +"
# macOS' syslog(1), standard format; in parentheses is the library that logged the message
_LEVEL: Final = (
    r"(?:(?: \([^\s()]{1,64}\))? <(?:Emergency|Alert|Critical|Error|Warning|Notice|Info|Debug)>"
    r"(?=:))?"
)
_PLACE: Final = re.compile(
    rf" {{1,8}}(?:\[\d+\.\d+\] )?(?:{_FACILITY})?"
    rf"(?:{_NO_HOST}(?P<host>{_HOST}) +(?:: )?(?:{_FACILITY})?)?(?:<\d{{1,3}}>)?"
    rf"(?:(?:Message )?[Ff]orwarded from (?P<sender>{_HOST}): )?"
    rf"(?:\[(?P<boxed>[^\W\d][^\s\[\]:]{{0,127}}|/[^\s\[\]:]{{1,127}})\](?=[ :]):?"
    rf"|(?:{_UNIT}|{_TAG})(?:\((?P<module>\w+)\))?"
    rf"(?:\[(?P<pid>\d{{1,9}})\]{_LEVEL}(?=[ :]):?|:))"
    r"(?:(?: |(?<=\]:)(?=\S))(?P<message>.*))?",
    re.DOTALL | re.ASCII,
)
# RFC 5424 without PRI, and possibly without version, as some receivers write it
_UNMARKED: Final = re.compile(
    r" (?P<host>[^\s:\[\]]{1,255}) (?P<tag>[^\s:\[\]]{1,128}) (?P<pid>-|\d{1,9}) \S{1,128} "
    + _STRUCTURED,
    re.DOTALL | re.ASCII,
)
_BY_PAM: Final = re.compile(r"pam_\w{1,32}\(([\w-]{1,32}):")
_BY_FORM: Final = (
    (
        "sudo",
        re.compile(
            r" *[^:\s][^:]{0,255} : (?:(?:HOST|TTY|PWD|CHROOT|USER)=|\(command continued\) "
            r"|[^=;]{1,200} ; (?:HOST|TTY|PWD|CHROOT|USER)=)"
        ),
    ),
    ("su", re.compile(r"(?:FAILED SU )?\(to \S{1,256}\) \S{0,256} on \S")),
)
_UNITS: Final = {"ssh": "sshd", "polkit": "polkitd", "crond": "cron", "openssh": "sshd"}
# no process id and no colon: a tag only if it is the name of a known program
_BARE: Final = re.compile(
    rf" +(?P<host>{_HOST}) +(?P<tag>[^\s:\[\]()]{{1,128}}) (?P<message>.*)", re.DOTALL | re.ASCII
)
_VERSION: Final = re.compile(r"(?:(?:\d{2,5} )?<\d{1,3}>)?1 (?=\d{4}-\d\d-\d\dT)", re.ASCII)
# NetBSD's syslogd -v and -vv
_BEFORE: Final = re.compile(
    rf"(?:<\d{{1,3}}>(?:1 )?)?<(?:{SEVERITY}|\d{{1,2}}\.\d)>(?=\S)", re.ASCII
)
MODULE: Final = re.compile(r"([^\s:\[\]()]{1,128})\((\w{1,64})\)", re.ASCII)
"""A tag with a module: ``sshd(pam_unix)`` is ``pam_unix(sshd)`` of sshd."""
_CONTAINER: Final = r"std(?:out|err) [FP] "
_OUTER: Final = re.compile(
    rf" {{1,8}}(?P<facility>{_FACILITY}|{_CONTAINER})?(?:(?P<host>{_HOST}) +(?:{_FACILITY})?)?",
    re.ASCII,
)


class Header(msgspec.Struct, gc=False):
    """The parts of a line; the timestamp ends at ``width``, the tag at ``end``, if known."""

    time: int
    host: str
    app_name: str
    module: str
    pid: str
    message: str
    width: int = 0
    end: int = 0


class Formats:
    """Parses the headers of one log; the format that matched last is tried first.

    ``problem`` says why timestamps cannot be read, if a setting would help. A name in ``programs``
    is recognized as a tag without a colon too.
    """

    def __init__(
        self, clock: TimestampParser, locale: str | None = None, programs: Container[str] = ()
    ) -> None:
        self.problem: str | None = None
        self._programs = programs
        self._timestamps = clock
        self._locale = locale
        self._order = [self._read_bsd, self._read_rfc3339, self._read_rfc5424, self._read_other]
        if redefines_english(locale):
            self._order.remove(self._read_bsd)

    def read(self, raw: str) -> Header | None:
        """Return the header of a line, or None if its format is unknown."""
        order = self._order
        for number, read in enumerate(order):
            header = self._try(read, raw)
            if header is not None:
                if number:
                    order.insert(0, order.pop(number))
                return header
        return None

    def _try(self, read: Callable[[str], Header | None], raw: str) -> Header | None:
        try:
            return read(raw)
        except AmbiguousMonth as error:
            self.problem = f"{error}; set `locale`"
        except (ValueError, OverflowError):
            pass
        return None

    def _read_bsd(self, raw: str) -> Header | None:
        found = _BSD.fullmatch(raw)
        if found is None:
            return None
        stamp, fraction = found["stamp"], found["fraction"]
        time = self._timestamps.read_bsd(stamp)
        if raw[0] == "<":
            end = found.end("stamp")
            self._timestamps.know_as(raw[:end], end, stamp[:-6])
        if fraction:
            time += int(fraction) * 10 ** (9 - len(fraction))
        return _header(found, time)

    def _read_rfc3339(self, raw: str) -> Header | None:
        found = _RFC3339.fullmatch(raw)
        return None if found is None else _header(found, self._date(found))

    def _read_rfc5424(self, raw: str) -> Header | None:
        found = _RFC5424.fullmatch(raw)
        if found is None:
            return None
        date, fraction, zone, *rest = found.groups("")
        return _header_5424(self._timestamps.read_dated(date, fraction, zone), *rest)

    def _date(self, found: Match[str]) -> int:
        return self._timestamps.read_dated(
            found["date"], found["fraction"] or "", found["zone"] or ""
        )

    def _read_other(self, raw: str) -> Header | None:
        """Parse unusual timestamps and places, and nested lines; on failure, reset the clock."""
        last = self._timestamps.last
        header = self._read_unusual(raw)
        if header is None:
            self._timestamps.last = last
        return header

    def _read_unusual(self, raw: str, *, inside: bool = False) -> Header | None:
        version = _VERSION.match(raw)
        mark = version or _BEFORE.match(raw)
        line = raw[mark.end() :] if mark else raw
        stamp = read_stamp(line, self._timestamps, self._locale)
        if stamp is None:
            return None
        found = None if version else _PLACE.fullmatch(line, stamp.end)
        if found is not None:
            if stamp.clock_end:
                self._timestamps.know_as(line[: stamp.end], stamp.clock_end, stamp.hour)
            header = _header(found, stamp.time)
            header.width = 0 if line is not raw else stamp.end
            return header
        found = _UNMARKED.fullmatch(line, stamp.end)
        if found is not None:
            return _header_5424(stamp.time, *found.groups(""))
        found = None if version else _BARE.fullmatch(line, stamp.end)
        if found is not None and found["tag"] in self._programs:
            return Header(stamp.time, found["host"], found["tag"], "", "", found["message"])
        return None if inside else self._read_inner(line, stamp.end)

    def _read_inner(self, line: str, begin: int) -> Header | None:
        """Parse the header of a whole line after a timestamp and possibly a host."""
        outer = _OUTER.match(line, begin)
        if outer is None:
            return None
        readers = (self._read_bsd, self._read_rfc3339, self._read_rfc5424, self._read_inside)
        for start in dict.fromkeys((outer.end("facility"), outer.end())):
            for read in readers:
                header = self._try(read, line[max(start, begin) :].lstrip(" "))
                if header is not None:
                    behind = (outer["host"] or "") if start == outer.end() else ""
                    header.host = header.host or behind
                    header.width = header.end = 0
                    return header
        return None

    def _read_inside(self, raw: str) -> Header | None:
        return self._read_unusual(raw, inside=True)


def _header(found: Match[str], time: int) -> Header:
    groups = found.groupdict("")
    host, app_name, boxed = groups["host"], groups["tag"], groups.get("boxed", "")
    width = found.start("host" if host else "boxed" if boxed else "tag") - 1
    end = 0 if boxed or groups["module"] else found.end("tag")
    host = groups.get("sender") or host
    module, pid, message = groups["module"], groups["pid"], groups["message"]
    if groups.get("unit"):
        return Header(time, host, _program_of(groups["unit"], message), "", pid, message)
    if boxed and (parts := MODULE.fullmatch(boxed)):
        boxed, module = parts.groups()
    return Header(time, host, name_program(app_name or boxed), module, pid, message, width, end)


def name_program(app_name: str) -> str:
    """Return the program of a tag, which may be a path."""
    return app_name.rpartition("/")[2] or app_name if app_name[:1] == "/" else app_name


def _program_of(unit: str, message: str) -> str:
    """Return the program of a unit: PAM names it; otherwise it is usually named like the unit.

    In a user's session, lines of sudo and su are recognized by their form.
    """
    told = _BY_PAM.match(message)
    if told is not None:
        return told[1]
    name = unit.partition("@")[0]
    if name == "user" or name.startswith("session-"):
        return next((app_name for app_name, form in _BY_FORM if form.match(message)), name)
    return _UNITS.get(name, name)


def _header_5424(time: int, host: str, app_name: str, pid: str, message: str) -> Header:
    host = "" if host == "-" else host
    pid = pid if pid.isascii() and pid.isdigit() and len(pid) < 10 else ""
    # rsyslog's RSYSLOG_SyslogProtocol23Format keeps the blank before an RFC 3164 message
    message = message.removeprefix("\ufeff").removeprefix(" ")
    if message.startswith(app_name):
        message = message.removeprefix(f"{app_name}[{pid}]: " if pid else f"{app_name}: ")
    return Header(time, host, app_name, "", pid, message)

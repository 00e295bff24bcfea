"""Timestamps other than those of RFC 3164 and RFC 3339.

Weekday, month, day, year and time in any usual order, with the names of every locale; a zone's name
after it; Cisco's and Apple's colon; seconds since 1970. Common timestamps are handled by
heptad.exporter.parsing.timestamps; this module is used only for lines without one.
"""

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final

import msgspec

from heptad.core.locale_names import find_month, is_weekday
from heptad.exporter.parsing.timestamps import TimestampParser

_TIME: Final = re.compile(
    r"(?:<\d{1,3}>)?\s{0,4}(?P<lead>[^<>{}=\"]{3,48}?[ Tt,_/:])(?P<clock>\d\d:\d\d:\d\d)"
    r"(?:[.,](?P<fraction>\d{1,9})\d*)?(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?(?=[ :])",
    re.ASCII,
)
_UNIX: Final = re.compile(r"(?P<seconds>\d{9,11})(?:\.(?P<fraction>\d{1,9})\d*)?(?= )", re.ASCII)
_AFTER: Final = re.compile(
    r" (?:(?P<year>(?:19|20)\d\d)|(?P<zone>[+-]\d{2,4}|[A-Z]{2,5}))(?=[ :])", re.ASCII
)
_ISO: Final = re.compile(
    r"(?:(?P<weekday>[^\s\d,.]{1,20})[,.]? )?"
    r"(?!0000)(?P<year>\d{4})[-/.]?(?P<month>\d\d)[-/.]?(?P<day>\d\d)[Tt ,_:]{1,2}",
    re.ASCII,
)
_SEQUENCE: Final = re.compile(r"\d{1,10}: ", re.ASCII)
_ZONES: Final = {
    **dict.fromkeys(("UTC", "GMT", "UT", "WET"), "+00:00"),
    **dict.fromkeys(("CET", "BST", "WEST"), "+01:00"),
    **dict.fromkeys(("CEST", "EET", "SAST"), "+02:00"),
    **dict.fromkeys(("EEST", "MSK"), "+03:00"),
    **dict.fromkeys(("JST", "KST"), "+09:00"),
    "AEST": "+10:00",
    "AEDT": "+11:00",
    "NZST": "+12:00",
    "NZDT": "+13:00",
    "EST": "-05:00",
    "EDT": "-04:00",
    "CST": "-06:00",
    "CDT": "-05:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "PST": "-08:00",
    "PDT": "-07:00",
    "AKST": "-09:00",
    "AKDT": "-08:00",
    "HST": "-10:00",
    "BRT": "-03:00",
}
"""Zone names → offset; a name of the source's own zone takes precedence."""


class Stamp(msgspec.Struct, gc=False):
    """A timestamp: its time in ns UTC, and where it ends in the line.

    ``hour`` is the key of its hour in TimestampParser; ``clock_end`` is where its seconds end if no
    fraction follows.
    """

    time: int
    end: int
    clock_end: int = 0
    hour: str = ""


def read_stamp(line: str, clock: TimestampParser, locale: str | None) -> Stamp | None:
    """Read the timestamp at the start of a line; None if there is none.

    Raises ValueError if it is not a valid time, and AmbiguousMonth if the month's name has two
    meanings.
    """
    found = _TIME.match(line)
    if found is None:
        return _read_unix(line, clock)
    date = _read_date(found["lead"], locale)
    if date is None:
        return None
    year, month, day, any_zone = date
    zone, end = (found["zone"] or "").upper(), found.end()
    while (after := _AFTER.match(line, end)) is not None:
        name = after["zone"]
        if after["year"] and not year:
            year = int(after["year"])
        elif name and not zone and (any_zone or _knows(clock.zone, name)):
            zone = _offset(clock.zone, name)
            any_zone = False
        else:
            break
        end = after.end()
    end += line[end : end + 2] == ": "
    fraction, stamp = found["fraction"] or "", f"{_SHORT[month]} {day:2} {found['clock']}"
    clock_end = 0 if fraction else found.end("clock")
    if not year:
        time = clock.read_bsd(stamp)
        if not zone:
            time += int(fraction) * 10 ** (9 - len(fraction)) if fraction else 0
            return Stamp(time, end, clock_end, stamp[:-6])
        year = datetime.fromtimestamp(time // 10**9, clock.zone).year
        clock_end = 0  # the clock advanced by the source's zone
    day_of = f"{year:04}-{month:02}-{day:02}T{found['clock']}"
    time = clock.read_dated(day_of, fraction, zone)
    return Stamp(time, end, clock_end, f"{day_of[:13]}{zone}")


def _read_date(lead: str, locale: str | None) -> tuple[int, int, int, bool] | None:
    """Return year (or 0), month and day before a time, and whether any zone may follow.

    ``journalctl -o short-full`` writes a weekday, an ISO date, and always a zone.
    """
    sequence = _SEQUENCE.match(lead)
    lead = lead[sequence.end() :] if sequence else lead
    dated = _ISO.fullmatch(lead.lstrip("*. "))
    if dated is None:
        words = _read_words(lead, locale)
        return (*words, False) if words else None
    weekday = dated["weekday"]
    if weekday is not None and not is_weekday(weekday):
        return None
    return int(dated["year"]), int(dated["month"]), int(dated["day"]), weekday is not None


_SHORT: Final = (
    "", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
)  # fmt: skip


def _read_unix(line: str, clock: TimestampParser) -> Stamp | None:
    found = _UNIX.match(line)
    if found is None:
        return None
    moment = datetime.fromtimestamp(int(found["seconds"]), UTC)
    time = clock.read_dated(f"{moment:%Y-%m-%dT%H:%M:%S}", found["fraction"] or "", "Z")
    return Stamp(time, found.end())


def _read_words(lead: str, locale: str | None) -> tuple[int, int, int] | None:
    """Parse ``Thu, 26 Feb 2026`` and similar to (year or 0, month, day); None if not a date."""
    words = lead.lstrip("*. ").replace(",", " ").rstrip(":").split()
    years = [word for word in words if len(word) == 4 and word.isascii() and word.isdigit()]
    if len(years) > 1 or years == ["0000"] or not 2 <= len(words) <= 6:
        return None
    words = [word for word in words if word not in years]
    for names, day in ((words[:-1], words[-1]), (words[:-2] + words[-1:], words[-2:-1][0])):
        number = day.rstrip(".")
        if not (number.isascii() and number.isdigit() and len(number) <= 2):
            continue
        for skipped in (0, 1):
            if skipped and not (names and is_weekday(names[0].rstrip("."))):
                continue
            month = find_month(" ".join(names[skipped:]), locale)
            if month is not None:
                return int(years[0]) if years else 0, month, int(number)
    return None


@lru_cache(maxsize=64)
def _own_offsets(zone: tzinfo) -> dict[str, str]:
    """Return the names of the zone in winter and summer, with their offsets from UTC."""
    moments = (datetime(2026, month, 1, 12, tzinfo=zone) for month in (1, 7))
    return {moment.tzname() or "": f"{moment:%z}"[:5] for moment in moments}


def _knows(zone: tzinfo, name: str) -> bool:
    return name[0] in "+-" or name in _ZONES or name in _own_offsets(zone)


def _offset(zone: tzinfo, name: str) -> str:
    """Return a zone's name for ``datetime.fromisoformat``; empty: the source's own zone.

    The source's own zone takes precedence, because names are ambiguous: CST is also China's.
    """
    if name[0] in "+-":
        return name if len(name) in (3, 5) else ""
    return _own_offsets(zone).get(name) or _ZONES.get(name, "")

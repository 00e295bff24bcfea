"""Durations, sizes, times and zones as people write them."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heptad.core import units

NOON = 1_772_366_400  # 2026-03-01T12:00:00Z


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is one or more numbers, each with its unit."""
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "5M", "5m ", "1h,", "x", "101w1y"])
def test_no_durations(text: str) -> None:
    """Anything else is told with an example of what would be right."""
    with pytest.raises(ValueError, match="write for example 90s, 5m, 1h or 30d"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    "text, size",
    [
        ("1MiB", 2**20),
        ("1 GiB", 2**30),
        ("0.5KiB", 512),
        ("7B", 7),
        ("2TiB", 2**41),
        ("10MB", 10**7),
        ("1.5KB", 1500),
        ("4096", 4096),
    ],
)
def test_sizes(text: str, size: int) -> None:
    """A size is a number of bytes, or has a unit: KiB is 1024 bytes, KB is 1000."""
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1M", "1iB", "-1MiB", "MiB", "1  GiB", "1e9B", "-1"])
def test_no_sizes(text: str) -> None:
    """Anything else is reported with an example of what would be right."""
    with pytest.raises(ValueError, match="write for example 64KiB, 500MiB or 1GiB"):
        units.parse_size(text)


def test_absurd_numbers() -> None:
    """Numbers beyond all reason are refused and never overflow."""
    for digits in (30, 400, 5000):
        with pytest.raises(ValueError, match="must not exceed 100 years"):
            units.parse_duration("9" * digits + "d")
        with pytest.raises(ValueError, match="must not exceed 4 EiB"):
            units.parse_size("9" * digits + "TiB")


@given(st.integers(1, 10**12), st.integers(0, 2**62))
def test_what_is_formatted_is_parsed_again(milliseconds: int, size: int) -> None:
    """A duration and a size in their shortest form mean the same."""
    assert units.parse_duration(units.format_duration(milliseconds / 1000)) == pytest.approx(
        milliseconds / 1000
    )
    assert units.parse_size(units.format_size(size)) == pytest.approx(size)
    assert [units.format_duration(s) for s in (0.25, 5400, 7200, 28 * 86_400)] == [
        *("250ms", "90m", "2h", "28d")
    ]
    assert [units.format_size(s) for s in (7, 16384, 10**7, 2**30)] == [
        "7B",
        "16KiB",
        "10MB",
        "1GiB",
    ]


@pytest.mark.parametrize(
    "text, time",
    [
        ("now", NOON),
        ("1h", NOON - 3600),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01T13:00:00+01:00", NOON),
        ("2026-03-01 13:00", NOON),
        ("2026-03-01", NOON - 13 * 3600),
    ],
)
def test_times(monkeypatch: pytest.MonkeyPatch, text: str, time: int) -> None:
    """A time is how long ago, or RFC 3339; without a zone it is this host's."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert units.parse_time(text, NOON) == time * 10**9


def test_times_keep_microseconds() -> None:
    """A fraction is kept to the microsecond, without an error of floating point."""
    assert units.parse_time("2026-03-01T12:00:00.123457Z") == NOON * 10**9 + 123_457_000


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9999-01-01", "0001-01-01T00:00Z"])
def test_no_times(text: str) -> None:
    """What is no time, or none that a log can have, is told."""
    with pytest.raises(ValueError, match="`"):
        units.parse_time(text)


def test_zones() -> None:
    """A zone has a name, or is an offset."""
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for text, hours in {"UTC": 0.0, "Europe/Berlin": 1.0, "+02:00": 2.0, "-0330": -3.5}.items():
        assert moment.astimezone(units.parse_zone(text)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    "text",
    ["", "Mars", "Europe", "../../etc/passwd", "/etc/passwd", "\0", "+25:00", "+1", "x" * 999],
)
def test_no_zones(text: str) -> None:
    """No other file is read as a zone, and what is none is told."""
    with pytest.raises(ValueError, match="is not a time zone; write for example Europe/Berlin"):
        units.parse_zone(text)


def test_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """$TZ, else /etc/localtime; a $TZ that names nothing is UTC, as in the C library."""
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert units.local_zone() == ZoneInfo("Europe/Berlin")
    monkeypatch.setenv("TZ", "Mars")
    assert units.local_zone() is UTC
    monkeypatch.delenv("TZ")
    tokyo = units.local_zone(Path("/usr/share/zoneinfo/Asia/Tokyo"))
    offset = datetime(2026, 3, 1, tzinfo=tokyo).utcoffset()
    assert offset in (timedelta(hours=9), timedelta(0))  # 0: a host without the zones' files
    assert units.local_zone(Path("/does/not/exist")) is UTC


@given(st.integers(0, 4 * 10**18))  # to the year 2096
def test_format_time(time: int) -> None:
    """A time is written with nine decimals, and is read again to the microsecond."""
    text = units.format_time(time)
    assert text.endswith(f".{time % 10**9:09}Z")
    assert units.parse_time(text[:-4] + "Z") == time - time % 1000


@given(st.text())
def test_arbitrary_text(text: str) -> None:
    """Whatever is given, a value or a ValueError comes of it."""
    for parse in (units.parse_duration, units.parse_size, units.parse_time, units.parse_zone):
        with suppress(ValueError):
            parse(text)

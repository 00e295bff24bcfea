"""Durations, sizes and times in the forms that users write."""

import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND: Final = 10**9
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST: Final = 100 * 365 * 86_400
_LARGEST: Final = 2**62
_BYTES: Final = {"B": 1} | {
    f"{letter}{suffix}": base ** (power + 1)
    for power, letter in enumerate("KMGT")
    for suffix, base in (("B", 1000), ("iB", 1024))
}

_LONGEST_TEXT: Final = 10_000
"""Characters; longer texts are rejected unread."""
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
_DURATION: Final = re.compile(f"(?:{_PART.pattern})+", re.ASCII)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?i?B)", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds of ``90s``, ``30d``, ``1h30m``; raise ValueError with the remedy."""
    if len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        raise ValueError(
            f"`{_quote(text)}` is not a duration; write for example 90s, 5m, 1h or 30d"
        )
    parts = _PART.findall(text)
    seconds = float(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    if seconds > _LONGEST:
        raise ValueError("a duration must not exceed 100 years; write for example 365d")
    return seconds


def format_duration(seconds: float) -> str:
    """Return the shortest form that ``parse_duration`` accepts: 90s, 10m, 28d."""
    milliseconds = round(seconds * 1000)
    if not milliseconds:
        return "0s"
    sizes = {unit: round(_SECONDS[unit] * 1000) for unit in ("d", "h", "m", "s", "ms")}
    return _in_largest_unit(milliseconds, sizes)


def parse_size(text: str) -> int:
    """Return the bytes of ``500MiB``, ``1GB`` or a number; raise ValueError with the remedy."""
    found = _SIZE.fullmatch(f"{text}B" if text.isdecimal() else text[: _LONGEST_TEXT + 1])
    if found is None or len(text) > _LONGEST_TEXT or found[2] not in _BYTES:
        raise ValueError(f"`{_quote(text)}` is not a size; write for example 64KiB, 500MiB or 1GiB")
    size = float(found[1]) * _BYTES[found[2]]
    if size > _LARGEST:
        raise ValueError("a size must not exceed 4 EiB; write for example 500MiB or 1GiB")
    return int(size)


def format_size(size: int) -> str:
    """Return the shortest form that ``parse_size`` accepts: 16KiB, 10MB, 1GiB."""
    return _in_largest_unit(size, dict(sorted(_BYTES.items(), key=lambda unit: -unit[1])))


def _in_largest_unit(number: int, sizes: Mapping[str, int]) -> str:
    unit, size = next((unit, size) for unit, size in sizes.items() if number % size == 0)
    return f"{number // size}{unit}"


def parse_time(text: str, now: float | None = None) -> int:
    """Return the nanoseconds of ``1h`` (ago), ``now``, or an RFC 3339 time; raise ValueError."""
    now = time.time() if now is None else now
    if text == "now":
        return int(now * SECOND)
    try:
        return int((now - parse_duration(text)) * SECOND)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"`{_quote(text)}` is not a time; write for example 24h (24 hours ago) or "
            "2026-03-01T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=local_zone())
    nanoseconds = round(moment.timestamp() * 10**6) * 1000
    if not -(2**63) <= nanoseconds < 2**63:
        raise ValueError(
            f"`{_quote(text)}` is out of range; a time must be between the years 1678 and 2261"
        )
    return nanoseconds


def parse_zone(text: str) -> tzinfo:
    """Parse a zone ``Europe/Berlin``, ``UTC`` or ``+02:00``; raise ValueError with the remedy."""
    fixed = re.fullmatch(r"([+-])(\d\d):?([0-5]\d)", text)
    if fixed:
        delta = timedelta(hours=int(fixed[2]), minutes=int(fixed[3]))
        if delta < timedelta(hours=24):
            return timezone(-delta if fixed[1] == "-" else delta)
    try:
        return ZoneInfo(text[:_LONGEST_TEXT])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"`{_quote(text)}` is not a time zone; write for example Europe/Berlin, UTC or +02:00"
        ) from None


def _quote(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"


def local_zone(local: Path = Path("/etc/localtime")) -> tzinfo:
    """Return this host's zone: $TZ, else /etc/localtime (localtime(5)), else UTC.

    $TZ may be a file, as in tzset(3): in a container, that of the host. ``local`` is the file
    that is read if $TZ is not set.
    """
    name = os.environ.get("TZ", "").removeprefix(":")
    if name and not name.startswith("/"):
        try:
            return parse_zone(name)
        except ValueError:
            return UTC
    try:
        with Path(name or local).open("rb") as file:
            return ZoneInfo.from_file(file, key=None)
    except (OSError, ValueError):
        return UTC


def format_time(time: int) -> str:
    """Return a time (ns) as RFC 3339 with nine decimals, UTC."""
    seconds, rest = divmod(time, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"

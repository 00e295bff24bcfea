"""Wording of findings, and of durations."""

import hashlib
import math
from typing import Final, NamedTuple

from heptad.core.units import SECOND
from heptad.core.wording import count_of

_DIGEST: Final = 16


class Words(NamedTuple):
    """A finding in words: its title, its subject, and the facts.

    They contain no time of day: callers show the times of a finding next to it, in one time zone.
    """

    title: str
    path: str
    facts: str

    @property
    def sentence(self) -> str:
        """The whole finding as one line."""
        return " · ".join(filter(None, self))


def shorten_apart(text: str, most: int) -> str:
    """Like ``shorten``, but different texts stay different: a digest follows the ``…``."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    return f"{text[: most - 1 - _DIGEST]}…{digest}"


def length_of(nanoseconds: int) -> str:
    """Format a duration, rounded up (``1 minute``, ``5 hours``): use it for "within"."""
    minutes = max(1, math.ceil(nanoseconds / (60 * SECOND)))
    return _length(minutes, 59, 1439)


def whole_length_of(nanoseconds: int) -> str:
    """Format a duration, rounded down: use it for "for at least"."""
    return _length(max(1, nanoseconds // (60 * SECOND)), 0, 0)


def _length(minutes: int, hour: int, day: int) -> str:
    if minutes < 120:
        return count_of(minutes, "minute")
    hours = (minutes + hour) // 60
    return count_of(hours, "hour") if hours < 48 else count_of((minutes + day) // 1440, "day")

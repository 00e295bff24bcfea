"""How findings are put into words, and lengths of time."""

import hashlib
import math
from typing import Final, NamedTuple

from heptad.core.units import SECOND
from heptad.core.wording import count_of

_DIGEST: Final = 16


class Words(NamedTuple):
    """A finding in words: what it is, whom it is about, and what happened.

    They hold no time of day: whoever shows a finding shows its times beside it, all in one zone.
    """

    title: str
    path: str
    facts: str

    @property
    def sentence(self) -> str:
        """All of it, for a person."""
        return " · ".join(filter(None, self))


def shorten_apart(text: str, most: int) -> str:
    """As ``shorten``, but what differs stays different: a digest follows the ``…``."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    return f"{text[: most - 1 - _DIGEST]}…{digest}"


def length_of(nanoseconds: int) -> str:
    """``1 minute``, ``5 hours``, ``3 days``, rounded up: what happened within it did."""
    minutes = max(1, math.ceil(nanoseconds / (60 * SECOND)))
    return _length(minutes, 59, 1439)


def whole_length_of(nanoseconds: int) -> str:
    """The same rounded down: what did not happen for so long did not."""
    return _length(max(1, nanoseconds // (60 * SECOND)), 0, 0)


def _length(minutes: int, hour: int, day: int) -> str:
    if minutes < 120:
        return count_of(minutes, "minute")
    hours = (minutes + hour) // 60
    return count_of(hours, "hour") if hours < 48 else count_of((minutes + day) // 1440, "day")

"""How numbers and names are put into a sentence for a person."""

import hashlib
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from heptad.core.units import SECOND

_SHOWN: Final = 3
_LONGEST: Final = 40
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


def count_of(number: int, noun: str, plural: str = "") -> str:
    """``1 event``, ``2 events``; ``plural`` where it takes more than an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def shorten(text: str, most: int = _LONGEST) -> str:
    """The text with at most ``most`` characters; ``…`` at the end says that there are more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shorten_apart(text: str, most: int) -> str:
    """As ``shorten``, but what differs stays different: a digest follows the ``…``."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    return f"{text[: most - 1 - _DIGEST]}…{digest}"


def list_names(names: Sequence[str], *, more: bool = False, most: int = _SHOWN) -> str:
    """``a``, ``a and b``, ``a, b, c and 4 others``; ``more``: there are more than are given.

    A long name is cut; an account without a name is one, too: attackers try it.
    """
    shown = [shorten(name) or "(no name)" for name in names]
    hidden = len(shown) - most
    if hidden > 0:
        others = f"{hidden} or more others" if more else count_of(hidden, "other")
        return f"{', '.join(shown[:most])} and {others}"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


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

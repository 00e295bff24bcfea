"""How numbers and names are put into a sentence for a person."""

import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from heptad.units import SECOND

_SHOWN: Final = 3
_LONGEST: Final = 40
_DIGEST: Final = 16


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


def list_names(names: Sequence[str], *, more: bool = False) -> str:
    """``a``, ``a and b``, ``a, b, c and 4 others``; ``more``: there are more than are given.

    A long name is cut; an account without a name is one, too: attackers try it.
    """
    shown = [shorten(name) or "(no name)" for name in names]
    hidden = len(shown) - _SHOWN
    if hidden > 0:
        others = f"{hidden} or more others" if more else count_of(hidden, "other")
        return f"{', '.join(shown[:_SHOWN])} and {others}"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def length_of(nanoseconds: int) -> str:
    """``1 minute``, ``5 hours``, ``3 days``: begun minutes, else whole hours and days."""
    minutes = max(1, math.ceil(nanoseconds / (60 * SECOND)))
    if minutes < 120:
        return count_of(minutes, "minute")
    return count_of(minutes // 60, "hour") if minutes < 2880 else count_of(minutes // 1440, "day")


def minute_of(time: int) -> str:
    """``2026-11-23 10:02 UTC``."""
    return f"{datetime.fromtimestamp(time // SECOND, UTC).isoformat(' ')[:16]} UTC"

"""How numbers and names are put into a sentence for a person."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from heptad.units import SECOND

_SHOWN: Final = 3
_LONGEST: Final = 40


def count_of(number: int, noun: str, plural: str = "") -> str:
    """``1 event``, ``2 events``; ``plural`` where it takes more than an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def list_names(names: Sequence[str], *, more: bool = False) -> str:
    """``a``, ``a and b``, ``a, b, c and 4 others``; ``more``: there are more than are given.

    A long name is cut; an account without a name is one, too: attackers try it.
    """
    shown = [name[:_LONGEST] or "(no name)" for name in names]
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

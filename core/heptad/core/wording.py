"""Format numbers and names in sentences."""

from collections.abc import Sequence
from typing import Final

_SHOWN: Final = 3
_LONGEST: Final = 40


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return ``1 event``, ``2 events``; ``plural`` if it is irregular."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def shorten(text: str, most: int = _LONGEST) -> str:
    """Cut the text to at most ``most`` characters; ``…`` at the end shows that it was longer."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def list_names(names: Sequence[str], *, more: bool = False, most: int = _SHOWN) -> str:
    """Return ``a``, ``a and b``, ``a, b, c and 4 others``; ``more``: the list is incomplete.

    Long names are cut. A name may be empty: attackers try that.
    """
    shown = [shorten(name) or "(no name)" for name in names]
    hidden = len(shown) - most
    if hidden > 0:
        others = f"{hidden} or more others" if more else count_of(hidden, "other")
        return f"{', '.join(shown[:most])} and {others}"
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))

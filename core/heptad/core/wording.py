"""How numbers and names are put into a sentence for a person."""

from collections.abc import Sequence
from typing import Final

_SHOWN: Final = 3
_LONGEST: Final = 40


def count_of(number: int, noun: str, plural: str = "") -> str:
    """``1 event``, ``2 events``; ``plural`` where it takes more than an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def shorten(text: str, most: int = _LONGEST) -> str:
    """The text with at most ``most`` characters; ``…`` at the end says that there are more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


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

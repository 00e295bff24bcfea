"""The names of months and weekdays in every locale, as strftime(3) abbreviates them.

journalctl writes them, and syslog daemons in some locales. ``scripts/write_locale_names.py``
generates ``locale_names.json`` from the sources of the locales.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = Path(__file__).with_name("locale_names.json")
_ENGLISH: Final = {
    name: number + 1
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split())
}
_ENGLISH_DAYS: Final = frozenset("mon tue wed thu fri sat sun".split())


class LocaleNames(msgspec.Struct):
    """Months by name; for an ambiguous name, the months by locale."""

    months: dict[str, int]
    ambiguous: dict[str, dict[str, int]]
    weekdays: frozenset[str]
    locales: frozenset[str]


class AmbiguousMonth(ValueError):
    """A month name with several meanings in different locales; the message lists them."""


@lru_cache(maxsize=1)
def load_names() -> LocaleNames:
    """Load the table when the first name appears that is not English."""
    return msgspec.json.decode(_FILE.read_bytes(), type=LocaleNames)


def normalize_name(name: str) -> str:
    """Normalize a name for the table: locales differ in case, dots and surrounding blanks."""
    return name.strip(" .\u00a0").casefold()


def find_locale(name: str) -> str | None:
    """Return the locale with that name in the table's spelling; None if it does not exist.

    ``fr_FR.UTF-8`` is ``fr_FR``, and a language alone is its first locale.
    """
    base, _, modifier = name.partition("@")
    base = base.partition(".")[0]
    wanted = f"{base}@{modifier}" if modifier else base
    names = load_names().locales
    if not base or wanted in names:
        return wanted or None
    return min((known for known in names if known.startswith(f"{wanted}_")), default=None)


def find_month(name: str, locale: str | None = None) -> int | None:
    """Return the month with that name in the locale; None if there is none.

    An English name is English, unless ``locale`` differs. Raise AmbiguousMonth if the name means
    several months and ``locale`` does not decide.
    """
    key = normalize_name(name)
    if locale is None and key in _ENGLISH:
        return _ENGLISH[key]
    names = load_names()
    meanings = names.ambiguous.get(key, {})
    if locale in meanings:
        return meanings[locale]
    if key in _ENGLISH:
        return _ENGLISH[key]
    if meanings:
        raise AmbiguousMonth(_describe(name.strip(), meanings))
    return names.months.get(key)


def redefines_english(locale: str | None) -> bool:
    """Return whether an English month name means another month in the locale."""
    return locale is not None and any(
        find_month(name, locale) != number for name, number in _ENGLISH.items()
    )


def is_weekday(name: str) -> bool:
    """Return whether it is the name of a weekday in any locale."""
    key = normalize_name(name)
    return key in _ENGLISH_DAYS or key in load_names().weekdays


def _describe(name: str, meanings: dict[str, int]) -> str:
    examples = {month: locale for locale, month in sorted(meanings.items(), reverse=True)}
    told = ", ".join(f"month {month} in {examples[month]}" for month in sorted(examples))
    return f"`{name}` is {told}"

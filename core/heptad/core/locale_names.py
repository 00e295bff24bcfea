"""The names of months and weekdays in every locale, as strftime(3) abbreviates them.

journalctl, and syslog daemons in some locales, write them. ``locale_names.json`` is written by
``scripts/write_locale_names.py`` from the locales' own sources.
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
    """Months by their name; of a name that means several, the months by locale."""

    months: dict[str, int]
    ambiguous: dict[str, dict[str, int]]
    weekdays: frozenset[str]
    locales: frozenset[str]


class AmbiguousMonth(ValueError):
    """The name of a month that means another one in another locale; the message says which."""


@lru_cache(maxsize=1)
def load_names() -> LocaleNames:
    """The table, read when the first name is met that is not English."""
    return msgspec.json.decode(_FILE.read_bytes(), type=LocaleNames)


def normalize_name(name: str) -> str:
    """A name as the table has it: locales differ in case, dots and blanks around it."""
    return name.strip(" .\u00a0").casefold()


def find_locale(name: str) -> str | None:
    """The locale of that name, as the table has it; None if there is none.

    ``fr_FR.UTF-8`` is ``fr_FR``, and a language alone is the first locale of it.
    """
    base, _, modifier = name.partition("@")
    base = base.partition(".")[0]
    wanted = f"{base}@{modifier}" if modifier else base
    names = load_names().locales
    if not base or wanted in names:
        return wanted or None
    return min((known for known in names if known.startswith(f"{wanted}_")), default=None)


def find_month(name: str, locale: str | None = None) -> int | None:
    """The month of that name, as the locale has it; None if it is none.

    An English name is English, unless ``locale`` says otherwise. Raises AmbiguousMonth where
    the name means several months and ``locale`` does not say which.
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
    """Whether an English name of a month is another month's in the locale."""
    return locale is not None and any(
        find_month(name, locale) != number for name, number in _ENGLISH.items()
    )


def is_weekday(name: str) -> bool:
    """Whether that is the name of a weekday in any locale."""
    key = normalize_name(name)
    return key in _ENGLISH_DAYS or key in load_names().weekdays


def _describe(name: str, meanings: dict[str, int]) -> str:
    examples = {month: locale for locale, month in sorted(meanings.items(), reverse=True)}
    told = ", ".join(f"month {month} in {examples[month]}" for month in sorted(examples))
    return f"`{name}` is {told}"

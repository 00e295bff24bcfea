"""Parse and validate the parameters of a view."""

import re
import time
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from heptad.core import units
from heptad.core.event import ACTIONS, OUTCOMES

MOST_ROWS: Final = 200
_LONGEST: Final = 300
_LONGEST_QUERY: Final = 4000
_CURSOR: Final = re.compile(r"(-?[0-9]{1,19})\.([0-9]{1,6})")
_LATEST: Final = 2**63 - 1


class BadQuery(Exception):
    """A parameter is invalid; the message says which one, and what is valid."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a view; times are nanoseconds, ``before`` is a time and how many to skip.

    ``after`` is a position in the order of arrival, or -1.
    """

    since: int
    until: int
    host: str = ""
    program: str = ""
    action: str = ""
    outcome: str = ""
    user: str = ""
    address: str = ""
    text: str = ""
    finding: str = ""
    zone: str = ""
    limit: int = 100
    after: int = -1
    before: tuple[int, int] | None = None

    def tags(self, *names: str) -> dict[str, str]:
        """Return those of the named tags that have a value."""
        return {name: value for name in names if (value := getattr(self, name))}


class Budget:
    """The time that a view may take, in seconds from its first row.

    The time until the first row is limited by the store.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0
        self._asked = 0

    def is_over(self) -> bool:
        """Return whether the time is up; the clock is read only every 256th call."""
        self._asked += 1
        if self._asked == 1:
            self._end = time.monotonic() + self._seconds
        return self._asked % 256 == 0 and time.monotonic() >= self._end


def parse_query(text: str, now: float) -> Query:
    """Parse the query of a URL; raises BadQuery if a parameter is unknown or invalid."""
    if len(text) > _LONGEST_QUERY:
        raise BadQuery(f"the query is longer than {_LONGEST_QUERY} characters")
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise BadQuery("the query has more than 20 parameters") from None
    for name, value in pairs:
        if name not in Query.__struct_fields__:
            known = ", ".join(Query.__struct_fields__)
            raise BadQuery(f"parameter `{name[:40]}` is unknown; known: {known}")
        if name in given:
            raise BadQuery(f"`{name}` appears twice")
        if len(value) > _LONGEST:
            raise BadQuery(f"`{name}` is longer than {_LONGEST} characters")
        if value:
            given[name] = value
    since = _time(given.pop("since", "24h"), "since", now)
    until = _time(given.pop("until"), "until", now) if "until" in given else _LATEST
    if since >= until:
        raise BadQuery("`since` is not before `until`")
    _check_words(given)
    if "zone" in given:
        _check_zone(given["zone"])
    limit = _number(given.pop("limit", "100"), "limit", 1, MOST_ROWS)
    after = _number(given.pop("after"), "after", 0, _LATEST) if "after" in given else -1
    before = _cursor(given.pop("before")) if "before" in given else None
    return Query(since=since, until=until, limit=limit, after=after, before=before, **given)


def _check_words(given: dict[str, str]) -> None:
    for name, words in (("outcome", OUTCOMES), ("action", ACTIONS)):
        if name in given and given[name] not in words:
            raise BadQuery(f"`{name}` must be one of {', '.join(words)}")


def _check_zone(text: str) -> None:
    try:
        units.parse_zone(text)
    except ValueError as error:
        raise BadQuery(f"`zone`: {error}") from None


def _time(text: str, name: str, now: float) -> int:
    try:
        return units.parse_time(text, now)
    except (ValueError, OverflowError) as error:
        raise BadQuery(f"`{name}`: {error}") from None


def _number(text: str, name: str, least: int, most: int) -> int:
    number = int(text) if re.fullmatch("[0-9]{1,19}", text) else -1
    if not least <= number <= most:
        raise BadQuery(f"`{name}` must be a number from {least} to {most}")
    return number


def _cursor(text: str) -> tuple[int, int]:
    found = _CURSOR.fullmatch(text)
    if found is None or not -(2**63) <= int(found[1]) < _LATEST:
        raise BadQuery("`before` must be the `next` of an earlier answer")
    return int(found[1]), int(found[2])

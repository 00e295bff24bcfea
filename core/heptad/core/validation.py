"""Validate values that this process did not write itself.

Points and state in a shared InfluxDB are whatever the holder of a token wrote, and a file can be
damaged in ways that SQLite does not detect. An invalid value is counted, logged once and skipped;
it stops no reader. Invalid state is replaced by None, and what depends on it is recomputed.
"""

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec

from heptad.core.event import LATEST

if TYPE_CHECKING:
    from heptad.core.store.measurements import Measurement

log = logging.getLogger("heptad.validation")

KINDS: Final[dict[str, str]] = {
    "event": "an event",
    "line": "a line that no rule understood",
    "finding": "a revision of a finding, or an event of its evidence",
    "report": "a row of a report",
    "heartbeat": "a heartbeat of an exporter",
    "state": "the stored state of an exporter or aggregator",
    "counter": "the value of a counter",
}
REASONS: Final[dict[str, str]] = {
    "missing": "a required tag or field is missing",
    "type": "a value has the wrong type",
    "time": "a time is before 1970, or contradicts the others",
    "number": "a number is out of range, such as a count below 1 or above a million",
    "word": "a word is not in the vocabulary",
    "text": "text is not UTF-8, contains NUL, or is too long",
    "corrupt": "a value cannot be decoded",
}
_KIND_OF: Final = {
    "events": "event",
    "not_understood": "line",
    "findings": "finding",
    "evidence": "finding",
    "sessions": "finding",
    "heartbeat": "heartbeat",
    "state": "state",
}
LONGEST: Final = 2**19
"""Maximum length in characters of a value that is not a whole line."""
LONGEST_LINE: Final = 2**20 + 16
_REMEMBERED: Final = 100_000
_SHOWN: Final = 200
_TIMES: Final = frozenset({"time", "first", "last", "overdue", "superseded_by", "day"})
_PLACE: Final = re.compile(r"\$\.(\w+)")

Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]

_T = TypeVar("_T")
_S = TypeVar("_S")


class Invalid(ValueError):
    """A value is invalid, for one of ``REASONS``."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


FAULTS: Final = (ValueError, TypeError, LookupError, OverflowError, msgspec.MsgspecError)
"""What decoding may raise for an invalid value."""


class Intake:
    """Counts rejected values: each once, as far as the last 100,000 are remembered.

    ``schema``: declarations of measurements in addition to those of ``heptad.core``. Thread-safe: a
    count may be late by a moment, and is never lost.
    """

    def __init__(self, schema: "Mapping[str, Measurement] | None" = None) -> None:
        self.schema = schema or {}
        self._counts: dict[tuple[str, str], int] = {}
        self._known: dict[int, None] = {}

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Return (kind, reason) → number of rejected values; every pair is present."""
        return {(kind, why): self._counts.get((kind, why), 0) for kind in KINDS for why in REASONS}

    def describe(self) -> str:
        """Return what was rejected, in a sentence; empty if nothing was."""
        counts = dict(self._counts)
        if not counts:
            return ""
        told = ", ".join(f"{kind}: {why} ({n})" for (kind, why), n in sorted(counts.items()))
        return f"{sum(counts.values())} stored values are invalid and were skipped: {told}"

    def reject(self, kind: str, identity: Hashable, error: Exception) -> None:
        """Count a value, identified by ``identity``; log the first of each kind and reason."""
        key = hash((kind, identity))
        if key in self._known:
            return
        if len(self._known) >= _REMEMBERED:
            self._known = dict.fromkeys(list(self._known)[_REMEMBERED // 2 :])
        self._known[key] = None
        sort = (kind, reason_of(error))
        if sort not in self._counts:
            told = {"kind": kind, "reason": sort[1], "value": _show(identity)}
            log.warning("invalid value skipped", extra={**told, "error": _show(error)})
        self._counts[sort] = self._counts.get(sort, 0) + 1

    def sift(
        self,
        kind: str,
        values: Iterable[_S],
        convert: Callable[[_S], _T],
        identify: Callable[[_S], Hashable],
    ) -> Iterator[_T]:
        """Yield what ``convert`` returns for the values; reject those for which it raises."""
        for value in values:
            try:
                converted = convert(value)
            except FAULTS as error:
                self.reject(kind, identify(value), error)
                continue
            yield converted

    def restore(self, key: str, data: bytes | None, decode: Callable[[bytes], _T]) -> _T | None:
        """Decode the state stored under ``key``; return None if it is missing or invalid.

        Empty data counts as missing: that is how state is deleted.
        """
        if not data:
            return None
        try:
            return decode(data)
        except (*FAULTS, RecursionError, MemoryError) as error:
            self.reject("state", (key, data[:_SHOWN]), error)
            return None


def decode_time(data: bytes) -> int:
    """Return a time in nanoseconds, given as decimal digits."""
    text = data.decode("ascii")
    if not (text.isdigit() and len(text) < 20 and int(text) < LATEST):
        raise Invalid("time", f"a time of {text[:40]!r}")
    return int(text)


def reason_of(error: Exception) -> str:
    """Return which of ``REASONS`` applies to an error."""
    if isinstance(error, Invalid):
        return error.reason
    said = str(error)
    if isinstance(error, KeyError) or said.startswith("Object missing"):
        return "missing"
    if isinstance(error, msgspec.ValidationError) and re.search("length|[<>]", said):
        place = _PLACE.search(said)
        return "time" if place and place[1] in _TIMES else "number"
    if isinstance(error, UnicodeError):
        return "text"
    return "type" if isinstance(error, TypeError | msgspec.ValidationError) else "corrupt"


def kind_of(measurement: str) -> str:
    """Return which of ``KINDS`` applies to the points of a measurement."""
    return _KIND_OF.get(measurement, "report")


def check_text(text: str, longest: int = LONGEST) -> str:
    """Return the text; raise Invalid if Heptad would not write it."""
    if len(text) > longest:
        raise Invalid("text", f"text of {len(text)} characters")
    if "\0" in text:
        raise Invalid("text", "text with NUL")
    if not text.isascii():
        check_encoding(text)
    return text


def check_encoding(text: str) -> None:
    """Raise Invalid if the text is not Unicode, such as a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("text", "text that is not UTF-8") from None


def _show(value: object) -> str:
    text = repr(value) if not isinstance(value, Exception) else f"{type(value).__name__}: {value}"
    return text[:_SHOWN].encode(errors="backslashreplace").decode()

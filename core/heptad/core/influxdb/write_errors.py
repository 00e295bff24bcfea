"""The meaning of responses to a write: which lines are invalid, when to retry, what to fix.

The forms of the responses are those of InfluxDB's references and sources, listed with their origin
in tests/support/contract/, and of a real 1.6: its ``dropped=N`` refers to one error only, even if
lines have several, and is never larger than the number of dropped lines.
"""

import re
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from heptad.core.influxdb.client import InfluxResponse, shorten
from heptad.core.influxdb.tls import find_remedy_of_page
from heptad.core.sink import Blocked, Retry
from heptad.core.store.field_conflict import Conflict
from heptad.core.store.line_protocol import time_of
from heptad.core.store.measurements import STORED

_NO_INFLUXDB: Final = (
    "check that `influxdb.url` is the URL of InfluxDB, and not of another server or of a "
    "proxy's error page; `heptad influxdb check` shows more"
)
_NO_ORGANIZATION: Final = "organization name"
_FULL_CACHE: Final = "cache-max-memory-size exceeded"
_RESTART: Final = (
    "check that InfluxDB's disk has space and that InfluxDB owns its files, then restart "
    "influxd; it does not open the shard again without a restart"
)
_REMEDIES: Final = (
    # as 1.6.7 and 2.7.12 write it
    ("not attempting to open shard", _RESTART),
    ("no space left on device|disk quota exceeded", "free space on InfluxDB's disk"),
    ("read-only file system|permission denied", "check that InfluxDB may write to its disk"),
    (_FULL_CACHE, "raise InfluxDB's storage-cache-max-memory-size"),
    ("timeout|deadline exceeded", "check that InfluxDB and its disk are not overloaded"),
)
_LONGEST_REST: Final = 3600.0
_MOST_QUOTED: Final = 50
_FEW: Final = 8
"""Up to this many lines are sent one by one to get a reason for each; above, they share one."""
_OF_LINES: Final = re.compile(
    "partial write|unable to parse|line protocol|field type|retention policy|exceed|invalid column"
)
_LIMITED: Final = "limit exceeded"  # 1.6 counts a new series once for each of its lines
_PARTIAL: Final = "partial write"
_EXPIRED: Final = re.compile("points beyond retention policy|Retention Policy Lower Bound")
_DROPPED: Final = re.compile(r" dropped=(\d{1,9})(?: for database: [^\n']*)?$")
_OWN_NUMBER: Final = re.compile("[0-9a-fA-F-]*[0-9][0-9a-fA-F-]*")
_UNPARSABLE: Final = "unable to parse '"
_CONFLICT: Final = re.compile(
    r'input field "([^"]+)" on measurement "([^"]+)" is type (\w+)'
    r"(?:, already exists as type (\w+))?"
)


class WriteRejection(msgspec.Struct):
    """Some of the lines are rejected; the others may or may not be stored.

    ``known``: the response refers to lines, and not to the request; ``counted``: it reports how
    many are rejected, which only InfluxDB does; ``whole``: all lines are rejected; ``limited``:
    a limit is exceeded, so fewer lines may be accepted; ``culprits``: the rejected lines (index →
    reason); ``suspects``: candidates for the rejected lines; ``conflict``: the types of the field
    for which they are rejected.
    """

    reason: str
    known: bool
    counted: bool
    expired: bool
    whole: bool
    limited: bool
    culprits: dict[int, str]
    suspects: set[int]
    conflict: Conflict | None


def is_delivered(answer: InfluxResponse) -> bool:
    """Return whether all lines are stored; a 200 without InfluxDB's header is a proxy's page."""
    named = "X-Influxdb-Version" in answer.headers or "X-Influxdb-Build" in answer.headers
    return answer.status == 204 or (answer.status == 200 and named and "error" not in answer.json)


def is_rejection(answer: InfluxResponse) -> bool:
    """Return whether InfluxDB rejects lines; 2.0 does so with a 500.

    A proxy's page does not count.
    """
    if answer.is_page:
        return False
    return answer.status in (400, 422) or (answer.status == 500 and _PARTIAL in answer.message)


def is_alike(one: InfluxResponse, other: InfluxResponse) -> bool:
    """Return whether two responses differ only in numbers such as a proxy's request ids."""
    texts = [_OWN_NUMBER.sub("", answer.message) for answer in (one, other)]
    return one.status == other.status and texts[0] == texts[1]


def read_rejection(answer: InfluxResponse, lines: Sequence[str]) -> WriteRejection:
    """Return what the response to ``lines`` says about them."""
    said = answer.message
    dropped = _DROPPED.search(said)
    count = int(dropped[1]) if dropped else 0
    expired = bool(_EXPIRED.search(said)) and _UNPARSABLE not in said
    culprits = dict(_read_numbered(answer, len(lines))) or dict(_read_quoted(said, lines))
    told = _CONFLICT.search(said)
    if expired:
        suspects = _find_oldest(lines, count)
    else:
        suspects = _find_conflicting(told, lines) if told else set()
    # a response may count lines rejected for several reasons, but name only one
    of_all = len(suspects) == len(lines) or (not suspects and len(lines) > _FEW)
    return WriteRejection(
        shorten(said),
        known=bool(_OF_LINES.search(said)),
        counted=count > 0,
        expired=expired,
        whole=len(lines) == 1 or (count == len(lines) and of_all),
        limited=_LIMITED in said,
        culprits=culprits,
        suspects=suspects if len(suspects) < len(lines) else set(),
        conflict=_read_conflict(told) if told and suspects and _UNPARSABLE not in said else None,
    )


def read_failure(answer: InfluxResponse, bucket: str, url: str) -> Retry | Blocked:
    """Return what to do after a response that does not refer to lines."""
    said = f"{url}: status {answer.status}: {answer.text!r}"
    status = answer.status
    if status in (429, 503):
        return Retry(f"{said}; InfluxDB is overloaded", _read_rest(answer))
    if status == 408 or status >= 500:
        return Retry(f"{said}; {find_remedy(answer)}")
    if status in (401, 403):
        return Blocked(
            f"{said}; check that `influxdb.token` (1.x: `influxdb.username` and its password) "
            f"is valid and may write to `{bucket}`; `heptad influxdb check` shows more"
        )
    if status == 404:
        lacks = f"the bucket `{bucket}` exists (`heptad influxdb setup` creates it) and "
        lacks = "" if _NO_ORGANIZATION in said else lacks
        return Blocked(
            f"{said}; check that {lacks}`influxdb.org` and `influxdb.url` are correct; `heptad "
            "influxdb check` shows more"
        )
    if 300 <= status < 400:
        where = shorten(answer.headers.get("Location", ""))
        return Blocked(
            f"{url}: status {status} redirects to {where!r}; set `influxdb.url` to that server"
        )
    return Blocked(f"{said}; {find_remedy_of_page(said) or _NO_INFLUXDB}")


def find_remedy(answer: InfluxResponse) -> str:
    """Return the remedy if InfluxDB could not write."""
    found = (remedy for words, remedy in _REMEDIES if re.search(words, answer.message))
    return next(found, "check the log of InfluxDB")


def is_too_much(answer: InfluxResponse) -> bool:
    """Return whether a smaller request may succeed: 2.x limits what it keeps in memory."""
    return answer.status == 413 or (answer.status == 500 and _FULL_CACHE in answer.message)


def _read_rest(answer: InfluxResponse) -> float:
    """Return Retry-After (RFC 9110, 10.2.3) in seconds, an hour at most; 0 if it is invalid."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return min(float(text), _LONGEST_REST)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, min(seconds + (answer.clock_offset or 0.0), _LONGEST_REST))


def _read_numbered(answer: InfluxResponse, count: int) -> Iterator[tuple[int, str]]:
    """3.x: yield up to 100 lines, each with its number from 1."""
    told = answer.json.get("data")
    for one in told if isinstance(told, list) else [told]:
        if isinstance(one, dict):
            number, why = one.get("line_number"), one.get("error_message")
            if type(number) is int and 1 <= number <= count and isinstance(why, str) and why:
                yield number - 1, shorten(why)


def _read_quoted(said: str, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """1.x and 2.x: parse a sequence of ``unable to parse 'LINE': why``."""
    if _UNPARSABLE not in said:
        return
    places: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line, []).append(number)
    for text in _DROPPED.sub("", said).split("\n"):
        _, _, rest = text.partition(_UNPARSABLE)
        # the line itself may contain the end marker
        for end in list(re.finditer("': ", rest))[:_MOST_QUOTED]:
            for number in places.get(rest[: end.start()], ()):
                yield number, shorten(f"unable to parse: {rest[end.end() :]}")


def _find_oldest(lines: Sequence[str], count: int) -> set[int]:
    """Return the lines that a retention policy drops first."""
    times = [
        (time, number) for number, line in enumerate(lines) if (time := time_of(line)) is not None
    ]
    return {number for _, number in sorted(times)[:count]}


def find_conflict(reason: str) -> Conflict | None:
    """Return the types that a stored rejection reason says a field has."""
    found = None if _UNPARSABLE in reason else _CONFLICT.search(reason)
    return _read_conflict(found) if found else None


def _read_conflict(found: re.Match[str]) -> Conflict | None:
    field, measurement, sent, stored = found.groups()
    return Conflict(measurement, field, sent, stored) if {sent, stored} <= STORED else None


def _find_conflicting(found: re.Match[str], lines: Sequence[str]) -> set[int]:
    """Return the lines with the field that has another type on the server."""
    name, measurement, kind, _ = found.groups()
    field = f'{name}="' if kind == "string" else f"{name}="
    return {
        number
        for number, line in enumerate(lines)
        if line.startswith(measurement) and field in line
    }

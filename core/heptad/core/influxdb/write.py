"""Write line protocol to one bucket, and determine the outcome of each line.

If some lines of a batch are rejected, the response may say which. Otherwise the batch is halved
until each line is either stored or rejected alone: no line is set aside because of another one.
Lines that are stored already overwrite themselves.
"""

import gzip
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from heptad.core.influxdb.client import InfluxConnection, InfluxResponse, Unreachable
from heptad.core.influxdb.field_types import ConflictFinder
from heptad.core.influxdb.write_errors import (
    WriteRejection,
    is_alike,
    is_delivered,
    is_rejection,
    is_too_much,
    read_failure,
    read_rejection,
)
from heptad.core.sink import Blocked, Delivered, DeliveryOutcome, Failure, Payload, Retry
from heptad.core.store.field_conflict import Conflict, HeldGroup, HeldPoints
from heptad.core.store.line_protocol import time_of, write_breaks

_HEADERS: Final = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
_SMALL: Final = 16 * 1024
_LARGE_LINE: Final = 64 * 1024
_HOUR: Final = 3600 * 10**9


class InfluxSink:
    """A bucket of the server behind ``connection``; in 1.x and 3.x, a database.

    ``too_large``: size in bytes of a request that the server rejected; larger ones are halved
    first.
    """

    def __init__(self, connection: InfluxConnection, bucket: str) -> None:
        self.connection = connection
        self.bucket = bucket
        self.too_large = sys.maxsize
        self._cut_short: _Delivery | None = None
        self._finder = ConflictFinder(connection, bucket)

    def encode(self, lines: Sequence[str]) -> Payload:
        """Join and compress the lines."""
        text = write_breaks("\n".join(lines))
        return Payload(lines, gzip.compress(text.encode(errors="replace"), 1))

    def deliver(self, payload: Payload) -> DeliveryOutcome:
        """Write the lines and return the outcome. After any outcome some of them may be stored.

        If the same payload is delivered again, it continues where it failed, and does not search
        again for its rejected lines.
        """
        delivery = self._cut_short
        if delivery is None or delivery.payload is not payload:
            delivery = self._cut_short = _Delivery(self, payload)
        try:
            failure = delivery.run()
        except Unreachable as error:
            return Retry(str(error))
        if failure is not None:
            return failure
        self._cut_short = None
        return Delivered(delivery.rejected, delivery.expired, delivery.held)

    def gather(self, groups: Iterable[HeldGroup]) -> list[HeldPoints]:
        return self._finder.gather(groups)

    def post(self, data: bytes, *, explained: bool = False) -> InfluxResponse:
        """Send compressed lines. ``explained``: let 3.x report which lines it rejects, and why."""
        connection = self.connection
        if connection.generation == 1:
            path, query = "/write", {"db": self.bucket, "precision": "ns"}
        elif explained and connection.generation == 3:
            path, query = "/api/v3/write_lp", {"db": self.bucket, "precision": "nanosecond"}
        else:
            path = "/api/v2/write"
            query = {"org": connection.config.org, "bucket": self.bucket, "precision": "ns"}
        return connection.request("POST", path, query, data, _HEADERS)

    def read_failure(self, answer: InfluxResponse) -> Failure:
        """Return what to do after a response that does not refer to lines."""
        return read_failure(answer, self.bucket, self.connection.url)


class _Delivery:
    """One batch in delivery: which of its lines are rejected. Lines are identified by their index.

    Each request settles a line or splits the batch into two parts. So there are at most twice as
    many requests as lines; for k rejected lines of n, about k times log n if no response names
    them.
    """

    def __init__(self, sink: InfluxSink, payload: Payload) -> None:
        self.payload = payload
        self._sink = sink
        self._lines = payload.lines
        self.rejected: dict[int, str] = {}
        self.expired = 0
        self.held: dict[int, Conflict] = {}
        self._unclear: list[list[int]] = [list(range(len(payload.lines)))]
        self._halved = len(payload.data) >= sink.too_large
        self._explained: bool | None = None
        self._asked = False
        self._rejected_series: set[str] = set()

    def run(self) -> Failure | None:
        """Send the lines without an outcome, at first all; after a failure, continue there."""
        while self._unclear:
            piece = self._unclear[-1]
            if len(piece) == len(self._lines):
                data = self.payload.data
            else:
                data = self._sink.encode([self._lines[number] for number in piece]).data
            parts: list[list[int]] | Failure
            if len(data) >= self._sink.too_large and len(piece) > 1:
                parts = _halve(piece)
            else:
                parts = self._send(piece, data)
            if isinstance(parts, Failure):
                return parts
            self._unclear[-1:] = parts
        if self._halved:  # the limit may have been raised since
            self._sink.too_large += self._sink.too_large // 16
        return None

    def _send(self, piece: list[int], data: bytes) -> list[list[int]] | Failure:
        """Send a piece; return the parts that must be sent next, the first of them last."""
        answer = self._sink.post(data, explained=self._explained is True)
        if self._explained and answer.status in (404, 405):  # a 3.x without this path
            self._explained = False
            return [piece]
        if is_delivered(answer):
            return []
        if is_too_much(answer) and (answer.status == 413 or len(data) > _SMALL):
            return self._shrink(piece, len(data), answer)
        if not is_rejection(answer):
            return self._sink.read_failure(answer)
        refusal = read_rejection(answer, [self._lines[number] for number in piece])
        return self._take_rejection(piece, refusal, answer)

    def _take_rejection(
        self, piece: list[int], refusal: WriteRejection, answer: InfluxResponse
    ) -> list[list[int]] | Failure:
        """Return what must be sent of a piece that was not accepted as a whole."""
        if refusal.culprits:
            return self._sort_out(piece, refusal)
        may_explain = self._sink.connection.generation == 3 and self._explained is None
        if not self._asked and not (refusal.known and may_explain):
            if not refusal.counted and self._is_for_any_request(answer):
                return self._sink.read_failure(answer)
            self._asked = True
        if not may_explain:
            return self._sort_out(piece, refusal)
        self._explained = True
        return [piece]

    def _sort_out(self, piece: list[int], refusal: WriteRejection) -> list[list[int]]:
        """Set aside the lines that are known to be rejected; return what must be sent."""
        for place, reason in refusal.culprits.items():
            self.rejected[piece[place]] = reason
        if refusal.culprits:
            rest = [number for place, number in enumerate(piece) if place not in refusal.culprits]
            return [rest] if rest else []
        if self._is_clear(piece, refusal):
            if refusal.expired:
                self.expired += len(piece)
            elif refusal.conflict is not None:
                self.held.update(dict.fromkeys(piece, refusal.conflict))
            else:
                together = f" (reported for {len(piece)} lines together)" if len(piece) > 1 else ""
                self.rejected.update(dict.fromkeys(piece, refusal.reason + together))
            return []
        if refusal.suspects:
            suspects = [number for place, number in enumerate(piece) if place in refusal.suspects]
            rest = [number for place, number in enumerate(piece) if place not in refusal.suspects]
            return [suspects, rest]
        if refusal.limited and len(self._all_series(piece)) == 1:
            return [piece[1:], piece[:1]]
        if refusal.conflict is not None and len({self._hour(number) for number in piece}) > 1:
            # a type applies to a shard, which is an hour or whole hours
            return _halve(sorted(piece, key=self._hour), self._hour)
        return _halve(sorted(piece, key=self._series), self._series)

    def _is_clear(self, piece: list[int], refusal: WriteRejection) -> bool:
        """Return whether every line is rejected: it was sent alone, or the server counted it."""
        if len(piece) == 1:
            self._rejected_series.add(self._series(piece[0]))
            return True
        new = refusal.limited and not self._all_series(piece) <= self._rejected_series
        return refusal.whole and not new

    def _all_series(self, piece: Sequence[int]) -> set[str]:
        return {self._series(number) for number in piece}

    def _hour(self, number: int) -> int:
        return (time_of(self._lines[number]) or 0) // _HOUR

    def _series(self, number: int) -> str:
        return self._lines[number].partition(" ")[0]

    def _shrink(
        self, piece: list[int], size: int, answer: InfluxResponse
    ) -> list[list[int]] | Failure:
        """Halve a piece that is too large, and remember its size."""
        if len(piece) > 1:
            self._sink.too_large = max(min(self._sink.too_large, size), _SMALL)
            return _halve(piece)
        line = self._lines[piece[0]]
        if len(line) < _LARGE_LINE:
            return Blocked(
                f"{self._sink.connection.url}: status 413: {answer.text!r}, for a request "
                f"of {size} bytes; raise the maximum body size of the proxy in front of "
                "InfluxDB (nginx: client_max_body_size) or of InfluxDB (1.x: max-body-size)"
            )
        self.rejected[piece[0]] = f"a line of {len(line)} characters is too large for the server"
        return []

    def _is_for_any_request(self, rejected: InfluxResponse) -> bool:
        """Return whether an empty request gets the same response, so that it is not about lines."""
        return is_alike(self._sink.post(self._sink.encode([]).data), rejected)


def _halve(piece: list[int], key: Callable[[int], str | int] | None = None) -> list[list[int]]:
    """Split a piece in two, the first part last; if possible between two keys near the middle."""
    middle = len(piece) // 2
    if key is not None:
        cuts = [n for n in range(1, len(piece)) if key(piece[n]) != key(piece[n - 1])]
        middle = min(cuts, key=lambda n: abs(n - middle), default=middle)
    return [piece[middle:], piece[:middle]]

"""Lines of line protocol into one bucket, and what becomes of each of them.

Where some lines of a batch are refused, the answer may say which; else halves of it are sent until
each line is either there or refused alone. What is there already is written over with itself.
"""

import gzip
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from heptad.influxdb.answers import Refusal, is_delivered, is_refusal, read_failure, read_refusal
from heptad.influxdb.connection import Answer, Connection, Unreachable
from heptad.influxdb.lines import write_breaks
from heptad.sink import Delivered, Hold, Outcome, Parcel, TryAgain

_HEADERS: Final = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
_MOST_REQUESTS: Final = 1000
"""More requests are not spent on one batch's refused lines."""
_ALIKE: Final = 32
"""So many lines, refused alone for the same reason, speak for others of their series."""
_SMALL: Final = 16 * 1024
_LARGE_LINE: Final = 64 * 1024


class _Failed(Exception):
    def __init__(self, outcome: TryAgain | Hold) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class InfluxSink:
    """A bucket of the server behind ``connection``: a database where it is a 1.x or 3.x.

    ``too_large``: bytes of a request that the server did not take; larger ones are halved before.
    """

    def __init__(self, connection: Connection, bucket: str) -> None:
        self.connection = connection
        self.bucket = bucket
        self.too_large = sys.maxsize

    def pack(self, lines: Sequence[str]) -> Parcel:
        """Joined and compressed."""
        text = write_breaks("\n".join(lines))
        return Parcel(lines, gzip.compress(text.encode(errors="replace"), 1))

    def deliver(self, parcel: Parcel) -> Outcome:
        """Write it, and see what becomes of it. A part of it may be there after any outcome."""
        delivery = _Delivery(self, parcel.lines)
        try:
            delivery.run(parcel.data)
        except _Failed as failed:
            failed.outcome.reason = self._hide(failed.outcome.reason)
            return failed.outcome
        except Unreachable as error:
            return TryAgain(self._hide(str(error)))
        return Delivered(delivery.refused, delivery.expired)

    def post(self, data: bytes, *, explained: bool = False) -> Answer:
        """Send packed lines. ``explained``: so that 3.x says which lines it refuses, and why."""
        connection = self.connection
        if connection.generation == 1:
            path, query = "/write", {"db": self.bucket, "precision": "ns"}
        elif explained and connection.generation == 3:
            path, query = "/api/v3/write_lp", {"db": self.bucket, "precision": "nanosecond"}
        else:
            path = "/api/v2/write"
            query = {"org": connection.config.org, "bucket": self.bucket, "precision": "ns"}
        return connection.request("POST", path, query, data, _HEADERS)

    def read_failure(self, answer: Answer) -> TryAgain | Hold:
        """What to do after an answer that speaks of no line."""
        return read_failure(answer, self.bucket, self.connection.url)

    def _hide(self, text: str) -> str:
        """Without the secrets, should a server repeat them."""
        config = self.connection.config
        with suppress(OSError):
            for secret in filter(None, (config.secret("token"), config.secret("password"))):
                text = text.replace(secret, "…")
        return text


class _Delivery:
    """One batch on its way: which of its ``lines`` are refused. Lines are known by their index."""

    def __init__(self, sink: InfluxSink, lines: Sequence[str]) -> None:
        self._sink = sink
        self._lines = lines
        self.refused: dict[int, str] = {}
        self.expired = 0
        self._requests = 0
        self._explained = False
        self._asked = False
        self._alike: tuple[str, int] = ("", 0)
        self._refused_series: set[str] = set()

    def run(self, data: bytes) -> None:
        """Send ``data``, which is all lines, then what remains unclear; raises _Failed."""
        whole: Sequence[int] = range(len(self._lines))
        halved = len(data) >= self._sink.too_large
        pieces = [list(whole)] if halved else self._send(whole, data)
        while pieces:
            piece = pieces.pop()
            data = self._sink.pack([self._lines[number] for number in piece]).data
            if len(data) >= self._sink.too_large and len(piece) > 1:
                pieces += _halve(piece)
            else:
                pieces += self._send(piece, data)
        if halved:  # what was too large once need not be so for ever
            self._sink.too_large += self._sink.too_large // 16

    def _send(self, piece: Sequence[int], data: bytes) -> list[list[int]]:
        """Send a piece; the parts of it that are to be sent, the first of them last."""
        self._requests += 1
        answer = self._sink.post(data, explained=self._explained)
        if self._explained and answer.status in (404, 405):  # a 3.x that lacks this path
            self._explained = False
            return [list(piece)]
        if is_delivered(answer):
            self._alike = ("", 0)
            return []
        if answer.status == 413:
            return self._shrink(piece, len(data), answer)
        if not is_refusal(answer):
            raise _Failed(self._sink.read_failure(answer))
        refusal = read_refusal(answer, [self._lines[number] for number in piece])
        if not self._asked:
            self._asked = True
            if not refusal.known:
                self._ask_without_lines(answer)
            if self._sink.connection.generation == 3 and not refusal.culprits:
                self._explained = True
                return [list(piece)]
        return self._sort_out(piece, refusal)

    def _sort_out(self, piece: Sequence[int], refusal: Refusal) -> list[list[int]]:
        """Set aside what is known to be refused; what is to be sent."""
        for place, reason in refusal.culprits.items():
            self.refused[piece[place]] = reason
        if refusal.culprits and self._requests < _MOST_REQUESTS:
            rest = [number for place, number in enumerate(piece) if place not in refusal.culprits]
            return [rest] if rest else []
        if self._is_clear(piece, refusal):
            if refusal.expired:
                self.expired += len(piece)
            else:
                self.refused.update(dict.fromkeys(piece, refusal.reason))
            return []
        if refusal.suspects:
            suspects = [number for place, number in enumerate(piece) if place in refusal.suspects]
            rest = [number for place, number in enumerate(piece) if place not in refusal.suspects]
            return [suspects, rest]
        if refusal.limited and len(self._all_series(piece)) == 1:
            return [list(piece[1:]), list(piece[:1])]
        return _halve(sorted(piece, key=self._series), self._series)

    def _is_clear(self, piece: Sequence[int], refusal: Refusal) -> bool:
        """Whether all of a piece is refused, or it would not pay to find out for each line."""
        if len(piece) == 1:
            same, count = self._alike
            self._alike = (refusal.reason, count + 1 if same == refusal.reason else 1)
            self._refused_series.add(self._series(piece[0]))
            return True
        if self._requests >= _MOST_REQUESTS:
            return True
        series = self._all_series(piece)
        if refusal.whole:
            return not refusal.limited or series <= self._refused_series
        return self._alike[1] >= _ALIKE and self._alike[0] == refusal.reason and len(series) == 1

    def _all_series(self, piece: Sequence[int]) -> set[str]:
        return {self._series(number) for number in piece}

    def _series(self, number: int) -> str:
        return self._lines[number].partition(" ")[0]

    def _shrink(self, piece: Sequence[int], size: int, answer: Answer) -> list[list[int]]:
        """Halve what is too large, and remember that it was."""
        if len(piece) > 1:
            self._sink.too_large = max(min(self._sink.too_large, size), _SMALL)
            return _halve(piece)
        line = self._lines[piece[0]]
        if len(line) < _LARGE_LINE:
            raise _Failed(
                Hold(
                    f"{self._sink.connection.url}: status 413: {answer.text!r}, to a request of "
                    f"{size} bytes; raise the size that the proxy before InfluxDB takes "
                    "(nginx: client_max_body_size) or InfluxDB's own (1.x: max-body-size)"
                )
            )
        self.refused[piece[0]] = f"a line of {len(line)} characters is too large for the server"
        return []

    def _ask_without_lines(self, refused: Answer) -> None:
        """Tell an answer about lines from one that any request would get; raises _Failed."""
        answer = self._sink.post(self._sink.pack([]).data)
        if answer.status == refused.status and answer.message == refused.message:
            raise _Failed(self._sink.read_failure(refused))


def _halve(piece: Sequence[int], key: Callable[[int], str] | None = None) -> list[list[int]]:
    """Two parts, the first last; cut between two keys near the middle where there are several."""
    middle = len(piece) // 2
    if key is not None:
        cuts = [n for n in range(1, len(piece)) if key(piece[n]) != key(piece[n - 1])]
        middle = min(cuts, key=lambda n: abs(n - middle), default=middle)
    return [list(piece[middle:]), list(piece[:middle])]

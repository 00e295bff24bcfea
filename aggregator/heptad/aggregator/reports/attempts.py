"""Login attempts of a window by host, program and method, and their outcome."""

from collections.abc import Iterator, Sequence
from typing import Final

from heptad.core.event import Event
from heptad.core.store.measurements import Field
from heptad.core.store.point import Value


class AttemptsAccumulator:
    """The attempts of one window; a folded line counts as many times as it was repeated."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], list[int]] = {}

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            key = (event.host, event.program, event.method)
            counts = self.counts.get(key)
            if counts is None:
                counts = self.counts[key] = [0, 0, 0]
            counts[0] += event.count
            if event.outcome == "success":
                counts[1] += event.count
            elif event.outcome == "failure":
                counts[2] += event.count

    def merge(self, other: "AttemptsAccumulator") -> None:
        for key, counts in other.counts.items():
            known = self.counts.get(key, [0, 0, 0])
            self.counts[key] = [one + more for one, more in zip(known, counts, strict=True)]

    def rows(self) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
        """Yield a row for each host, program and method."""
        for (host, program, method), (attempts, successes, failures) in sorted(self.counts.items()):
            tags = {"host": host, "program": program, "method": method}
            yield tags, {"attempts": attempts, "successes": successes, "failures": failures}


class AttemptsReport:
    name: Final = "report_attempts"
    about: Final = "Login attempts per host, program and method, and their outcome."
    actions: Final = frozenset({"login"})
    tags: Final = {
        "host": "where",
        "program": "the program that handled the login",
        "method": "the authentication method",
    }
    fields: Final = {
        "attempts": Field(int, "number of attempts"),
        "successes": Field(int, "number of successful attempts"),
        "failures": Field(int, "number of failed attempts"),
    }

    def begin(self) -> AttemptsAccumulator:
        return AttemptsAccumulator()

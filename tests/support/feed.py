"""Sources with lines from a test, and a store on which pipelines are started and stopped."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC
from itertools import zip_longest
from pathlib import Path

import msgspec

from heptad.core.store.sqlite import LocalStore
from heptad.exporter.log_record import Provenance
from heptad.exporter.metrics import ExporterMetrics
from heptad.exporter.normalize.login_attempts import label_sets
from heptad.exporter.normalize.normalizer import Normalizer
from heptad.exporter.parsing.header import HeaderParser
from heptad.exporter.parsing.timestamps import TimestampParser
from heptad.exporter.pipeline import Pipeline
from heptad.exporter.running_source import RunningSource
from heptad.exporter.sources import RecordBatch, SourceHealth
from tests.support.rulebook import RULEBOOK

NOW = 1_772_366_400 * 10**9  # 2026-03-01T12:00:00Z
FAILED = ("sshd", "login", "failure", "password")


def line(stamp: str, pid: int = 1, message: str = "") -> str:
    """Return a line of sshd; without a message, a wrong password."""
    message = message or "Failed password for ann from 192.0.2.1 port 22 ssh2"
    return f"2026-03-01T{stamp}Z gate sshd[{pid}]: {message}"


class Feed:
    """A source whose log is a list of batches; its state is how many of them were read."""

    def __init__(
        self, log: list[RecordBatch | list[str]], name: str = "feed", place: str = "/log"
    ) -> None:
        self.name = name
        self.places = (place,)
        self.log = log
        self.problem: str | None = None
        self.deaf: dict[str, str] = {}
        self.asked = 0
        self._position = 0
        self._header = HeaderParser(TimestampParser(UTC, reference=NOW), Provenance(path="/log"))

    def restore(self, state: bytes | None, since: int | None = None) -> None:
        """Continue after what was committed."""
        self._position = int(state or 0)

    def start(self, wake: threading.Event) -> None:
        """Do nothing."""

    def read(self) -> RecordBatch | None:
        """Return the next batch."""
        if self._position == len(self.log):
            return None
        batch = self.log[self._position]
        self._position += 1
        if isinstance(batch, list):
            records, strange = self._header.parse_text("\n".join(batch))
            batch = RecordBatch(records, b"", [], len(strange), strange=strange, read_bytes=9)
        return msgspec.structs.replace(batch, state=str(self._position).encode())

    def health(self) -> SourceHealth:
        """Return the health that the test sets."""
        self.asked += 1
        return SourceHealth(len(self.log) - self._position, self.problem, deaf=self.deaf)

    def close(self) -> None:
        """Do nothing."""


class Retry(threading.Event):
    """A stop signal that calls a function when the pipeline waits for its store."""

    def __init__(self, meanwhile: Callable[[int], bool | None]) -> None:
        super().__init__()
        self.waits = 0
        self._meanwhile = meanwhile

    def wait(self, timeout: float | None = None) -> bool:
        """Count waits without waiting; return True to stop."""
        self.waits += 1
        return bool(self._meanwhile(self.waits))


class Bench:
    """A store, and pipelines that are started on it one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        self.pipelines: list[Pipeline] = []
        self.start([])

    def start(self, *logs: list[RecordBatch | list[str]]) -> None:
        """Restart on the same store, with sources named feed0, feed1, …"""
        self.start_feeds([Feed(log, f"feed{n}") for n, log in enumerate(logs)])

    def start_feeds(
        self,
        feeds: list[Feed],
        programs: Sequence[frozenset[str] | None] = (),
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        """Restart on the same store; ``programs`` of each feed, None for all."""
        self.stop()
        self.store = LocalStore(self.path, write=True)
        self.metrics = ExporterMetrics(self.store.counters(), label_sets(RULEBOOK))
        self.feeds = feeds
        running_sources = [
            RunningSource(feed, Normalizer(RULEBOOK, "host", feed.name, hosts, wanted), feed.places)
            for feed, wanted in zip_longest(feeds, programs)
        ]
        pipeline = Pipeline(self.store, running_sources, self.metrics, "host", lambda: self.now)
        pipeline.restore()
        self.pipelines.append(pipeline)

    def run(self, stop: threading.Event | None = None) -> None:
        """Step until nothing is left."""
        while self.pipelines[-1].step(stop or threading.Event()):
            pass

    def stop(self) -> None:
        """Stop the running pipeline."""
        if self.pipelines:
            self.pipelines.pop().close(threading.Event())
            self.store.close()

    def events(self) -> list[str]:
        """Return the raw lines of the stored events, by time."""
        return [str(p.fields.get("raw")) for p in self.store.read("events", 0, 2**62)]

    def metric(self, name: str, *labels: str) -> float | None:
        """Return the value of a sample by its label values; None if it does not exist."""
        for family in self.metrics.collect():
            for sample in family.samples:
                if sample.name == name and set(labels) == set(sample.labels.values()) - {""}:
                    return sample.value
        return None

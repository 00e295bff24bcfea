"""What all collectors share: the paths of the host's files, and metric families."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

_CHUNK = 64 * 1024
_ATTRIBUTE = 4096


@dataclass(frozen=True)
class HostRoots:
    """Where the host's trees are mounted; other values are for containers and tests."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    root: Path = Path("/")

    @classmethod
    def below(cls, root: Path) -> "HostRoots":
        """Return the paths for a host whose root is mounted at ``root``."""
        return cls(proc=root / "proc", sys=root / "sys", root=root)


MetricType = Literal["gauge", "counter", "untyped"]


@dataclass(frozen=True)
class Family:
    """A metric family as it appears on /metrics.

    `name` is the exposed name, including the `_total` of a counter. A name with `<…>` represents
    all names with that pattern; it is for documentation and is never exposed.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()

    def metric(self, rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """Return the family with one sample for each (label values, value).

        Label values may contain the surrogates of `read`. Of rows with equal labels only the last
        is kept, because Prometheus refuses a scrape with two samples of the same series.
        """
        values = {tuple(map(label, texts)): value for texts, value in rows}
        # prometheus_client expects a counter's family name without the suffix of its samples.
        name = self.name.removesuffix("_total") if self.type == "counter" else self.name
        family = Metric(name, self.help, self.type)
        family.samples = [
            Sample(self.name, dict(zip(self.labels, texts, strict=True)), value)
            for texts, value in values.items()
        ]
        return family

    def single(self, value: float) -> Metric:
        """Return the family with one sample without labels."""
        return self.metric([((), value)])


def kind_of(name: str) -> MetricType:
    """Return the type by the name: `_total` is a counter, everything else a gauge."""
    return "counter" if name.endswith("_total") else "gauge"


def read(path: str) -> str:
    """Read a whole file of /proc; raises OSError.

    Bytes that are not UTF-8 are returned as surrogates, so that a path in the text can still be
    opened. If the text contains names chosen by users, split it at "\\n", because splitlines()
    splits at more characters.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, _CHUNK):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return os.fsdecode(b"".join(chunks))


def read_attribute(path: str, folder: int | None = None) -> str | None:
    """Read a one-value file of /sys, stripped; return None if it has no value.

    `folder` is an open folder to which the path is relative, which halves the cost if many
    attributes of one device are read.

    Many attributes exist but cannot be read: a driver without the feature, or an interface that is
    down, returns EINVAL or EOPNOTSUPP.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.fsdecode(os.read(fd, _ATTRIBUTE)).strip()
    except OSError:
        return None
    finally:
        os.close(fd)


def names(folder: str) -> list[str]:
    """Return the names in a folder, sorted; empty if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []


def label(value: str) -> str:
    """Convert text to a label value: valid Unicode, as /metrics requires."""
    return value if value.isascii() else os.fsencode(value).decode("utf-8", "replace")

"""What every collector needs: where the host's files are, and how a family is described."""

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
    """Where the host's trees are mounted; other values serve containers and tests."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    root: Path = Path("/")

    @classmethod
    def below(cls, root: Path) -> "HostRoots":
        """Those of a host whose root is mounted at ``root``."""
        return cls(proc=root / "proc", sys=root / "sys", root=root)


MetricType = Literal["gauge", "counter", "untyped"]


@dataclass(frozen=True)
class Family:
    """One metric family as it appears on /metrics.

    `name` is the exposed name, a counter's `_total` included. A name with `<…>` in it stands for
    all names of that pattern; it documents them and is never exposed itself.
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()

    def metric(self, rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """The family with one sample for each (label values, value).

        Label values may hold what `read` made of bytes that are no text.
        """
        # prometheus_client names a counter's family without the suffix its samples carry.
        name = self.name.removesuffix("_total") if self.type == "counter" else self.name
        family = Metric(name, self.help, self.type)
        family.samples = [
            Sample(self.name, dict(zip(self.labels, map(label, values), strict=True)), value)
            for values, value in rows
        ]
        return family

    def single(self, value: float) -> Metric:
        """The family with one sample that has no labels."""
        return self.metric([((), value)])


def kind_of(name: str) -> MetricType:
    """The type that a name tells, where all that is not a `_total` is a gauge."""
    return "counter" if name.endswith("_total") else "gauge"


def read(path: str) -> str:
    """A whole file of /proc; raises OSError.

    Bytes that are not UTF-8 come as surrogates, so that a path in the text still opens its file.
    Where names that people chose stand in the text, split it at "\\n": splitlines() takes far
    more for the end of a line.
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
    """A one-value file of /sys without the surrounding blanks, None if it gives no value.

    `folder` is an open folder that the path is relative to: half the price where many attributes
    of one device are read.

    Many attributes exist only on paper: a driver without the feature, or an interface that is
    down, answers EINVAL or EOPNOTSUPP.
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
    """The names in a folder, sorted; none where it is missing."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []


def label(value: str) -> str:
    """The text as a label value: valid Unicode, which /metrics must be."""
    return value if value.isascii() else os.fsencode(value).decode("utf-8", "replace")

"""The permissions of each role, and the files for the roles' secrets.

Buckets are identified by their keys in the configuration (``events``, ``reports``, ``heptad``).
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TextIO

from heptad.core.config.influxdb import BucketsConfig
from heptad.core.store.api import StoreError

_LONGEST_SECRET: Final = 64 * 1024

Right = Literal["read", "write"]

RIGHTS: Final[tuple[Right, ...]] = ("read", "write")
PLACES: Final = ("events", "reports", "heptad")
ROLES: Final[Mapping[str, Mapping[str, tuple[Right, ...]]]] = {
    "exporter": {"events": ("write",), "heptad": ("read", "write")},
    "aggregator": {
        "events": ("read",),
        "reports": ("read", "write"),
        "heptad": ("read", "write"),
    },
    "grafana": {"events": ("read",), "reports": ("read",), "heptad": ("read",)},
}
"""Role → bucket → the least permissions that it needs."""


def describe_rights(rights: Mapping[str, Sequence[Right]], buckets: BucketsConfig) -> str:
    """Return ``write events; read and write heptad``, with the names of the buckets."""
    return "; ".join(
        f"{' and '.join(of)} {getattr(buckets, place)}" for place, of in rights.items() if of
    )


class SetupError(StoreError):
    """The server cannot be set up; the message says what to do."""


@contextmanager
def new_secret_file(path: Path) -> Iterator[TextIO]:
    """Open a file that only its owner may read; it appears at ``path`` if the block succeeds.

    The file is created before the secret, because a secret that cannot be stored would be lost. An
    existing file with another secret is renamed to end in `.old`. Raise SetupError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; choose another directory") from error
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.lexists(path):
            path.replace(old_secret_file(path))
        written.replace(path)
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; check that the disk has space") from error
    finally:
        written.unlink(missing_ok=True)


def old_secret_file(path: Path) -> Path:
    """Return the path to which the previous secret of ``path`` is moved."""
    return path.with_name(f"{path.name}.old")


def read_secret_file(path: Path) -> str:
    """Return the secret at ``path``; empty if the file does not exist. Raise SetupError."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_SECRET).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; choose another directory") from error

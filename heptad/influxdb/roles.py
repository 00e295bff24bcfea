"""Who may do what in which bucket, and the files that hold what a role shows the server.

The buckets go by their places in the configuration (``events``, ``reports``, ``heptad``).
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TextIO

from heptad.influxdb_config import BucketsConfig
from heptad.store import StoreError

Right = Literal["read", "write"]

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
"""Role → bucket → the least rights that it can work with."""


def describe_rights(role: str, buckets: BucketsConfig) -> str:
    """``write events; read and write heptad``, with the buckets' own names."""
    return "; ".join(
        f"{' and '.join(rights)} {getattr(buckets, place)}" for place, rights in ROLES[role].items()
    )


class SetupError(StoreError):
    """The server cannot be prepared; the message says what to do."""


@contextmanager
def new_secret_file(path: Path) -> Iterator[TextIO]:
    """A new file that only its owner may read; gone again where what it is for fails.

    It is made before the secret: one that cannot be kept would be lost, for it is shown once.
    Raises SetupError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise SetupError(
            f"{path} is there already, but what it holds is not known to the server; "
            "move it away and run this again"
        ) from None
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; name another folder") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise SetupError(f"{path}: {error.strerror}; see that there is space") from error
        raise
